"""What a file says of going on with its run after the runner's death, and what that promises of each stage. Facts only.

resume: required ──► ResumePolicy ──► the check of the file    refused where something could not be gone on with
                                 └──► the recorder             how often a cut of the run is kept, and how safely
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.keys import BOOLEAN, DURATION, Shape, key, values_of


class ResumeWord(StrEnum):
    """The short forms of `resume`."""

    REQUIRED = "required"
    NONE = "none"


class OverDeath(StrEnum):
    """How often an item is in what comes of a stage, where another runner has gone on with the run."""

    EXACTLY_ONCE = "exactly once"
    RUN_AGAIN = "run again"
    """A producer that makes all its items once more: what is in is left out, and compared."""
    BY_NAME = "once, by its name"
    AT_LEAST_ONCE = "at least once"
    """What was finished after the last cut comes twice."""
    AT_MOST_ONCE = "at most once"
    """What was on its way to it is lost."""
    NOT = "not"
    """It begins anew, or what it had kept is lost: the run can't be gone on with, or not as if nothing had been."""


MEANINGS: Mapping[OverDeath, str] = {
    OverDeath.EXACTLY_ONCE: "as if nothing had been.",
    OverDeath.RUN_AGAIN: "a producer makes all its items once more; those that are in are left out, and compared.",
    OverDeath.BY_NAME: "what is made again takes the place of what was made.",
    OverDeath.AT_LEAST_ONCE: "what was finished in the last moment before the death is done again.",
    OverDeath.AT_MOST_ONCE: "what was on its way to it is lost; it goes on with what comes.",
    OverDeath.NOT: "it begins anew, or something is lost with it: `mprun resume` says what, and whether that stops it.",
}
"""For people."""


@dataclass(frozen=True, slots=True)
class ResumePolicy:
    """What is kept of a run while it lasts, so that `mprun resume` can go on with it when its runner was killed."""

    every: float = key(
        DURATION,
        "How often it is kept where the run is. What is finished after that is done again. Where that would cost more "
        "than about 5 % of the time, as with many big items that wait, it is kept more seldom, at least every 10s.",
        default=0.1,
        shown="100ms",
    )
    fsync: bool = key(
        BOOLEAN,
        "Whether it is to outlast the end of the machine too, not only that of its processes: what is kept, and what "
        "sinks have written, is then on the disk each time.",
        default=False,
    )
    required: bool = key(
        BOOLEAN,
        "Whether a file is refused with something in it that could not be gone on with: another transport than "
        "`leased`, `shared` objects, `pipes`, stages round no queue, sources that can't be read again, and what a "
        "handler keeps of its items and nobody makes safe.",
        default=False,
    )
    keeps: bool = True
    """Whether anything is kept at all."""


def _read(written: Any) -> ResumePolicy:
    if isinstance(written, str):
        return ResumePolicy(required=written == ResumeWord.REQUIRED, keeps=written != ResumeWord.NONE)
    return ResumePolicy(**values_of(ResumePolicy, written))


RESUME = Shape(
    {
        "type": ["object", "string"],
        "title": "one of required and none, or a mapping",
        "pattern": f"^({'|'.join(ResumeWord)})$",
    },
    _read,
    ResumePolicy,
)
