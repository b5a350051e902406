"""`order: keep`: outputs leave a stage in the order of its inputs, though its workers run abreast. Pure.

    worker 2: outputs of items 4 to 6 ──► held until the items before 4 have come to an end ──► next queue
    worker 1: outputs of items 1 to 3 ──► released at once

Items are numbered in the order in which they were put. What is held is bounded by what the workers may hold at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from runner.errors import MprunInternalError

Output = TypeVar("Output")


@dataclass(frozen=True, slots=True)
class _Stretch(Generic[Output]):
    """Items before `next` have come to an end; `outputs` were made from them, and from the beginning of item `next`."""

    next: int
    outputs: tuple[Output, ...]


class Resequencer(Generic[Output]):
    """Puts what workers report about their items back into the order of the items."""

    def __init__(self) -> None:
        self._expected = 0
        self._held: dict[int, _Stretch[Output]] = {}

    @property
    def expected(self) -> int:
        """The first item that has not come to an end."""
        return self._expected

    @property
    def holding(self) -> int:
        """Outputs that wait for items before theirs."""
        return sum(len(stretch.outputs) for stretch in self._held.values())

    def report(self, first: int, upto: int, output: Output | None) -> list[Output]:
        """Items `first` to `upto` have come to an end and made `output`; return what may leave now, in order.

        `upto` may equal `first`: then the output is from the beginning of that item. What one worker reports of
        neighbouring items comes in their order; different workers' reports come in any.
        """
        made = () if output is None else (output,)
        if first < self._expected:
            raise MprunInternalError(f"item {first} came to an end twice")
        if first > self._expected:
            self._hold(first, upto, made)
            return []
        self._expected = upto
        released = list(made)
        while (stretch := self._held.pop(self._expected, None)) is not None:
            released += stretch.outputs
            self._expected = stretch.next
        return released

    def _hold(self, first: int, upto: int, made: tuple[Output, ...]) -> None:
        # A stretch that ends where this one begins is the same worker's: they leave together.
        before = next((start for start, held in self._held.items() if held.next == first), None)
        if before is not None:
            held = self._held[before]
            self._held[before] = _Stretch(upto, held.outputs + made)
        elif first in self._held:
            raise MprunInternalError(f"item {first} was reported twice")
        else:
            self._held[first] = _Stretch(upto, made)
