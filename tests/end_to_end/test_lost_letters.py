"""What a full disk does to dead letters: each that could not be written is told as lost, and is nowhere said kept."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., Any]

HANDLERS = """
import os
from pathlib import Path

def make(size, stuck):
    letters = next(Path(os.environ["MPRUN_HOME"], "runs").iterdir()) / "dead-letters"
    letters.mkdir(mode=0o700)
    if stuck:
        (letters / "bad.jsonl").symlink_to("/dev/full")
    for n in range(3):
        yield bytes([n]) * size

def nothing(item):
    pass

def fail(item):
    raise ValueError("no")
"""
FLOW = """
    name: full
    params: {{size: {{default: {size}}}, stuck: {{default: true}}}}
    limits: {{max_errors: 10}}
    stages:
      make: {{run: "h:make", with: {{size: "${{{{ params.size }}}}", stuck: "${{{{ params.stuck }}}}"}}, to: q}}
      bad: {{run: "h:fail", from: q, on_error: dead_letter}}
"""


@pytest.mark.parametrize("size", [10, 150_000])
def test_letters_that_could_not_be_written_are_told_as_lost_and_never_as_kept(
    tmp_path: Path, run_mprun: RunMprun, size: int
) -> None:
    (tmp_path / "h.py").write_text(HANDLERS)
    flow = tmp_path / "full.yaml"
    flow.write_text(textwrap.dedent(FLOW.format(size=size)))
    told = ("--events", tmp_path / "e.jsonl", "--report", tmp_path / "r.json")
    done = run_mprun("run", flow, *told, env={"MPRUN_HOME": str(tmp_path / "home")})

    assert done.returncode == 1, done.stderr
    assert "3 dead letters could not be kept and are lost: No space left on device" in done.stderr
    assert "ledger: 3 put = 0 done + 3 lost" in done.stderr
    assert "mprun dlq show" not in done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    for line in (report["queues"][0], report["stages"][1]):
        assert (line["dead_lettered"], line["lost"]) == (0, 3)
    events = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    letters = [each for each in events if each["event"] == "item.dead_lettered"]
    assert [(None, "No space left on device")] * 3 == [(each["letter"], each["trouble"]) for each in letters]
    assert not list(tmp_path.glob("home/runs/*/dead-letters/*.item"))


def test_another_end_of_the_run_does_not_hide_what_is_lost(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "h.py").write_text(HANDLERS + "\ndef die():\n    raise RuntimeError('other')\n")
    flow = tmp_path / "full.yaml"
    flow.write_text(textwrap.dedent(FLOW.format(size=10)) + '  other: {run: "h:die", needs: bad}\n')
    done = run_mprun("run", flow, env={"MPRUN_HOME": str(tmp_path / "home")})

    assert done.returncode == 1, done.stderr
    assert "RuntimeError: other" in done.stderr
    assert "; 3 dead letters could not be kept and are lost: No space left on device" in done.stderr


def test_what_a_source_could_make_nothing_of_is_lost_just_the_same(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    (tmp_path / "h.py").write_text(HANDLERS)
    (tmp_path / "in.jsonl").write_text("1\nbad\n")
    flow = tmp_path / "source.yaml"
    flow.write_text(
        "name: source\nlimits: {max_errors: 10}\nstages:\n"
        "  make: {run: 'h:make', with: {size: 1, stuck: true}, to: q}\n"
        "  bad: {run: {jsonl: {path: in.jsonl}}, needs: make, on_error: dead_letter, to: q}\n"
        "  eat: {run: 'h:nothing', from: q}\n"
    )
    done = run_mprun("run", flow, cwd=tmp_path, env={"MPRUN_HOME": str(tmp_path / "home")})

    assert done.returncode == 1, done.stderr
    assert "ledger: 5 put = 4 done + 1 lost" in done.stderr
