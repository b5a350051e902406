"""What runs now, in a few lines for the bottom of a terminal: a fold of events, asked again and again. Pure.

ci  0:12  5 of 8 done, 1 failed
  test (3.11)  8.2s  pytest
  docs  1.0s  build the pages
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from runner.cells import visible
from runner.events import Event
from runner.jobs.telling import Said, Tone
from runner.units import rough_duration

_TOLD = {"failed": "failed", "timed_out": "failed", "cancelled": "cancelled", "skipped": "skipped"}


@dataclass(slots=True)
class _Running:
    began: float
    step: str = ""


@dataclass(slots=True)
class JobBoard:
    """What the view knows. Times are seconds since the epoch, as in events."""

    workflow: str = ""
    total: int = 0
    began: float = 0.0
    note: str = ""
    running: dict[str, _Running] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    """What became of each job, for those that are over."""

    def observe(self, event: Event) -> None:
        """Take note of one event."""
        fields = event.fields
        match event.name:
            case "run.started":
                self.workflow, self.total, self.began = fields["workflow"], fields.get("jobs", 0), event.at
            case "job.started":
                self.running[fields["job"]] = _Running(event.at)
            case "step.started" if fields["job"] in self.running:
                self.running[fields["job"]].step = fields["name"]
            case "job.retried":
                self.running.pop(fields["job"], None)
            case "job.finished":
                self._end(fields["job"], fields["result"])
            case "job.skipped":
                self._end(fields["job"], "skipped")
            case "job.cancelled" if fields["job"] not in self.running:
                self._end(fields["job"], "cancelled")
            case "run.stopping":
                self.note = f"stopping: {fields['reason']}"

    def lines(self, now: float, most: int) -> list[Said]:
        """Return the view, in at most `most` lines; what has run longest comes first, and the rest is counted."""
        oldest = sorted(self.running.items(), key=lambda each: each[1].began)
        shown = oldest if len(oldest) < most else oldest[: most - 2]
        rows = [Said(self._row(job, running, now)) for job, running in shown]
        more = (
            [Said(f"  and {len(oldest) - len(shown)} more", Tone.ASIDE)] if len(shown) < len(oldest) else []
        )
        return [self._heading(now), *rows, *more]

    def _heading(self, now: float) -> Said:
        elapsed = int(max(now - self.began, 0))
        clock = f"{elapsed // 3600}:{elapsed // 60 % 60:02}:{elapsed % 60:02}".removeprefix("0:")
        counts = Counter(_TOLD[result] for result in self.ended.values() if result in _TOLD)
        told = [
            f"{len(self.ended)} of {self.total} done",
            *(f"{count} {what}" for what, count in counts.items()),
        ]
        note = f"  {visible(self.note)}" if self.note else ""
        return Said(f"{visible(self.workflow)}  {clock}  {', '.join(told)}{note}", Tone.HEADING)

    def _row(self, job: str, running: _Running, now: float) -> str:
        step = f"  {visible(running.step)}" if running.step else ""
        return f"  {visible(job)}  {rough_duration(max(now - running.began, 0))}{step}"

    def _end(self, job: str, result: str) -> None:
        self.running.pop(job, None)
        self.ended[job] = result
