"""What a page is drawn from: the state of a run, what its record says beside that, and what follows from both. Pure.

RunState ─┐
Report  ──┼──► RunPage ──► curves · shares · words          one for each page, never changed
facts  ───┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from runner.events.report import Report
from runner.events.report_fields import StageLine
from runner.facts import dataclass
from runner.record.reader import Incarnation
from runner.render.page.curves import EMPTY, Curve, End, added_up, gains, levels, shares
from runner.render.page.svg import COLOURS
from runner.watch.state import RunState

RUNNING, KILLED, DONE = "running", "killed", "done"
MOST_SMALL_STEPS = 240
"""Of a curve among many: each of them is a third as wide as one alone."""
_TONES = {DONE: "busy", RUNNING: "accent", KILLED: "bad", "interrupted": "blocked"}


@dataclass(frozen=True, slots=True)
class RunPage:
    """All that is known of a run when its page is made. Moments in seconds since the epoch."""

    state: RunState
    report: Report
    outcome: str
    """What it came to: the outcome of its report, or running, or killed."""
    facts: Mapping[str, Any]
    """Those of its record; empty where it has none."""
    lives: Sequence[Incarnation] = ()
    took: float | None = None
    """Seconds in which it ran, without what was between its incarnations; None where its report tells."""
    note: str | None = None
    """What is to be said on top: why it was killed, how it can be gone on with."""
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The last lines of what jobs printed, by job."""

    @property
    def tone(self) -> str:
        """The colour of its outcome; the word stands beside it."""
        tone = _TONES.get(self.outcome, "bad")
        return tone if tone in COLOURS else "bad"

    @property
    def is_over(self) -> bool:
        """Whether nothing more of it is to come."""
        return self.outcome != RUNNING

    @property
    def began(self) -> float:
        """When it began; a series, if there is one, has begun at that moment."""
        return self.state.began or self.report.started_at

    @property
    def seconds(self) -> float:
        """How long the time axis is: all of its incarnations, and what was between them."""
        last = max(self.state.ended or 0.0, self.state.told)
        return max(last - self.began, self.report.seconds if len(self.lives) < 2 else 0.0, 0.001)

    def share_at(self, moment: float) -> float:
        """Return where on the time axis a moment is, 0 to 1."""
        return min(max((moment - self.began) / self.seconds, 0.0), 1.0)

    def rate(self, stage: StageLine, most: int = MOST_SMALL_STEPS) -> Curve:
        """Return the items a second that a stage passed on."""
        word = "sent" if stage.role == "producer" else "done"
        series = self.state.series(f"stage/{stage.name}/{word}")
        if series is None:
            return EMPTY
        # The last snapshot was before the end, which the report tells of: of the last incarnation alone.
        end = End(self.began + self.seconds, float(getattr(stage, word)))
        return gains(series, end if self.is_over and len(self.lives) < 2 else None, most)

    def run_rate(self) -> Curve:
        """Return the items a second that came to the end of their way."""
        return added_up(self.rate(stage, most=600) for stage in self.last_stages)

    @property
    def last_stages(self) -> list[StageLine]:
        """The stages that pass nothing on; all of them, where each does."""
        last = [stage for stage in self.report.stages if not stage.outputs and stage.role != "plain"]
        return last or [stage for stage in self.report.stages if stage.role != "plain"]

    @property
    def done(self) -> int:
        """Items that have come to the end of their way, under earlier runners too."""
        last = self.last_stages
        now = sum(stage.sent if stage.role == "producer" else stage.done for stage in last)
        read = {stage.receives for stage in last}
        return now + sum(queue.done_before for queue in self.report.queues if queue.name in read)

    def fill(self, queue: str, most: int = MOST_SMALL_STEPS) -> Curve:
        """Return how many items waited in a queue."""
        series = self.state.series(f"queue/{queue}/size")
        return EMPTY if series is None else levels(series, most)

    def stage_busy(self, stage: str) -> Curve:
        """Return the share of the time, 0 to 1, that the workers of a stage were in its handler."""
        busy, alive = (self.state.series(f"stage/{stage}/{word}") for word in ("busy", "alive"))
        if busy is None or alive is None:
            return EMPTY
        return shares(gains(busy, None, MOST_SMALL_STEPS), levels(alive, MOST_SMALL_STEPS))

    def worker_busy(self, worker: str) -> Curve | None:
        """Return the same of one worker; None where nobody has kept it."""
        series = self.state.series(f"worker/{worker}/busy")
        if series is None:
            return None
        found = gains(series, None, MOST_SMALL_STEPS)
        return Curve(found.step, tuple(min(value, 1.0) for value in found.values))
