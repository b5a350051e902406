"""What a producer knows of which of its items are in a kept cut, and so can't be lost by any death.

    producer                                                          supervisor
    first look ── FollowsCuts ─────────────────────────────────────► followed ──┐
    count ◄── the word COMMITTED of its page ◄── after each kept cut ◄──────────┤ RunCuts
    wait ── the word AWAITED, FollowsCuts ─────────────────────────► a cut soon ┘

Who never looks sends nothing, and is told nothing. To look takes no message: the page is memory that both have.
"""

from __future__ import annotations

import math
import threading
import time

from runner.errors import HandlerError
from runner.ipc.status_page import Word
from runner.spec.model import Role
from runner.spec.plan import WorkerPlan
from runner.transports.base import WorkerEndpoint

GRACE = 1.0
"""Seconds that a wait may last once the run is being stopped: a cut comes sooner, if one comes at all."""
_FIRST_LOOK, _LONGEST_LOOK = 0.001, 0.01
"""Seconds between two looks of who waits."""


class CommittedItems:
    """One producer's. Its handler may use it from several threads."""

    def __init__(self, plan: WorkerPlan, endpoint: WorkerEndpoint) -> None:
        """Ask to be told. Raises `HandlerError` where there is nothing to tell."""
        if plan.role is not Role.PRODUCER:
            raise HandlerError(
                f"`worker.committed` counts the items that a producer has put, and stage '{plan.stage}' is none: it "
                f"is a {plan.role} one"
            )
        if plan.committed is None or endpoint.send_made is None:
            raise HandlerError(
                "`worker.committed` counts the items that a cut of the run has, and none is kept of this one: that "
                "takes `transport: leased`, no `resume: none`, and no `--no-record`"
            )
        self._words = endpoint.status.words
        self._send = endpoint.send
        self._send_made = endpoint.send_made
        self._most = plan.committed
        self._waits: list[int] = []
        """For how many items each waits that does."""
        self._lock = threading.Lock()
        self._follow()

    def count(self) -> int:
        """Count them. They never become fewer."""
        self._most = max(self._most, self._words[Word.COMMITTED])
        return self._most

    def wait(self, count: int | None, timeout: float) -> bool:
        """Wait for so many of them, or for all that were put up to now, to a bound; say whether they are there."""
        made = self._send_made()
        wanted = made if count is None else count
        if self.count() >= wanted:
            return True
        self._note(wanted, ends=False)
        try:
            return self._wait(wanted, time.monotonic() + timeout)
        finally:
            self._note(wanted, ends=True)

    def _wait(self, wanted: int, deadline: float) -> bool:
        pause, stopped_by = _FIRST_LOOK, math.inf
        while self.count() < wanted:
            now = time.monotonic()
            if self._words[Word.STOP]:
                stopped_by = min(stopped_by, now + GRACE)
            if now >= min(deadline, stopped_by):
                return False
            time.sleep(min(pause, deadline - now))
            pause = min(2 * pause, _LONGEST_LOOK)
            self._send_made()  # there was no room for some of it before, maybe
        return True

    def _note(self, wanted: int, *, ends: bool) -> None:
        """Somebody begins to wait, or does no longer."""
        with self._lock:
            if ends:
                self._waits.remove(wanted)
            else:
                self._waits.append(wanted)
            self._words[Word.AWAITED] = max(self._waits, default=0)
        if not ends:
            self._follow()

    def _follow(self) -> None:
        self._send("follows_cuts")
