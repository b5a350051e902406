"""Ends of pipes: one worker's each, and closed with it. Kills are real."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from gallery import Capture, show

from runner.process.resources.pipes import Pipes
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import PipeSpec

TRANSPORTS = pytest.mark.parametrize("transport", ["leased", "joinable"])


def plan_of(*pipes: PipeSpec) -> Plan:
    stages = tuple(StageSpec(name, HandlerRef("python", "m:f"), workers=(name,)) for name in "abc")
    return make_plan(WorkflowSpec("w", Path("w.yaml"), stages, pipes=pipes))


def test_each_stage_gets_its_own_end_and_others_none() -> None:
    plan = plan_of(PipeSpec("wire", ("a", "b")), PipeSpec("line", ("b", "c")))
    pipes = Pipes(plan)
    resources = {worker.name: pipes.resources_for(worker) for worker in plan.workers}
    pipes.close()

    assert {"a": {"wire"}, "b": {"wire", "line"}, "c": {"line"}} == {
        name: set(of) for name, of in resources.items()
    }
    assert resources["a"]["wire"].resolve() is not resources["b"]["wire"].resolve()


def test_once_handed_over_an_end_is_no_longer_open_here_and_the_other_sees_it_close() -> None:
    plan = plan_of(PipeSpec("wire", ("a", "b")))
    a, b, _ = plan.workers
    pipes = Pipes(plan)
    left: Any = pipes.resources_for(b)["wire"].resolve()

    pipes.worker_started(a)

    with pytest.raises(EOFError):
        left.recv()
    pipes.close()
    assert left.closed


HANDLERS = """
def leave(wire):
    wire.send("hello")

def hear(wire):
    print(wire.recv())
    try:
        wire.recv()
    except EOFError:
        print("it has gone", flush=True)

def hear_and_tell(wire, done):
    hear(wire)
    done.set()

def stay(done):
    assert done.wait(30)
"""


@TRANSPORTS
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.quick("fork")
def test_when_one_ends_the_other_hears_that_it_has_gone(
    transport: str, method: str, tmp_path: Path, capfd: Capture
) -> None:
    (tmp_path / "talk.py").write_text(HANDLERS)
    (tmp_path / "talk.yaml").write_text(
        f"name: talk\ndefaults: {{stage: {{start_method: {method}}}}}\npipes: {{wire: {{ends: [hearer, teller]}}}}\n"
        "stages:\n  hearer: {run: 'talk:hear'}\n  teller: {run: 'talk:leave'}\n"
    )

    shown = show(capfd, tmp_path / "talk.yaml", transport)

    assert (0, ["hello", "it has gone"]) == (shown.exit_code, shown.lines)


def test_when_one_is_killed_the_other_hears_that_it_has_gone() -> None:
    plan = plan_of(PipeSpec("wire", ("a", "b")))
    pipes = Pipes(plan)
    left: Any = pipes.resources_for(plan.workers[1])["wire"].resolve()
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    pipes.worker_started(plan.workers[0])
    assert not left.poll(0)

    os.kill(pid, signal.SIGKILL)

    with pytest.raises(EOFError):
        left.recv()
    os.waitpid(pid, 0)
    pipes.close()


def test_a_dead_end_is_not_kept_open_by_a_third_process(tmp_path: Path, capfd: Capture) -> None:
    """
    A worker that is born later, and lives, inherits nothing of a pipe that is not its own.
    """
    (tmp_path / "talk.py").write_text(HANDLERS)
    (tmp_path / "talk.yaml").write_text(
        "name: talk\npipes: {wire: {ends: [hearer, teller]}}\nshared: {done: {kind: Event}}\n"
        "stages:\n  teller: {run: 'talk:leave'}\n  hearer: {run: 'talk:hear_and_tell'}\n"
        "  other: {run: 'talk:stay', count: 3}\n"
    )

    shown = show(capfd, tmp_path / "talk.yaml", "leased")

    assert (0, ["hello", "it has gone"]) == (shown.exit_code, shown.lines)
