"""`order: keep`: outputs leave a stage in the order of its inputs, though its workers run abreast. Pure.

    worker 2: outputs of items 4 to 6 ──► held until the items before 4 have come to an end ──► next queue
    worker 1: outputs of items 1 to 3 ──► released at once

Items are numbered in the order in which they were put. What is held is bounded by what the workers may hold at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from runner.errors import MprunInternalError

Output = TypeVar("Output")


@dataclass(slots=True)
class _Stretch(Generic[Output]):
    """Items from `first` to `next` have come to an end; `outputs` are theirs, and from the beginning of item `next`."""

    first: int
    next: int
    outputs: list[Output] = field(default_factory=list)


class Resequencer(Generic[Output]):
    """Puts what workers report about their items back into the order of the items."""

    def __init__(self) -> None:
        self._expected = 0
        self._by_first: dict[int, _Stretch[Output]] = {}
        self._by_next: dict[int, _Stretch[Output]] = {}

    @property
    def expected(self) -> int:
        """The first item that has not come to an end."""
        return self._expected

    @property
    def holding(self) -> int:
        """Outputs that wait for items before theirs."""
        return sum(len(stretch.outputs) for stretch in self._by_first.values())

    def report(self, first: int, upto: int, output: Output | None) -> list[Output]:
        """Items `first` to `upto` have come to an end and made `output`; return what may leave now, in order.

        `upto` may equal `first`: then the output is from the beginning of that item. What one worker reports of
        neighbouring items comes in their order; different workers' reports come in any.
        """
        made = [] if output is None else [output]
        if first < self._expected:
            raise MprunInternalError(f"item {first} came to an end twice")
        if first > self._expected:
            self._hold(first, upto, made)
            return []
        self._expected = upto
        while (stretch := self._by_first.pop(self._expected, None)) is not None:
            self._by_next.pop(stretch.next, None)
            made += stretch.outputs
            self._expected = stretch.next
        return made

    def _hold(self, first: int, upto: int, made: list[Output]) -> None:
        stretch = self._before(first)
        if stretch is None:
            stretch = self._by_first[first] = _Stretch(first, upto)
        stretch.next = upto
        stretch.outputs += made
        if upto > stretch.first:
            self._by_next[upto] = stretch

    def _before(self, first: int) -> _Stretch[Output] | None:
        """Take out of `_by_next` the stretch that goes on with item `first`: they leave together."""
        begun = self._by_first.get(first)
        if begun is not None and begun.next > first:
            raise MprunInternalError(f"item {first} was reported twice")
        return begun or self._by_next.pop(first, None)
