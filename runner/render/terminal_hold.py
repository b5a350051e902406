"""What is shown of a run while one of its jobs has the terminal: nothing, and all of it afterwards.

    events ──► TerminalHold ──► those who show them          while nobody has the terminal
                   └── kept, until that job has ended        a live view is closed for good

What jobs print is in their logs, so that of the others nothing is held here but events.
"""

from __future__ import annotations

from runner.events.base import Event
from runner.events.bus import Bus
from runner.events.jobs import JobEvent, JobFinished, JobRetried, JobSkipped, JobStarted
from runner.events.run import RunFinished
from runner.render.job_output.base import JobOutput


class TerminalHold:
    """Stands between the events and the bus of those who show them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._job: str | None = None
        self._kept: list[Event] = []

    @property
    def is_held(self) -> bool:
        """Whether nothing may be shown now."""
        return self._job is not None

    def forward(self, event: Event) -> None:
        """Have an event shown, now or when the terminal is free again."""
        if self._job is None:
            self._bus.forward(event)
            if isinstance(event, JobStarted) and event.interactive:
                self._job = event.job
                self._clear()
            return
        self._kept.append(event)
        if self._is_end(event):
            self.release()

    def release(self) -> None:
        """The terminal is free: show what was kept."""
        kept, self._kept, self._job = self._kept, [], None
        for event in kept:
            self.forward(event)

    def _is_end(self, event: Event) -> bool:
        if isinstance(event, RunFinished):
            return True
        ends = isinstance(event, JobFinished | JobRetried | JobSkipped)
        return ends and isinstance(event, JobEvent) and event.job == self._job

    def _clear(self) -> None:
        """Show what there is of the output, and take a live view away."""
        staying = []
        for observer in self._bus.observers:
            if isinstance(observer, JobOutput):
                observer.tick()
            if (
                type(observer).__name__ == "ProgressObserver"
            ):  # whose module has rich, which is not always there
                observer.close()
            else:
                staying.append(observer)
        self._bus.observers = staying
