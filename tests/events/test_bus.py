"""Who hears of an event, and that no observer ends a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.events.base import Event
from runner.events.bus import Bus
from runner.events.run import RunStopping


@dataclass
class Noting:
    """Notes what it hears; one that `raises` does so at each event."""

    raises: bool = False
    heard: list[Event] = field(default_factory=list)
    closed: int = 0

    def observe(self, event: Event) -> None:
        self.heard.append(event)
        if self.raises:
            raise ValueError("full")

    def close(self) -> None:
        self.closed += 1


def stopping(reason: str) -> Event:
    return RunStopping(reason=reason, signal=None, alive=[])


def test_everybody_hears_of_each_event_with_its_time_and_its_run_and_is_closed_once() -> None:
    log, report = Noting(), Noting()
    bus = Bus("3f2a", clock=lambda: 7.0, observers=[log, report])

    bus.publish(stopping("SIGINT"))
    bus.close()

    assert log.heard == report.heard == [stopping("SIGINT").stamped(7.0, "3f2a")]
    assert [1, 1] == [log.closed, report.closed]


def test_one_that_raises_hears_no_more_and_the_others_do() -> None:
    bad, good = Noting(raises=True), Noting()
    bus = Bus("3f2a", observers=[bad, good])

    for reason in ("SIGINT", "SIGTERM"):
        bus.publish(stopping(reason))

    assert [1, 2] == [len(bad.heard), len(good.heard)]
    assert [(bad, "full")] == [(observer, str(error)) for observer, error in bus.dropped]


def test_events_are_equal_where_their_kinds_and_all_that_they_say_are() -> None:
    assert stopping("SIGINT") == stopping("SIGINT")
    assert stopping("SIGINT") != stopping("SIGTERM")
    assert stopping("SIGINT") != "SIGINT"
