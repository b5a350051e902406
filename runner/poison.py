"""When it is the handler that kills its workers, and not the items: too many of them in a row. Pure.

    condemned ▯ condemned ▯ condemned    nothing done in between ──► at_fault says why the run must end
    condemned ▯ done done ▯ condemned    each for itself         ──► dead letters, as many as there are

A death with an item in hand costs the item an attempt and its stage nothing. So a handler that dies of everything would
go on until the last item, although nothing good can come of it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runner.ledger import Account
from runner.plan import Plan


@dataclass(frozen=True, slots=True)
class _Streak:
    """Items of one stage that were condemned in a row."""

    items: int = 0
    done: int = 0
    """Items that its queue had done when the last of them was condemned."""


class Streaks:
    """Counts, for each stage, the items in a row that killed their workers."""

    def __init__(self, plan: Plan, account: Callable[[str], Account], is_lost: Callable[[], bool]) -> None:
        """`is_lost` says whether the run has too many failures already."""
        self._stages = {stage.name: stage for stage in plan.stages}
        self._account = account
        self._is_lost = is_lost
        self._streaks: dict[str, _Streak] = {}

    def at_fault(self, name: str) -> str | None:
        """One more item of a stage was condemned: return why the run must end for it, or None.

        Where the errors so far are within `limits.max_errors`, the user wants all of them, however many.
        """
        stage = self._stages[name]
        assert stage.receives is not None
        before, done = self._streaks.get(name, _Streak()), self._account(stage.receives).done
        items = before.items + 1 if done == before.done else 1
        self._streaks[name] = _Streak(items, done)
        # The first item of each worker may be a header that all of them trip over.
        if items <= max(stage.workers[0].restart.max, len(stage.workers)) or not self._is_lost():
            return None
        return (
            f"{items} items in a row killed their workers, and none went through: "
            "the handler itself seems to be at fault"
        )
