"""Problems: what is wrong with a file, where, why, and what would be right. Facts only; `cli` prints them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error stops the run before it starts; a warning is shown and the run goes on."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of one line. Lines and columns count from 1, in characters; `width` is at least 1."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place."""

    file: str
    span: Span
    code: str
    """Stable kebab-case name such as `unknown-key`; users grep for it and docs explain it."""
    message: str
    help: str | None = None
    snippet: str = ""
    """The text of the line that `span` is in, without its newline; empty if there is no such line."""
    severity: Severity = Severity.ERROR


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by file, line, column and code, and drop exact repeats."""
    return sorted(
        dict.fromkeys(problems), key=lambda p: (p.file, p.span.line, p.span.column, p.code, p.message)
    )


def errors_only(problems: Iterable[Problem]) -> list[Problem]:
    """Keep the problems that must stop a run."""
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like `word`, or None if none is near enough to be what was meant."""
    known = list(candidates)
    folded = {candidate.casefold(): candidate for candidate in known}
    if word.casefold() in folded:
        return folded[word.casefold()]
    # One slip of the finger beats what is merely alike: it is also all that tells short words apart.
    slips = [candidate for candidate in known if _one_slip_apart(word, candidate)]
    import difflib  # only those who misspell something wait for it

    close = difflib.get_close_matches(word, slips or known, n=1, cutoff=0.0 if slips else 0.6)
    return close[0] if close else None


def one_slip_from(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` is but for one slip of the finger, or for its case; None if there is none."""
    return next(
        (c for c in sorted(candidates) if c.casefold() == word.casefold() or _one_slip_apart(word, c)), None
    )


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the help line for a misspelt word: the nearest right one, or else the whole short list."""
    known = list(candidates)
    best = nearest(word, known)
    if best is not None:
        return f"did you mean '{best}'?"
    if known:
        return f"known here: {', '.join(known[:12])}" + (", …" if len(known) > 12 else "")
    return None


def _one_slip_apart(left: str, right: str) -> bool:
    """Say whether one letter was left out, put in, mistaken for another, or swapped with its neighbour."""
    if abs(len(left) - len(right)) > 1 or max(len(left), len(right)) < 2:
        return False
    short, long = sorted((left, right), key=len)
    at = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    swapped = long[:at] + long[at + 1 : at + 2] + long[at : at + 1] + long[at + 2 :]
    return short[at + 1 :] == long[at + 1 :] or short == swapped
