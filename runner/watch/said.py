"""What handlers say while a run goes on, each line of it once: those of before from the record, then those that come.

RunWatch, first ──► up to what moment it knows ──► the record, as soon as it reaches there ──► events, as they come
                          ▲                                                                        │
                          └────────────── it missed some, or the run tells no more ────────────────┘
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Final

from runner.events.base import Event
from runner.events.run import WorkerLogged
from runner.record.reader import RunView, as_event
from runner.watch.client import RunWatch, WatchSource

_WAIT: Final = 0.5
_LOOK_EVERY: Final = 0.1
_RECORD_SECONDS: Final = 5.0
"""For which the record may be behind; after that it lacks what was said."""
_KIND: Final = WorkerLogged.kind


def follow_said(view: RunView, watch: RunWatch) -> Iterator[Event]:
    """Yield what was said in a run, and what is, until the run is over. `view` is a look into its record."""
    record, shown = _Record(view), -math.inf
    while True:
        missed, is_over, is_live = watch.missed, watch.is_over, watch.source is WatchSource.LIVE
        for event in record.between(shown, watch.state.said if is_live else math.inf):
            shown = event.at
            yield event
        if is_over:
            return
        if not is_live:
            watch.wait(_WAIT)
            continue
        for event in _as_they_come(watch, missed):
            shown = event.at
            yield event


def _as_they_come(watch: RunWatch, missed: int) -> Iterator[Event]:
    """Yield what is said as long as the run tells all of it."""
    while not watch.is_over and watch.source is WatchSource.LIVE:
        events = watch.wait(_WAIT)
        if watch.missed != missed:
            return  # what came behind the gap is in the record as well
        yield from (event for event in events if isinstance(event, WorkerLogged))


class _Record:
    """What was written of what was said, from where it was read last."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._last = 0

    def between(self, after: float, until: float) -> Iterator[Event]:
        """Yield what was said after one moment, up to another, once the record has reached that."""
        deadline, reached = time.monotonic() + _RECORD_SECONDS, after
        while True:
            for stored in self._view.events(_KIND, after=self._last):
                if stored.at > until:
                    return
                self._last, reached = stored.id, stored.at
                event = as_event(stored, self._view.run)
                if event is not None and stored.at > after:
                    yield event
            if reached >= until or math.isinf(until) or time.monotonic() >= deadline:
                return
            time.sleep(_LOOK_EVERY)
