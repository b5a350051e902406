"""Turns in real runs: stages whose workers run one after the other, and locks that workers hold in turns."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gallery import Capture, Showing, show

TRANSPORTS = pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
WITH_PROCESSES = pytest.mark.parametrize("transport", ["leased", "joinable"])

KITCHEN = """
import os, signal, sys, time
from multiprocessing import Process
from pathlib import Path

def die_once(worker):
    try:
        Path(__file__).with_name("grave").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

def wash(worker):
    print(worker.name)

def steam(n, worker):
    for number in range(n):
        print("begin")
        print("end")
        yield f"{worker.name} {number}"

def double(item):
    print("begin")
    yield item
    yield item
    print("end")

def eat(item):
    print("begin")
    print("end")

def eat_or_die(item, worker):
    print(f"begin {worker.attempt}")
    die_once(worker)
    print("end")

def drive(queue, mutex):
    while True:
        item = queue.get()
        with mutex:
            print("begin")
            print("end")
        queue.task_done()

def embrace(queue, mutex):
    with mutex:
        queue.put(1)
        queue.put(2)

def get_under(queue, mutex):
    with mutex:
        queue.get()
        queue.task_done()

def cross(left, right, worker):
    mine, others = (left, right) if worker.name == "a" else (right, left)
    with mine:
        while not others.locked():
            time.sleep(0.001)
        with others:
            print("never")

def stay(worker):
    signal.pause()

def wash_or_die(worker):
    if worker.name == "wash-2":
        die_once(worker)

def fail(worker):
    raise OSError("no water")
"""


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the handlers, which are not left loaded where a run was inline."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "kitchen.py").write_text(KITCHEN)
    yield tmp_path
    sys.modules.pop("kitchen", None)


def run(kitchen: Path, capture: Capture, transport: str, stages: str, **more: Any) -> Showing:
    """Run these stages, with a lock `mutex`; each queue has room for one item."""
    head = "name: turns\nlocks: {mutex: {}}\ndefaults: {queue: {maxsize: 1}}\n"
    path = kitchen / "turns.yaml"
    path.write_text(f"{head}stages:\n{textwrap.indent(textwrap.dedent(stages), '  ')}")
    return show(capture, path, transport, **more)


def in_turns(lines: list[str]) -> bool:
    """Whether nobody began before the one before had ended."""
    return all(("begin" in first) != ("begin" in second) for first, second in pairwise(lines))


# ── locks ──


@TRANSPORTS
@pytest.mark.parametrize("eater", ["run: 'kitchen:eat', lock: mutex", "run: 'kitchen:drive'"])
@pytest.mark.quick(
    "run: 'kitchen:drive'-leased", "run: 'kitchen:drive'-inline", "run: 'kitchen:eat', lock: mutex-inline"
)
def test_items_are_handled_one_at_a_time_and_none_waits_for_room_under_the_lock(
    transport: str, eater: str, kitchen: Path, capfd: Capture
) -> None:
    """
    All three stages want the same lock, and the queues have room for one item: whoever held it while it waits for room
    would wait for ever.
    """
    stages = f"""
        chef: {{run: "kitchen:steam", with: {{n: 6}}, count: 2, to: raw, lock: mutex}}
        cook: {{run: "kitchen:double", count: 2, from: raw, to: q, lock: mutex}}
        eater: {{{eater}, count: 2, from: q}}
    """
    shown = run(kitchen, capfd, transport, stages)

    assert (0, 2 * (12 + 12 + 24)) == (shown.exit_code, len(shown.lines)), shown.of("run.finished")
    assert in_turns(shown.lines)


def test_a_reader_that_is_killed_with_the_lock_leaves_it_to_the_others(kitchen: Path, capfd: Capture) -> None:
    stages = """
        chef: {run: "kitchen:steam", with: {n: 6}, to: q}
        eater: {run: "kitchen:eat_or_die", count: 3, from: q, lock: mutex}
    """
    shown = run(kitchen, capfd, "leased", stages)

    (queue,) = shown.one("run.finished")["queues"]
    assert (0, 6, 6) == (shown.exit_code, queue["put"], queue["done"])
    assert ["SIGKILL"] == [e["signal"] for e in shown.of("worker.exited", stage="eater") if e["signal"]]
    assert ["begin 2"] == [line for line in shown.lines if line.startswith("begin ") and line != "begin 1"]


@WITH_PROCESSES
def test_spawned_and_forked_workers_share_a_lock(transport: str, kitchen: Path, capfd: Capture) -> None:
    stages = """
        chef: {run: "kitchen:steam", with: {n: 3}, to: q, lock: mutex, start_method: spawn}
        eater: {run: "kitchen:eat", from: q, lock: mutex}
    """
    shown = run(kitchen, capfd, transport, stages)

    assert (0, 12, True) == (shown.exit_code, len(shown.lines), in_turns(shown.lines))


def test_inline_an_embrace_is_named_with_the_lock_and_its_holder(kitchen: Path, capfd: Capture) -> None:
    stages = """
        chef: {run: "kitchen:embrace", to: q}
        eater: {run: "kitchen:get_under", from: q}
    """
    shown = run(kitchen, capfd, "inline", stages)

    reason = shown.one("run.finished")["reason"]
    assert 1 == shown.exit_code
    assert "'eater-1' waits to get on queue 'q'" in reason
    assert "'chef-1' waits for the lock 'mutex', which 'eater-1' holds" in reason


@WITH_PROCESSES
@pytest.mark.slow
def test_two_that_wait_for_each_others_lock_are_found_without_any_limit(
    transport: str, kitchen: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.supervisor.timeouts.DEADLOCK", 0.5)
    more = ("locks={left: {}, right: {}}",)

    shown = run(kitchen, capfd, transport, "task: {run: 'kitchen:cross', names: [a, b]}", overrides=more)

    reason = shown.one("run.finished")["reason"]
    assert 5 == shown.exit_code
    assert shown.lines in ([], ["never"])  # asked to close, one may let go of its lock, and the other finish
    assert reason.startswith("every worker waits for another, and nothing can move: worker '")
    assert "of stage 'task' waits for a lock for" in reason


# ── one after the other ──


def births_and_deaths(shown: Showing, stage: str) -> list[str]:
    """What happened to a stage's workers, in order."""
    life = {"worker.spawned": "+", "worker.exited": "-"}
    return [
        life[e["event"]] + e["worker"] for e in shown.events if e["event"] in life and e["stage"] == stage
    ]


@pytest.mark.slow
@TRANSPORTS
def test_serial_workers_are_born_when_the_one_before_is_gone(
    transport: str, kitchen: Path, capfd: Capture
) -> None:
    shown = run(kitchen, capfd, transport, "wash: {run: 'kitchen:wash', names: [c, a, b], start: serial}")

    assert (0, ["c", "a", "b"]) == (shown.exit_code, shown.lines)
    assert ["+c", "-c", "+a", "-a", "+b", "-b"] == births_and_deaths(shown, "wash")
    assert 3 == shown.one("stage.finished")["workers"]


@TRANSPORTS
def test_serial_producers_put_one_after_the_other(transport: str, kitchen: Path, capfd: Capture) -> None:
    stages = """
        chef: {run: "kitchen:steam", with: {n: 2}, names: [neo, alex], to: q, start: serial}
        eater: {run: "kitchen:eat", from: q}
    """
    shown = run(kitchen, capfd, transport, stages)

    assert 0 == shown.exit_code
    assert ["+neo", "-neo", "+alex", "-alex"] == births_and_deaths(shown, "chef")
    assert 4 == shown.one("queue.joined")["done"]


def test_who_takes_a_dead_ones_place_comes_before_the_next(kitchen: Path, capfd: Capture) -> None:
    stages = "wash: {run: 'kitchen:wash_or_die', count: 3, start: serial, restart: crash}"

    shown = run(kitchen, capfd, "leased", stages)

    lives = ["wash-1", "wash-2", "wash-2", "wash-3"]
    assert 0 == shown.exit_code
    assert [f"{sign}{name}" for name in lives for sign in "+-"] == births_and_deaths(shown, "wash")


@WITH_PROCESSES
def test_after_one_that_failed_there_is_no_next(transport: str, kitchen: Path, capfd: Capture) -> None:
    shown = run(kitchen, capfd, transport, "wash: {run: 'kitchen:fail', count: 3, start: serial}")

    assert (1, ["+wash-1", "-wash-1"]) == (shown.exit_code, births_and_deaths(shown, "wash"))


@WITH_PROCESSES
def test_a_run_that_is_interrupted_starts_no_next(transport: str, kitchen: Path, capfd: Capture) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "worker.ready":
            os.kill(os.getpid(), signal.SIGINT)

    stages = "wash: {run: 'kitchen:stay', count: 3, start: serial}"
    shown = run(kitchen, capfd, transport, stages, on_event=interrupt)

    assert (130, ["+wash-1", "-wash-1"]) == (shown.exit_code, births_and_deaths(shown, "wash"))


@WITH_PROCESSES
def test_a_serial_daemon_that_nobody_needs_starts_no_next(
    transport: str, kitchen: Path, capfd: Capture
) -> None:
    stages = """
        wash: {run: "kitchen:wash"}
        band: {run: "kitchen:stay", count: 3, start: serial, daemon: true}
    """
    shown = run(kitchen, capfd, transport, stages)

    assert (0, ["+band-1", "-band-1"]) == (shown.exit_code, births_and_deaths(shown, "band"))
