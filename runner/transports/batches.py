"""What becomes of a batch that a handler is called with: all of it done, halves of it tried again, some of it failed.

    batch ──► call ──► returns ─────────────► all of it is done
                ├────► raises BatchFailed ──► those that it names have failed, the others are done
                └────► raises anything else
                         ├── one item ──────► it has failed
                         └── several ───────► the first half, then the second, each in the same way

The halves are taken in their order, so that at any time what has come to an end are the oldest items in hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from runner.errors import BatchFailed, WorkerSignal


class BatchInHand(Protocol):
    """A batch in the hand of a worker, whose items have indexes."""

    def call(self, start: int, stop: int, *, split: bool) -> None:
        """Call the handler with these items, and gather what it makes; `split`: it has raised on more of them."""

    def raised(self, start: int, stop: int, error: BaseException, *, split: bool) -> None:
        """The handler raised on several items, and will get fewer at once: forget what it made of them."""

    def ended(self, start: int, stop: int, failed: Mapping[int, BaseException]) -> None:
        """These items have come to an end: but for those that have `failed`, they are done."""


def handle(batch: BatchInHand, size: int) -> None:
    """Have a batch of `size` items handled until each of them has come to an end."""
    left = [(0, size)]
    while left:
        start, stop = left.pop()
        split = stop - start < size
        try:
            batch.call(start, stop, split=split)
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as raised:
            error = _within(raised, stop - start)
            failed = _named(error, start, stop)
            if failed:
                batch.ended(start, stop, failed)
            else:
                batch.raised(start, stop, error, split=split)
                middle = (start + stop) // 2
                left += [(middle, stop), (start, middle)]
        else:
            batch.ended(start, stop, {})


def _within(error: BaseException, size: int) -> BaseException:
    """Return the error, or one that says what is wrong with it: it names items that no batch of this size has."""
    if isinstance(error, BatchFailed) and (last := max(error.errors)) >= size:
        wrong = IndexError(f"BatchFailed names item {last} of a batch of {size}, which are counted from 0")
        wrong.__cause__ = error
        return wrong
    return error


def _named(error: BaseException, start: int, stop: int) -> dict[int, BaseException]:
    """Say which items have failed, as far as that is known: none where it could be any."""
    if isinstance(error, BatchFailed):
        return {start + index: each for index, each in sorted(error.errors.items())}
    return {start: error} if stop - start == 1 else {}
