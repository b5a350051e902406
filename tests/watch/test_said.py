"""What handlers say while a run goes on is shown once, from the record and as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from run_events import started

from runner.events.base import Event
from runner.events.run import WorkerLogged, WorkerReady
from runner.record.reader import RunView, StoredEvent
from runner.watch.client import RunWatch, WatchSource
from runner.watch.said import follow_said
from runner.watch.state import RunState


def said(at: float) -> Event:
    return WorkerLogged(worker="w", stage="s", pid=9, message=f"line {at}", fields={}).stamped(at, "r")


class Play:
    """A run, of which the record is behind what is told live, and of which what is told may have gaps."""

    run = "r"

    def __init__(self, *steps: object) -> None:
        """Each step is what one wait brings: events; "gap" and the moment up to which all was missed; or an end."""
        self.steps = list(steps)
        self.written: list[float] = []
        self.source, self.missed, self.is_over = WatchSource.LIVE, 0, False
        self.state = RunState()
        self.state.observe(started().stamped(0.0, "r"))

    def events(self, _name: str, after: int) -> Iterator[StoredEvent]:
        """Read the record. It has what is `written`, and each look finds what was said a while ago."""
        for number, at in enumerate(self.written, 1):
            if number > after:
                event = said(at)
                yield StoredEvent(number, at, event.kind, 20, "s", "w", vars(event))

    def wait(self, _seconds: float) -> list[Event]:
        step = self.steps.pop(0) if self.steps else "end"
        match step:
            case "end":
                self.is_over = True
            case "killed":
                self.is_over, self.source = True, WatchSource.RECORD
            case "lost":
                self.source = WatchSource.RECORD
            case ("gap", float(until)):
                self.missed += 1
                self.state.said = until
            case ("written", *ats):
                self.written += cast("list[float]", ats)
            case list(ats):
                events = [said(at) for at in ats]
                for event in events:
                    self.state.observe(event)
                return [*events, WorkerReady(worker="w", stage="s", pid=9).stamped(9.0, "r")]
        return []

    def shown(self) -> list[float]:
        return [event.at for event in follow_said(cast("RunView", self), cast("RunWatch", self))]


def test_what_was_written_comes_first_and_then_what_is_told() -> None:
    play = Play([3.0], [4.0, 5.0])
    play.written, play.state.said = [1.0, 2.0], 2.0

    assert [1.0, 2.0, 3.0, 4.0, 5.0] == play.shown()


@pytest.mark.slow
def test_what_the_record_has_already_of_what_is_told_is_not_shown_twice() -> None:
    play = Play([3.0], [4.0])
    play.written, play.state.said = [1.0, 2.0, 3.0], 2.0

    assert [1.0, 2.0, 3.0, 4.0] == play.shown()


@pytest.mark.slow
def test_what_was_missed_is_read_from_the_record() -> None:
    play = Play([2.0], ("written", 1.0, 2.0, 3.0, 4.0, 5.0), ("gap", 5.0), [6.0])

    assert [2.0, 3.0, 4.0, 5.0, 6.0] == play.shown()[-5:]
    assert 5 == len(Play([2.0], ("written", 2.0, 3.0, 4.0, 5.0), ("gap", 5.0), [6.0]).shown())


@pytest.mark.slow
def test_where_the_run_tells_no_more_its_record_is_read_to_the_end() -> None:
    play = Play([2.0], ("written", 2.0, 3.0), "lost", ("written", 4.0), "end")

    assert [2.0, 3.0, 4.0] == play.shown()
    assert [2.0, 3.0] == Play([2.0], ("written", 2.0, 3.0), "killed").shown()
