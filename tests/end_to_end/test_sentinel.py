"""`sentinel` in real runs: who gets the mark at the end of a queue, when, and how often."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gallery import Capture, Showing, show

from runner.store.control_socket import ask
from runner.store.discovery import find_running
from runner.store.run_folder import HOME

TRANSPORTS = pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])

KITCHEN = """
import os, signal
from pathlib import Path

HERE = Path(__file__).parent

def is_first():
    try:
        (HERE / "grave").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

def steam(n, worker):
    for number in range(n):
        yield f"{worker.name} {number}"

def steam_when_told(queue):
    queue.put("first")
    with open(HERE / "go") as go:
        go.read()
    queue.put("last")

def eat(queue, worker):
    while (item := queue.get()) is not None:
        print(f"{worker.name}: {item}", flush=True)
        queue.task_done()
    print(f"{worker.name}: mark", flush=True)
    queue.task_done()

def eat_and_die_of_the_mark(queue, worker):
    eat(queue, worker)
    if is_first():
        os.kill(os.getpid(), signal.SIGKILL)

def eat_on_after_the_mark(queue, worker):
    eat(queue, worker)
    eat(queue, worker)
    print("never", flush=True)

def show(item):
    print(item, flush=True)

def pass_on(inbox, outbox):
    while (item := inbox.get()) is not None:
        outbox.put(item)
        inbox.task_done()
    outbox.put("the end was seen")

def gather_all(queue):
    items = list(iter(queue.get, None))
    print(len(items), flush=True)
    for _ in items:
        queue.task_done()
"""


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the handlers, which are not left loaded where a run was inline."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    (tmp_path / "kitchen.py").write_text(KITCHEN)
    yield tmp_path
    sys.modules.pop("kitchen", None)
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


def run(kitchen: Path, capture: Capture, transport: str, stages: str, **more: Any) -> Showing:
    """Run these stages; the queues `q` and `r` have room for some items, and `q` ends with a mark."""
    head = "name: sentinel\ndefaults: {queue: {maxsize: 5}}\nqueues: {q: {sentinel: null}}\n"
    path = kitchen / "sentinel.yaml"
    path.write_text(f"{head}stages:\n{textwrap.indent(textwrap.dedent(stages), '  ')}")
    return show(capture, path, transport, **more)


def marks(shown: Showing) -> Counter[str]:
    """How many marks each worker took."""
    return Counter(line.partition(":")[0] for line in shown.lines if line.endswith(": mark"))


@TRANSPORTS
@pytest.mark.quick("leased", "inline")
def test_each_reader_gets_one_mark_after_every_item(transport: str, kitchen: Path, capfd: Capture) -> None:
    stages = """
        chef: {run: "kitchen:steam", with: {n: 7}, count: 3, to: q}
        eater: {run: "kitchen:eat", count: 4, from: q}
    """
    shown = run(kitchen, capfd, transport, stages)

    (queue,) = shown.one("run.finished")["queues"]
    assert 0 == shown.exit_code
    assert {f"eater-{number}": 1 for number in (1, 2, 3, 4)} == marks(shown)
    assert 21 == sum(not line.endswith("mark") for line in shown.lines)
    for number in (1, 2, 3, 4):
        own = [line for line in shown.lines if line.startswith(f"eater-{number}:")]
        assert own[-1].endswith("mark")
    assert (21, 21) == (queue["put"], queue["done"])


@TRANSPORTS
def test_no_mark_comes_before_the_last_writer_has_ended(
    transport: str, kitchen: Path, capfd: Capture
) -> None:
    stages = """
        quick: {run: "kitchen:steam", with: {n: 1}, to: q}
        slow: {run: "kitchen:steam", with: {n: 1}, needs: quick, to: q}
        eater: {run: "kitchen:eat", from: q}
    """
    shown = run(kitchen, capfd, transport, stages)

    assert ["quick-1 0", "slow-1 0", "mark"] == [line.partition(": ")[2] for line in shown.lines]


@TRANSPORTS
def test_a_pipe_stage_sees_its_mark_and_may_still_put(transport: str, kitchen: Path, capfd: Capture) -> None:
    stages = """
        chef: {run: "kitchen:steam", with: {n: 2}, to: q}
        cook: {run: "kitchen:pass_on", from: q, to: r}
        eater: {run: "kitchen:show", from: r}
    """
    shown = run(kitchen, capfd, transport, stages)

    assert (0, ["chef-1 0", "chef-1 1", "the end was seen"]) == (shown.exit_code, shown.lines)


@pytest.mark.slow
@TRANSPORTS
def test_a_reader_that_acknowledges_at_the_end_gets_its_mark_too(
    transport: str, kitchen: Path, capfd: Capture
) -> None:
    stages = """
        chef: {run: "kitchen:steam", with: {n: 20}, to: q}
        eater: {run: "kitchen:gather_all", from: q}
    """
    shown = run(kitchen, capfd, transport, stages)

    (queue,) = shown.one("run.finished")["queues"]
    assert (0, ["20"], 20) == (shown.exit_code, shown.lines, queue["done"])


@TRANSPORTS
def test_behind_the_mark_is_the_end(transport: str, kitchen: Path, capfd: Capture) -> None:
    stages = """
        chef: {run: "kitchen:steam", with: {n: 2}, to: q}
        eater: {run: "kitchen:eat_on_after_the_mark", from: q}
    """
    shown = run(kitchen, capfd, transport, stages)

    assert (0, "finished") == (shown.exit_code, shown.one("worker.exited", stage="eater")["outcome"])
    assert (1, False) == (marks(shown)["eater-1"], "never" in shown.lines)


def test_who_takes_a_dead_readers_place_gets_a_mark_of_its_own(kitchen: Path, capfd: Capture) -> None:
    stages = """
        chef: {run: "kitchen:steam", with: {n: 9}, to: q}
        eater: {run: "kitchen:eat_and_die_of_the_mark", count: 2, from: q}
    """
    shown = run(kitchen, capfd, "leased", stages)

    (killed,) = [e["worker"] for e in shown.of("worker.exited") if e["signal"] == "SIGKILL"]
    (queue,) = shown.one("run.finished")["queues"]
    assert (0, 9, 9) == (shown.exit_code, queue["put"], queue["done"])
    assert {"eater-1": 1, "eater-2": 1} | {killed: 2} == marks(shown)


def test_readers_that_are_added_get_theirs(kitchen: Path, capfd: Capture) -> None:
    """
    The writer waits at a named pipe until two more readers have been born.
    """
    go = kitchen / "go"
    os.mkfifo(go)
    told = os.open(go, os.O_RDWR)

    def add_and_let_go(event: dict[str, Any]) -> None:
        if event["event"] == "worker.ready" and event["worker"] == "eater-1":
            helper = os.fork()
            if not helper:
                code = 1
                try:
                    ask(find_running("sentinel").path, {"do": "scale", "stage": "eater", "count": 3})
                    code = 0
                finally:
                    os._exit(code)
        if event["event"] == "worker.ready" and event["worker"] == "eater-3":
            os.close(told)

    stages = """
        chef: {run: "kitchen:steam_when_told", to: q}
        eater: {run: "kitchen:eat", from: q}
    """
    shown = run(kitchen, capfd, "leased", stages, on_event=add_and_let_go)

    assert 0 == shown.exit_code
    assert {"eater-1": 1, "eater-2": 1, "eater-3": 1} == marks(shown)


@TRANSPORTS
def test_without_a_mark_the_end_is_an_exception_that_ends_the_worker(
    transport: str, kitchen: Path, capfd: Capture
) -> None:
    stages = """
        other: {run: "kitchen:steam", with: {n: 0}, to: q}
        nobody: {run: "kitchen:eat", from: q}
        chef: {run: "kitchen:steam", with: {n: 2}, to: r}
        eater: {run: "kitchen:eat", from: r}
    """
    shown = run(kitchen, capfd, transport, stages)

    assert (0, {"nobody-1": 1}) == (shown.exit_code, marks(shown))
