"""Piles: the dead letters of one stage of one run, found by what a user calls the run, and what is left of them.

"fetch" ──► runs of that name ──► those that have letters ──► those that have some left ──► one run ──► its piles
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from runner.dead_letters import DeadLetter, letter_files, mark_replayed, read_letters, replayed
from runner.errors import UsageError
from runner.record import RunRecord, all_records, home, listed, matching, the_one
from runner.report import Report


@dataclass(frozen=True, slots=True)
class Pile:
    """The letters of one stage of one run."""

    record: RunRecord
    file: Path
    letters: tuple[DeadLetter, ...]
    """Oldest first."""
    replayed: frozenset[int]

    @property
    def stage(self) -> str:
        """The stage that failed on them."""
        return self.letters[0].stage

    @property
    def left(self) -> list[int]:
        """The numbers of those that were not replayed and can be, in the order in which a replay puts them back."""
        return [
            each.number
            for each in self.letters
            if each.number not in self.replayed and each.frame is not None
        ]

    def letter(self, number: int) -> DeadLetter:
        """Return one letter by its number. Raises `UsageError` if there is none."""
        for letter in self.letters:
            if letter.number == number:
                return letter
        last = max(letter.number for letter in self.letters)
        raise UsageError(f"stage '{self.stage}' has letters 1 to {last}, not {number}")

    def mark(self, report: Report, source: str) -> int:
        """
        Mark those of `left` that a replay has put back and seen through; return how many. Raises OSError.

        `source` is the stage of the replay that put them. It puts them in order, so what it had put when it ended, or
        was ended, are the first ones; and they are through if no queue of the replay has anything left. A letter that
        failed once more is through as well: it is a letter of the replay's own run.
        """
        queue = next((each for each in report.queues if each.name == self.letters[0].queue), None)
        if queue is None or queue.dropped or any(each.waiting or each.leased for each in report.queues):
            return 0
        put = next((stage.sent for stage in report.stages if stage.name == source), 0)
        if through := self.left[:put]:
            mark_replayed(self.file, through, report.run)
        return len(through)


def all_piles() -> list[Pile]:
    """Every pile there is, run by run, oldest first."""
    return _piles_of(all_records())


def find_piles(run: str) -> list[Pile]:
    """
    Return the piles of the one run that `run` means: the beginning of its id, or the name of its workflow.

    Of several runs those count that have letters, and of several such those that have letters left to replay.

    Raises:
        UsageError: there is no such run, or there are several.
    """
    known = all_records()
    found = matching(run, known)
    if not found:
        raise UsageError(f"there is no run '{run}' under {home()}; there: {listed(known)}")
    found = _narrowed(found, lambda record: bool(letter_files(record)))
    found = _narrowed(found, lambda record: any(pile.left for pile in _piles_of([record])))
    return _piles_of([the_one(run, found, "runs with dead letters")])


def _narrowed(records: list[RunRecord], wanted: Callable[[RunRecord], bool]) -> list[RunRecord]:
    """Leave out what is not wanted, where more than one is there and one is wanted."""
    return (list(filter(wanted, records)) or records) if len(records) > 1 else records


def _piles_of(records: Iterable[RunRecord]) -> list[Pile]:
    piles = []
    for record in records:
        for file in letter_files(record):
            if letters := tuple(read_letters(file)):
                piles.append(Pile(record, file, letters, replayed(file)))
    return piles
