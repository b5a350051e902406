"""The dead letters of a run by the kinds of their failures, under the numbers that its record gives these.

    letters of a run ── fingerprint ──► kind 1: 2,000 letters of 'fetcher'     top, the page and `mprun show` say 1 too
                                   └──► kind 2: …

Where there is no record, or it does not know a kind, such as one beyond the most that it keeps, the numbers go on in
the order of the letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.errors import UsageError
from runner.facts import dataclass
from runner.record.failures import OTHERS, fingerprint
from runner.record.reader import RecordDamaged, RunView
from runner.record.schema import DATABASE
from runner.store.dead_letters import DeadLetter, DeadLetterQueue
from runner.store.run_folder import RunFolder
from runner.units import counted


@dataclass(frozen=True, slots=True)
class LetterKind:
    """Letters of one stage that failed alike."""

    number: int
    queue: DeadLetterQueue
    """As if the stage had these letters alone."""

    @property
    def letters(self) -> tuple[DeadLetter, ...]:
        """Oldest first; there is one at least."""
        return self.queue.letters


def letter_kinds(queues: Sequence[DeadLetterQueue]) -> list[LetterKind]:
    """Sort the letters of one run by kind; the kinds in the order of their numbers."""
    numbers = _numbers_in_record(queues[0].run_folder) if queues else {}
    found: list[LetterKind] = []
    for queue in queues:
        alike: dict[int, list[DeadLetter]] = {}
        for letter in queue.letters:
            alike.setdefault(_number_of(letter, numbers), []).append(letter)
        found += [LetterKind(n, replace(queue, letters=tuple(letters))) for n, letters in alike.items()]
    return sorted(found, key=lambda kind: kind.number)


def queues_of_kind(queues: Sequence[DeadLetterQueue], number: int) -> list[DeadLetterQueue]:
    """
    Return what of the letters of one run is of a kind.

    Raises:
        UsageError: none is.
    """
    kinds = letter_kinds(queues)
    if of_it := [kind.queue for kind in kinds if kind.number == number]:
        return of_it
    run = queues[0].run_folder.run
    known = ", ".join(f"{kind.number} ({counted(len(kind.letters), 'letter')})" for kind in kinds[:8])
    raise UsageError(
        f"no letter of run '{run}' is of kind {number}; of kinds there are {known}: `mprun dlq ls {run} --kinds`"
    )


def _numbers_in_record(run_folder: RunFolder) -> dict[str, int]:
    if not (run_folder.path / DATABASE).exists():
        return {}
    try:
        with RunView(run_folder.path) as view:
            return {kind["print"]: kind["id"] for kind in view.kinds() if kind["print"] != OTHERS}
    except RecordDamaged:
        return {}


def _number_of(letter: DeadLetter, numbers: dict[str, int]) -> int:
    """Return the number of a letter's kind, which gets one in `numbers` where it has none."""
    # Of an item that killed its workers the letter has their stacks, and the event that was counted has not.
    prints = [fingerprint(letter.stage, letter.error, trace) for trace in (letter.traceback, "")]
    for print_ in prints:
        if print_ in numbers:
            return numbers[print_]
    return numbers.setdefault(prints[0], max(numbers.values(), default=0) + 1)
