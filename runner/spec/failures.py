"""What becomes of items that fail, and of workers that die: `on_error`, `retry` and `restart`, as the file has them.

item raises ──► retry ── no attempt left ──► on_error          worker dies ──► restart
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.keys import DURATION_OR_NONE, FAILURES, choice, integer, key
from runner.units import format_duration

FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
"""Seconds before a worker that ended before its first item is tried again: at first, and at the most."""


class OnError(StrEnum):
    """What becomes of the run when a handler raises on an item."""

    FAIL = "fail"
    SKIP = "skip"
    DEAD_LETTER = "dead_letter"
    ROUTE = "route"
    """Its failure is an item of another queue: the file says `{to: QUEUE}`."""


class RestartOn(StrEnum):
    """After which end of a worker another takes its place."""

    CRASH = "crash"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often the workers of a stage may be replaced. Seconds."""

    on: RestartOn = key(
        choice(RestartOn),
        "`crash`: after a death; `always`: also where a worker ends by itself before the end of its stream; `never`.",
        default=RestartOn.CRASH,
    )
    max: int = key(
        integer(0, title="an integer of at least 0"),
        "How many deaths of its workers are made good within `within`. One more fails the run. A worker that ends by "
        "its own fault before its first item, such as one that can't connect, is tried again after "
        f"{format_duration(FIRST_DELAY)}, then later and later, up to {format_duration(LONGEST_DELAY)}, "
        "and as many times in a row as this says; where the stage has no `restart`, once. A death "
        "with an item in hand costs that item an attempt; the stage is only charged once the item has gone through. "
        "`0` allows none of any kind.",
        default=5,
    )
    within: float = key(DURATION_OR_NONE, "The time in which deaths are counted.", default=60.0)
    after_exceptions: bool = True
    """Whether an exception that a handler lets pass, outside any item, counts as a crash. Who writes `restart` says so;
    without a word, it is not hidden by a fresh start."""
    failed_starts: int | None = None
    """Lives in a row that one worker may end by its own fault before its first item; None is as many as `max`."""

    @classmethod
    def usual(cls, transport: str, *, reads: bool, resumes: bool = False) -> RestartPolicy:
        """What a stage has that says nothing: who reads or `resumes` is replaced where nothing is lost by a death."""
        if (resumes or reads) and transport == "leased":
            return cls(after_exceptions=False, failed_starts=1)
        return cls(on=RestartOn.NEVER)


USUAL_RESTART = RestartPolicy()
"""What one has that the file gives no numbers."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an item is handed to a handler that raises on it. Seconds."""

    attempts: int = key(
        integer(1, 1000, title="an integer of at least 1"),
        "How often an item is handed to the handler, the first time included. A worker's death counts too: with `1`, "
        "an item that is in hand when its worker dies is not handed out again. Without this key, an item that the "
        "handler raised on is not, and one that was in hand at a death is, once.",
        default=1,
    )
    backoff: float = key(
        DURATION_OR_NONE,
        "How long an item waits before its second attempt; twice as long before each further one.",
        default=0.1,
    )
    max_backoff: float = key(DURATION_OR_NONE, "The longest that it waits between two.", default=30.0)
    on: tuple[str | int, ...] = key(
        FAILURES,
        "The exceptions that are worth another try, subclasses included: `ValueError`, or with their module as in "
        "`requests.Timeout`; of a command its exit codes, such as `75`, and the signals that end it, such as "
        "`SIGKILL`. Without it, all are.",
        default=(),
        more={"examples": ["ConnectionError", ["TimeoutError", "requests.Timeout"], [75, "SIGKILL"]]},
    )
    deaths: int = 2
    """Workers that an item may kill, unless `attempts` allows more: the first may have died of something else. Who
    writes `attempts` counts deaths too, so for them it is that number."""

    @classmethod
    def written(cls, **given: Any) -> RetryPolicy:
        """Return the policy that the file gives, with what follows from it."""
        if "attempts" in given:
            given["deaths"] = given["attempts"]
        # The usual bound must not cut short the user's own.
        if "backoff" in given and "max_backoff" not in given:
            given["max_backoff"] = max(given["backoff"], cls().max_backoff)
        return cls(**given)
