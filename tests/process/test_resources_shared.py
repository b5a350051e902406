"""Objects that a process of its own holds: what handlers can do with them, and what becomes of them. Kills are real."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gallery import Capture, Showing, show

from runner.process.resources.shared import LocalObjects, SharedObjects
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import SharedSpec

OBJECTS = (
    SharedSpec("board", "dict", {"a": 1}),
    SharedSpec("lines", "list", [1, 2]),
    SharedSpec("names", "Namespace", {"boss": "neo"}),
    SharedSpec("total", "Value", 5, "i"),
    SharedSpec("scores", "Array", [1, 2, 3], "i"),
    SharedSpec("go", "Event"),
    SharedSpec("none", "dict"),
    SharedSpec("nil", "Value"),
)
PLAN = make_plan(
    WorkflowSpec(
        "w",
        Path("w.yaml"),
        (StageSpec("a", HandlerRef("python", "m:f"), workers=("a",)),),
        shared=OBJECTS,
    )
)

Things = dict[str, Any]


@pytest.fixture(params=[SharedObjects, LocalObjects])
def things(request: pytest.FixtureRequest) -> Iterator[Things]:
    """What a handler gets, by proxy and as the thing itself."""
    provider = request.param(PLAN)
    yield {name: resource.resolve() for name, resource in provider.resources_for(PLAN.workers[0]).items()}
    provider.close()


def test_each_object_begins_as_declared(things: Things) -> None:
    assert {"a": 1} == dict(things["board"].items())
    assert [1, 2] == list(things["lines"])
    assert "neo" == things["names"].boss
    assert 5 == things["total"].value
    assert [1, 2, 3] == list(things["scores"])
    assert not things["go"].is_set()
    assert ({}, 0) == (dict(things["none"].items()), things["nil"].value)


def test_each_object_can_be_changed(things: Things) -> None:
    things["board"]["b"] = 2
    things["lines"].append(3)
    things["names"].boss = "alex"
    things["total"].value += 1
    things["scores"][0] = 9
    things["go"].set()

    assert {"a": 1, "b": 2} == dict(things["board"].items())
    assert [1, 2, 3] == things["lines"][:]
    assert "alex" == things["names"].boss
    assert 6 == things["total"].value
    assert 9 == things["scores"][0]
    assert things["go"].wait(0)


def test_what_one_worker_writes_all_others_see_through_their_own_proxies() -> None:
    shared = SharedObjects(PLAN)
    mine, yours = (shared.resources_for(PLAN.workers[0])["board"].resolve() for _ in range(2))

    mine["b"] = 2

    assert 2 == yours["b"]  # type: ignore[index]
    del mine
    assert {"a": 1, "b": 2} == yours.copy()  # type: ignore[attr-defined]
    shared.close()


def test_the_manager_is_gone_once_it_was_ended_and_how_is_told_again() -> None:
    shared = SharedObjects(PLAN)
    alive = shared.exited_nowait()

    ended = shared.end()

    assert (None, shared.pid, -signal.SIGKILL) == (alive, ended.pid, ended.code)
    assert ended == shared.end() == shared.exited_nowait()
    with pytest.raises(ProcessLookupError):
        os.kill(shared.pid, 0)


def test_a_manager_that_was_killed_is_noticed() -> None:
    shared = SharedObjects(PLAN)
    os.kill(shared.pid, signal.SIGKILL)
    os.waitid(os.P_PID, shared.pid, os.WEXITED | os.WNOWAIT)

    noticed = shared.exited_nowait()

    assert noticed is not None
    assert "SIGKILL" == noticed.signal_name


def test_whether_the_manager_hears_is_asked_of_its_socket() -> None:
    shared = SharedObjects(PLAN)
    while_alive = shared.exited_if_unreachable()
    os.kill(shared.pid, signal.SIGKILL)
    os.waitid(os.P_PID, shared.pid, os.WEXITED | os.WNOWAIT)

    ended = shared.exited_if_unreachable()

    assert while_alive is None
    assert ended is not None
    assert ended == shared.exited_if_unreachable() == shared.end()


# ── in a run ──

BOTH = "board: {kind: dict}, go: {kind: Event}"

HANDLERS = """
class Bun:
    def __init__(self, number):
        self.number = number

def count(board, worker):
    while True:
        board[worker.name] = board.get(worker.name, 0) + 1
        board["begun"] = True

def put_bun(board):
    board["bun"] = Bun(3)

def show_bun(board):
    print(board["bun"].number, flush=True)

def wait(go):
    go.wait()
"""


@pytest.fixture
def run(tmp_path: Path, capfd: Capture) -> Callable[..., Showing]:
    (tmp_path / "objects.py").write_text(HANDLERS)

    def run(stages: str, transport: str = "leased", shared: str = BOTH, **more: Any) -> Showing:
        path = tmp_path / "objects.yaml"
        path.write_text(
            f"name: objects\nshared: {{{shared}}}\nstages:\n"
            + textwrap.indent(textwrap.dedent(stages).strip(), "  ")
        )
        return show(capfd, path, transport, **more)

    return run


@pytest.mark.parametrize("transport", ["leased", "joinable"])
@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGKILL, "was killed by SIGKILL; what they held is gone"),
        (signal.SIGSTOP, "was stopped by a signal, and whoever uses them waits for it"),
    ],
)
@pytest.mark.quick("leased")
def test_the_manager_gone_is_the_reason_that_the_run_fails_for(
    number: signal.Signals, how: str, transport: str, run: Callable[..., Showing]
) -> None:
    pids: list[int] = []
    ready: list[str] = []

    def act(event: dict[str, Any]) -> None:
        if event["event"] == "manager.spawned":
            pids.append(event["pid"])
        if event["event"] == "worker.ready" and not ready:
            ready.append(event["worker"])
            os.kill(pids[0], number)

    shown = run(
        "counter: {run: 'objects:count', count: 3}\nwaiter: {run: 'objects:wait'}", transport, on_event=act
    )

    reason = f"the process of the shared objects (pid {pids[0]}) {how}"
    assert (1, reason) == (shown.exit_code, shown.one("run.finished")["reason"])
    assert reason == shown.one("manager.exited")["reason"]


@pytest.mark.slow
def test_a_worker_killed_while_it_talks_to_the_manager_harms_nobody(run: Callable[..., Showing]) -> None:
    """
    Those who count are killed in the middle of it, with one that waits in the manager all the time; others go on.
    """
    kills: list[str] = []

    def act(event: dict[str, Any]) -> None:
        if event["event"] == "worker.ready" and event["stage"] == "counter" and len(kills) < 6:
            kills.append(event["worker"])
            with contextlib.suppress(ProcessLookupError):  # it may be ready and gone, once nothing needs it
                os.kill(event["pid"], signal.SIGKILL)

    shown = run(
        """
        counter: {run: 'objects:count', count: 2, daemon: true, restart: {max: 10}}
        waiter: {run: 'objects:wait', daemon: true}
        baker: {run: 'objects:put_bun'}
        shower: {run: 'objects:show_bun', needs: baker}
        """,
        on_event=act,
    )

    assert kills
    assert (0, ["3"]) == (shown.exit_code, shown.lines)
    assert "nobody needs it any more" == shown.one("manager.exited")["reason"]


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
def test_an_object_may_hold_things_of_classes_beside_the_workflow(
    transport: str, run: Callable[..., Showing]
) -> None:
    stages = "baker: {run: 'objects:put_bun'}\nshower: {run: 'objects:show_bun', needs: baker}"

    shown = run(stages, transport, shared="board: {kind: dict}")

    assert (0, ["3"]) == (shown.exit_code, shown.lines)


@pytest.mark.slow
def test_no_manager_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "objects.py").write_text(HANDLERS)
    (tmp_path / "objects.yaml").write_text(
        "name: objects\nshared: {board: {kind: dict}}\nstages: {counter: {run: 'objects:count', count: 2}}\n"
    )
    program = textwrap.dedent("""
        import sys
        from runner.composition import run_file

        class Teller:
            def observe(self, event):
                if event.kind in ("manager.spawned", "worker.ready"):
                    print(event.pid, flush=True)
            def close(self): ...

        run_file(sys.argv[1], observers=[Teller()])
    """)
    command = [sys.executable, "-c", program, tmp_path / "objects.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(supervisor.stdout.readline()) for _ in range(3)]
        watched = [os.pidfd_open(pid) for pid in pids]
        supervisor.kill()

        gone = [_is_gone(descriptor) for descriptor in watched]

    assert [True] * 3 == gone


def _is_gone(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        return bool(poll.poll(30_000))
    finally:
        os.close(descriptor)
