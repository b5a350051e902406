"""Legs without a value that their job's texts refer to: told once for each reference, by the names of the legs. Pure.

include: [{x: a, q: 1}, {x: b}]   `${{ matrix.q }}`  ──►  leg (b) has no 'q'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from runner.jobs.matrix import Leg
from runner.problems import Problem
from runner.references import Reference, references
from runner.source_marks import DataPath, Source

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Lacking:
    """A reference to a value that some legs have and these do not."""

    path: DataPath
    """Of the text that it stands in."""
    reference: Reference
    legs: tuple[Leg, ...]

    def problem(self, source: Source) -> Problem:
        """Say which legs they are."""
        key = self.reference.names[1]
        named = ", ".join(f"({leg.label})" for leg in self.legs[:_MOST_NAMED])
        more = f" and {len(self.legs) - _MOST_NAMED} more" if len(self.legs) > _MOST_NAMED else ""
        subject = f"leg {named} has" if len(self.legs) == 1 else f"legs {named}{more} have"
        help_ = f"give each leg a '{key}': a list of it in the matrix, or one in each entry of `include`"
        where = source.within(self.path, self.reference.start, self.reference.width)
        return where.problem("unknown-reference", f"{subject} no '{key}'", help=help_)


def lacking(texts: Iterable[tuple[DataPath, str]], legs: Sequence[Leg]) -> Iterator[Lacking]:
    """Find, in the texts of a job, the references to keys of the matrix that only some of its legs have."""
    anywhere = {key for leg in legs for key in leg.values}
    for path, text in texts:
        for reference in references(text):
            root, *rest = reference.names
            if root == "matrix" and rest and rest[0] in anywhere:
                without = tuple(leg for leg in legs if rest[0] not in leg.values)
                if without:
                    yield Lacking(path, reference, without)
