"""Stacks that somebody has asked for: kept for a while, so that all who look at the worker see them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

KEPT = 60.0
"""Seconds."""
MOST = 100


class StacksAsked:
    """By run and worker, what it was at and when that was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, str]] = {}

    def add(self, run: str, stacks: Mapping[str, str]) -> None:
        """Take some of a run."""
        at = time.monotonic()
        with self._lock:
            self._known.update({(run, worker): (at, text) for worker, text in stacks.items()})
            for old in list(self._known)[:-MOST]:
                del self._known[old]

    def of(self, run: str) -> Mapping[str, str]:
        """Return those of a run that are not old, by worker."""
        oldest = time.monotonic() - KEPT
        with self._lock:
            return {
                worker: text for (of, worker), (at, text) in self._known.items() if of == run and at >= oldest
            }
