"""What a run keeps up beside its workers: told of when it begins and ends, and once when it breaks."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runner.events.base import Event
from runner.events.bus import Bus
from runner.handlers.listeners import Listeners
from runner.ipc.messages import Exited
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import SharedSpec
from runner.supervisor.resources import NO_RESOURCES, ResourceMonitor


class Manager:
    """Ends when a test says so, or when it is told to."""

    pid = 4711
    names = ("board",)
    listens = True
    stopped = False

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def exited_nowait(self) -> Exited | None:
        """As the test says."""
        return None if self.code is None else Exited("manager", self.pid, self.code)

    def exited_if_unreachable(self) -> Exited | None:
        """It is on its way."""
        return self.exited_nowait() if self.listens else Exited("manager", self.pid, -signal.SIGKILL)

    def is_stopped(self) -> bool:
        """As the test says."""
        return self.stopped

    def end(self) -> Exited:
        """Killed, unless it is gone."""
        return self.exited_nowait() or Exited("manager", self.pid, -signal.SIGKILL)


class Told:
    """What is published, as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.publish = Bus("run", observers=[self]).publish

    def observe(self, event: Event) -> None:
        """Keep it."""
        fields = vars(event)
        shown = [str(fields[key]) for key in ("stage", "pid", "objects", "reason") if key in fields]
        self.lines.append(" ".join([event.kind, *shown]))

    def close(self) -> None:
        """Nothing to flush."""


def plan_of() -> Plan:
    serve = HandlerRef("serve", "serve", {"handler": "m:talk"})
    stage = StageSpec("door", serve, workers=("door-1",))
    return make_plan(WorkflowSpec("w", Path("w.yaml"), (stage,), shared=(SharedSpec("board", "dict"),)))


def test_it_begins_with_saying_what_there_is() -> None:
    listeners, told = Listeners(plan_of()), Told()

    ResourceMonitor(listeners, Manager()).begin(told.publish)

    listeners.close()
    assert ["server.listening door", "manager.spawned 4711 ['board']"] == told.lines


@pytest.mark.parametrize(
    ("code", "how"), [(-signal.SIGKILL, "was killed by SIGKILL"), (3, "exited with code 3")]
)
def test_a_manager_that_has_ended_is_trouble_once(code: int, how: str) -> None:
    told, manager = Told(), Manager()
    monitor = ResourceMonitor(manager=manager)
    before = monitor.failure(told.publish)
    manager.code = code

    failures = [monitor.failure(told.publish) for _ in range(2)]
    monitor.end(told.publish)

    reason = f"the process of the shared objects (pid 4711) {how}; what they held is gone"
    assert (None, [reason, None]) == (before, failures)
    assert [f"manager.exited 4711 {reason}"] == told.lines


def test_a_manager_that_is_about_to_be_dead_is_looked_for_where_it_is_suspected() -> None:
    told, manager = Told(), Manager()
    manager.listens = False
    monitor = ResourceMonitor(manager=manager)

    failures = [monitor.failure(told.publish, suspected=suspected) for suspected in (False, True, True)]

    assert [False, True, False] == [failure is not None for failure in failures]


def test_a_manager_that_is_stopped_is_trouble_and_is_ended() -> None:
    told, manager = Told(), Manager()
    manager.stopped = True
    monitor = ResourceMonitor(manager=manager)

    failures = [monitor.failure(told.publish) for _ in range(2)]

    reason = "the process of the shared objects (pid 4711) was stopped by a signal, and whoever uses them waits for it"
    assert ([reason, None], [f"manager.exited 4711 {reason}"]) == (failures, told.lines)


def test_a_manager_that_has_done_its_work_is_ended() -> None:
    told = Told()

    ResourceMonitor(manager=Manager()).end(told.publish)

    assert ["manager.exited 4711 nobody needs it any more"] == told.lines


def test_to_stop_is_to_let_nobody_new_in() -> None:
    listeners = Listeners(plan_of())

    ResourceMonitor(listeners).stop_accepting()

    assert [] == listeners.listening()


def test_where_nothing_is_kept_up_nothing_happens() -> None:
    told = Told()

    NO_RESOURCES.begin(told.publish)
    NO_RESOURCES.stop_accepting()
    NO_RESOURCES.end(told.publish)

    assert (None, []) == (NO_RESOURCES.failure(told.publish), told.lines)
