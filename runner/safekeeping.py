"""Safekeeping: dead letters on their way to where they are kept, and those that never got there.

an item that failed for good ──► keep ──┬── written at once
                                        └── behind ──► catch_up, a step each time the loop comes by ──► lost
"""

from __future__ import annotations

from typing import Protocol

from runner import verdict
from runner.facts import Remains
from runner.plan import WorkerPlan
from runner.verdict import Cause


class Letters(Protocol):
    """Where items are kept that failed for good."""

    def keep(
        self,
        stage: str,
        queue: str | None,
        worker: str,
        item: str,
        error: str,
        traceback: str,
        remains: Remains,
    ) -> str:
        """Keep one; return where. Raises OSError if it can't be written."""

    @property
    def behind(self) -> bool:
        """Whether something of those kept is still to be written."""

    def catch_up(self) -> None:
        """Write some of that. Takes a moment. Raises OSError where one is lost."""


class Safekeeping:
    """Keeps letters where there is a place for them, and counts those that are lost on the way."""

    def __init__(self, letters: Letters | None) -> None:
        self._letters = letters
        self._lost = 0
        self._trouble = ""

    def keep(
        self, plan: WorkerPlan, item: str, error: str, traceback: str, remains: Remains
    ) -> tuple[str | None, str]:
        """Keep an item that failed in a worker of `plan`; return where it is, and the trouble if it is nowhere."""
        if self._letters is None:
            return None, ""
        try:
            where = self._letters.keep(plan.stage, plan.receives, plan.name, item, error, traceback, remains)
        except OSError as failure:  # a full disk takes the letter; the rest of the work is still worth doing
            return None, self._lose(failure)
        return where, ""

    @property
    def behind(self) -> bool:
        """Whether letters are still to be written."""
        return self._letters is not None and self._letters.behind

    def catch_up(self) -> None:
        """Write a little more of them; at once where there is nothing to write."""
        if self._letters is not None and self._letters.behind:
            try:
                self._letters.catch_up()
            except OSError as failure:
                self._lose(failure)

    def lost(self) -> Cause | None:
        """Write what is left, and say why the run has failed if a letter could not be kept. Blocks meanwhile."""
        while self.behind:
            self.catch_up()
        return verdict.letters_lost(self._lost, self._trouble) if self._lost else None

    def _lose(self, failure: OSError) -> str:
        self._lost += 1
        self._trouble = failure.strerror or str(failure)
        return self._trouble
