"""What a run keeps up beside its workers: told of when it begins and ends, and once when it breaks."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runner.announcer import Announcer
from runner.events import Bus, Event
from runner.facts import Exited
from runner.listeners import Listeners
from runner.plan import Plan, make_plan
from runner.spec import HandlerRef, SharedSpec, StageSpec, WorkflowSpec
from runner.upkeep import NO_UPKEEP, Upkeep


class Keeper:
    """Ends when a test says so, or when it is told to."""

    pid = 4711
    hears = True
    stopped = False

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def exited_nowait(self) -> Exited | None:
        """As the test says."""
        return None if self.code is None else Exited("keeper", self.pid, self.code)

    def exited_if_deaf(self) -> Exited | None:
        """It is on its way."""
        return self.exited_nowait() if self.hears else Exited("keeper", self.pid, -signal.SIGKILL)

    def is_stopped(self) -> bool:
        """As the test says."""
        return self.stopped

    def end(self) -> Exited:
        """Killed, unless it is gone."""
        return self.exited_nowait() or Exited("keeper", self.pid, -signal.SIGKILL)


class Told:
    """What is published, as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.announce = Announcer(Bus("run", observers=[self]), plan_of())

    def observe(self, event: Event) -> None:
        """Keep it."""
        fields = event.as_dict()
        shown = [str(fields[key]) for key in ("stage", "pid", "objects", "reason") if key in fields]
        self.lines.append(" ".join([event.name, *shown]))

    def close(self) -> None:
        """Nothing to flush."""


def plan_of() -> Plan:
    serve = HandlerRef("serve", "serve", {"handler": "m:talk"})
    stage = StageSpec("door", serve, workers=("door-1",))
    return make_plan(WorkflowSpec("w", Path("w.yaml"), (stage,), shared=(SharedSpec("board", "dict"),)))


def test_it_begins_with_saying_what_there_is() -> None:
    listeners, told = Listeners(plan_of()), Told()

    Upkeep(listeners, Keeper()).begin(told.announce)

    listeners.close()
    assert ["server.listening door", "keeper.spawned 4711 ['board']"] == told.lines


@pytest.mark.parametrize(
    ("code", "how"), [(-signal.SIGKILL, "was killed by SIGKILL"), (3, "exited with code 3")]
)
def test_a_keeper_that_has_ended_is_trouble_once(code: int, how: str) -> None:
    told, keeper = Told(), Keeper()
    upkeep = Upkeep(keeper=keeper)
    before = upkeep.trouble(told.announce)
    keeper.code = code

    troubles = [upkeep.trouble(told.announce) for _ in range(2)]
    upkeep.end(told.announce)

    reason = f"the process of the shared objects (pid 4711) {how}; what they held is gone"
    assert (None, [reason, None]) == (before, troubles)
    assert [f"keeper.exited 4711 {reason}"] == told.lines


def test_a_keeper_that_is_about_to_be_dead_is_looked_for_where_it_is_suspected() -> None:
    told, keeper = Told(), Keeper()
    keeper.hears = False
    upkeep = Upkeep(keeper=keeper)

    troubles = [upkeep.trouble(told.announce, suspected=suspected) for suspected in (False, True, True)]

    assert [False, True, False] == [trouble is not None for trouble in troubles]


def test_a_keeper_that_is_stopped_is_trouble_and_is_ended() -> None:
    told, keeper = Told(), Keeper()
    keeper.stopped = True
    upkeep = Upkeep(keeper=keeper)

    troubles = [upkeep.trouble(told.announce) for _ in range(2)]

    reason = "the process of the shared objects (pid 4711) was stopped by a signal, and whoever uses them waits for it"
    assert ([reason, None], [f"keeper.exited 4711 {reason}"]) == (troubles, told.lines)


def test_a_keeper_that_has_done_its_work_is_ended() -> None:
    told = Told()

    Upkeep(keeper=Keeper()).end(told.announce)

    assert ["keeper.exited 4711 nobody needs it any more"] == told.lines


def test_to_stop_is_to_let_nobody_new_in() -> None:
    listeners = Listeners(plan_of())

    Upkeep(listeners).stop_accepting()

    assert [] == listeners.listening()


def test_where_nothing_is_kept_up_nothing_happens() -> None:
    told = Told()

    NO_UPKEEP.begin(told.announce)
    NO_UPKEEP.stop_accepting()
    NO_UPKEEP.end(told.announce)

    assert (None, []) == (NO_UPKEEP.trouble(told.announce), told.lines)
