"""What a run that was stopped has done upstream it has put downstream: the accounts of its queues, side by side."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from runner.composition import run_file

KITCHEN = """
    import os, random, signal, time
    def src():
        yield from range(100_000)
    def steam(item):
        time.sleep(random.random() / 200)
        return item
    def twice(item):
        yield item
        yield item
    def eat(item):
        time.sleep(0.002)
        if item == 60:
            os.kill(int(os.environ["RUN_PID"]), signal.SIGTERM)
    def sit(item):
        os.kill(int(os.environ["RUN_PID"]), signal.SIGTERM)
        time.sleep(0.4)
    """

KEPT = """
    limits: {stop_timeout: 100ms}
    stages:
      src: {run: "kitchen:src", to: raw}
      steam: {run: "kitchen:steam", from: raw, to: steamed, count: 4, order: keep}
      eat: {run: "kitchen:eat", from: steamed}
    """
FULL = """
    limits: {stop_timeout: 100ms}
    queues: {steamed: {BOUND}}
    stages:
      src: {run: "kitchen:src", to: raw}
      steam: {run: "kitchen:STEAM", from: raw, to: steamed, count: 3 MORE}
      eat: {run: "kitchen:sit", from: steamed}
    """


def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> dict[str, tuple[int, int]]:
    """Run until it is stopped; return what each of the two queues counts as done, and as put."""
    monkeypatch.setenv("RUN_PID", str(os.getpid()))
    (tmp_path / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
    file = tmp_path / "scene.yaml"
    file.write_text("name: scene\n" + textwrap.dedent(source), encoding="utf-8")
    report = run_file(file, overrides=["limits.timeout=40s"], transport="leased")
    assert 143 == report.exit_code, report.reason
    stages = {stage.name: stage for stage in report.stages}
    assert report.queue("raw").done == stages["steam"].done
    assert report.queue("steamed").put == stages["steam"].sent
    return {name: (report.queue(name).done, report.queue(name).put) for name in ("raw", "steamed")}


def test_a_stopped_run_has_put_what_it_has_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queues = stopped(tmp_path, monkeypatch, "queues: {steamed: {maxsize: 1}}\n" + textwrap.dedent(KEPT))

    assert queues["raw"][0] == queues["steamed"][1]


@pytest.mark.slow
@pytest.mark.parametrize("queues", ["", "queues: {steamed: {maxsize: 20}}", "queues: {raw: {maxsize: 9}}"])
def test_outputs_that_were_held_for_their_turn_are_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queues: str
) -> None:
    queues_of = stopped(tmp_path, monkeypatch, f"{queues}\n{textwrap.dedent(KEPT)}")

    done, put = queues_of["raw"][0], queues_of["steamed"][1]
    assert done == put


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["maxsize: 1", "maxsize: 5", "max_bytes: 2KiB"])
@pytest.mark.parametrize(("handler", "outputs"), [("steam", 1), ("twice", 2)])
@pytest.mark.parametrize("more", ["", ", order: keep"])
def test_outputs_that_found_no_room_are_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, handler: str, outputs: int, more: str
) -> None:
    source = FULL.replace("BOUND", bound).replace("STEAM", handler).replace(" MORE", more)
    queues = stopped(tmp_path, monkeypatch, source)

    done, put = queues["raw"][0], queues["steamed"][1]
    # Of an item that was in hand, outputs may be in that its generator has yielded before its end.
    assert done * outputs <= put <= done * outputs + (3 * outputs if outputs > 1 else 0)
