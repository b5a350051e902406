"""What becomes of an item that a handler raised on, or that its worker died on: tried again, or for good. Pure.

    raised  ──► after_failure ──► Again(delay)   while attempts are left and the exception is worth it
                             └──► Final          `on_error` says what that means
    died    ──► after_death   ──► Again(0)       alone, so that no other item is charged with it
                             └──► Final          it kills its workers: a dead letter

The worker knows the class of what was raised and asks `is_worth_it`; the ledger counts the attempts.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.spec import RetryPolicy

_MOST_DOUBLINGS = 60


@dataclass(frozen=True, slots=True)
class Again:
    """Hand the item out once more, after `delay` seconds."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Final:
    """It was the last attempt."""


Verdict = Again | Final


def after_failure(policy: RetryPolicy, attempt: int, *, worth_it: bool) -> Verdict:
    """The handler raised at the hand-over number `attempt`, 1 first."""
    if not worth_it or attempt >= policy.attempts:
        return Final()
    return Again(backoff(policy, attempt))


def after_death(policy: RetryPolicy, attempt: int) -> Verdict:
    """A worker died with the item in hand, at the hand-over number `attempt`."""
    return Again() if attempt < max(policy.deaths, policy.attempts) else Final()


def backoff(policy: RetryPolicy, attempt: int) -> float:
    """Seconds between attempt number `attempt` and the next. Not random: the items of one frame rarely fail at once,
    and where they do, it is the workers that bound how many are tried at a time."""
    return min(policy.backoff * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS), policy.max_backoff)


def is_worth_it(policy: RetryPolicy, error: BaseException) -> bool:
    """Say whether another attempt may help: whether `retry.on` names the exception's class or one of its bases."""
    if not policy.on:
        return not isinstance(error, SystemExit)
    return any(is_named(kind, name) for kind in type(error).__mro__ for name in policy.on)


def is_named(kind: type, name: str) -> bool:
    """Say whether `name` means this class: `Timeout`, `requests.Timeout` or `requests.exceptions.Timeout`."""
    package, _, bare = name.rpartition(".")
    if bare != kind.__name__:
        return False
    # A package may show a class under a shorter name than that of the module where it is written.
    return not package or kind.__module__ == package or kind.__module__.startswith(f"{package}.")
