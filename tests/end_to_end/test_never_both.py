"""A storm over a pipe stage that makes one output of each item: none is delivered and a dead letter, none is neither.

chef ──► cooks ──► eater       SIGKILL to one of the cooks every few milliseconds; attempts: 1 and the default
  put = delivered + dead letters + dropped        then `dlq replay`: each item was delivered once
"""

from __future__ import annotations

import subprocess
import textwrap
from collections import Counter
from pathlib import Path

import pytest
from storms import Storm

from runner.composition import run_file
from runner.store.dead_letters import dead_letter_queues

KITCHEN = """
    import os

    def steam(count):
        return (f"bun {number}" for number in range(count))

    def fill(bun):
        return bun + ", filled"

    def eat(bun, path):
        out = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(out, (bun + "\\n").encode())
        os.close(out)
"""
WORKFLOW = """
    name: both
    limits: {{max_errors: 1000000, timeout: 2m}}
    queues: {{q: {{maxsize: 20}}, r: {{{queue}}}}}
    stages:
      chef: {{run: "kitchen:steam", with: {{count: {count}}}, to: q}}
      cook: {{run: "kitchen:fill", from: q, to: r, count: 2, on_error: dead_letter, restart: {{max: 1000000}}{stage}}}
      eater: {{run: "kitchen:eat", with: {{path: eaten.txt}}, from: r}}
"""
COUNT = 600
ONCE = ", retry: {attempts: 1, backoff: 1ms}"
KINDS = {
    "plain": ("maxsize: 20", ""),
    "order": ("maxsize: 20", ", order: keep"),
    "max_bytes": ("maxsize: 20, max_bytes: 1MB", ""),
    "when_full": (f"maxsize: {COUNT}, when_full: fail", ""),  # and never is: a full one would end the run
    "shard_by": ("maxsize: 20", ", shard_by: item"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "retry"),
    [
        pytest.param(kind, retry, id=f"{kind}-{'once' if retry else 'default'}")
        for kind in KINDS
        for retry in ("", ONCE)
    ],
)
def test_an_item_is_delivered_or_a_dead_letter_and_replay_delivers_the_rest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mprun: Path, kind: str, retry: str
) -> None:
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    queue, stage = KINDS[kind]
    text = textwrap.dedent(WORKFLOW).format(count=COUNT, queue=queue, stage=stage + retry)
    (tmp_path / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
    (tmp_path / "both.yaml").write_text(text, encoding="utf-8")
    storm = Storm(kind + retry, ["cook"], most=500)

    with storm.blowing():
        report = run_file(tmp_path / "both.yaml", observers=[storm])

    first, second = report.queues
    eaten = Counter((tmp_path / "eaten.txt").read_text().splitlines())
    letters = [letter for each in dead_letter_queues() for letter in each.letters]
    lost = {f"{letter.unpickle(tmp_path)}, filled" for letter in letters}
    assert storm.kills > 3
    assert first.done == second.put
    assert [] == sorted(lost & set(eaten))
    assert {1} == set(eaten.values())
    assert (0, COUNT) == (report.exit_code, len(eaten) + len(letters)), report.reason

    if letters:
        subprocess.run([mprun, "dlq", "replay", report.run], check=True, capture_output=True)
        eaten = Counter((tmp_path / "eaten.txt").read_text().splitlines())
        assert {f"bun {number}, filled": 1 for number in range(COUNT)} == eaten
