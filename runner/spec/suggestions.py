"""The right word for a wrong one: what a misspelt name was probably meant to be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MOST_COMPARISONS = 50_000
"""Pairs of names that one check compares."""


_MOST_NAMED = 3


def near(word: str, candidates: Iterable[str]) -> list[str]:
    """Return the candidates that `word` may equally well be meant for, the most alike first; most often one."""
    known = list(candidates)
    folded = {candidate.casefold(): candidate for candidate in known}
    if word.casefold() in folded:
        return [folded[word.casefold()]]
    # One slip of the finger beats what is merely alike: it is also all that tells short words apart.
    slips = [candidate for candidate in known if _one_slip_apart(word, candidate)]
    import difflib  # only those who misspell something wait for it

    if slips:
        return difflib.get_close_matches(word, slips, n=_MOST_NAMED, cutoff=0.0)
    return difflib.get_close_matches(word, known, n=1)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like `word`, or None if none is near enough to be what was meant."""
    return next(iter(near(word, candidates)), None)


def one_slip_from(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` is but for one slip of the finger, or for its case; None if there is none."""
    return next(
        (c for c in sorted(candidates) if c.casefold() == word.casefold() or _one_slip_apart(word, c)), None
    )


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the help line for a misspelt word: the nearest right one, or else the whole short list."""
    known = list(candidates)
    if (question := which_one(near(word, known))) is not None:
        return question
    if known:
        return f"known here: {', '.join(known[:12])}" + (", …" if len(known) > 12 else "")
    return None


def which_one(meant: Sequence[str]) -> str | None:
    """Ask which of the names was meant; None where there is none."""
    if not meant:
        return None
    quoted = [f"'{name}'" for name in meant]
    return f"did you mean {' or '.join(filter(None, (', '.join(quoted[:-1]), quoted[-1])))}?"


_LOOK_ALIKES = {"\xa0": "a no-break space", "\u3000": "an ideographic space", "\uff1a": "a full-width colon"}


def look_alike(text: str) -> str | None:
    """Name what stands in a text where a colon and a space would make a key of what is before it."""
    found = re.search(r":[\xa0\u3000]|\uff1a", text)
    if found is None:
        return None
    sign = found[0][-1]
    meant = "a colon and a space" if sign == "\uff1a" else "a plain space behind the colon"
    return f"{_LOOK_ALIKES[sign]} (U+{ord(sign):04X}) stands there: write {meant}"


def is_affordable(words: int, candidates: int) -> bool:
    """Say whether so many words can each be compared with so many candidates in no time that would be felt.

    A comparison costs some 10 µs; who has more words than that is told less, and not later.
    """
    return words * candidates <= _MOST_COMPARISONS


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
