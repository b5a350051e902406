"""What flows, as pages show it: taps that somebody has opened, seen by all who look at the stage.

POST tap ──► WatchedTaps.open ──► TapClient ──► run          drawn ──► WatchedTaps.shown ──► poll ──► the last items
                                                      nobody looks ──► the run forgets it by itself
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Literal

from runner.errors import UsageError
from runner.facts import dataclass
from runner.watch.tap import ShownItem, TapClient

ANSWER_SECONDS = 2.0
"""That a run may take to answer: pages wait meanwhile."""
MOST_ITEMS = 40
"""That a page shows."""
FORGOTTEN_AFTER = 30.0
"""Seconds without anybody who looks."""

Side = Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class TapPane:
    """What a tap has shown."""

    side: str
    items: Sequence[ShownItem]
    """The newest last."""
    shown: int
    passed: int
    is_over: bool


@dataclass(slots=True)
class _Tap:
    client: TapClient
    side: str
    items: deque[ShownItem] = field(default_factory=lambda: deque(maxlen=MOST_ITEMS))
    shown: int = 0
    looked: float = field(default_factory=time.monotonic)


class WatchedTaps:
    """The taps that are open, by run and stage."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], _Tap] = {}

    def open(self, folder: Path, stage: str, side: Side, *, limit: int = 10) -> None:
        """Open one, in the place of another of the same stage. Raises UsageError."""
        tap = _Tap(TapClient(folder, stage, side, limit=limit, timeout=ANSWER_SECONDS), side)
        with self._lock:
            before = self._open.pop((folder.name, stage), None)
            self._open[folder.name, stage] = tap
        if before is not None:
            before.client.close()

    def close(self, folder: Path, stage: str) -> None:
        """Close one. It may be closed already."""
        with self._lock:
            tap = self._open.pop((folder.name, stage), None)
        if tap is not None:
            tap.client.close()

    def shown(self, run: str, stage: str) -> TapPane | None:
        """Return what has been shown up to now; None where no tap is open."""
        now = time.monotonic()
        with self._lock:
            for key in [key for key, tap in self._open.items() if now - tap.looked > FORGOTTEN_AFTER]:
                del self._open[key]  # of which the run knows nothing any more
            tap = self._open.get((run, stage))
            if tap is None:
                return None
            tap.looked = now
            try:
                new = tap.client.poll()
            except UsageError:
                new = []
            tap.items.extend(new)
            tap.shown += len(new)
            return TapPane(tap.side, tuple(tap.items), tap.shown, tap.client.passed, tap.client.ended)
