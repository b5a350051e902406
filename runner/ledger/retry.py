"""What becomes of an item that a handler raised on, or that its worker died on: tried again, or for good. Pure.

    raised  ──► after_failure ──► Redeliver(delay)   while attempts are left and the exception is worth it
                             └──► Final          `on_error` says what that means
    died    ──► after_death   ──► Redeliver(0)       alone, so that no other item is charged with it
                             └──► Final          it kills its workers: a dead letter

The worker knows the class of what was raised and asks `is_worth_it`; the ledger counts the attempts.
"""

from __future__ import annotations

from runner.errors import CommandFailed
from runner.exit_status import killed_by
from runner.facts import dataclass
from runner.spec.failures import RetryPolicy
from runner.units import backoff


@dataclass(frozen=True, slots=True)
class Redeliver:
    """Hand the item out once more, after `delay` seconds."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Final:
    """It was the last attempt."""


Verdict = Redeliver | Final


def after_failure(policy: RetryPolicy, attempt: int, *, worth_it: bool) -> Verdict:
    """The handler raised at the hand-over number `attempt`, 1 first."""
    if not worth_it or attempt >= policy.attempts:
        return Final()
    # Not random: the items of one frame rarely fail at once, and where they do, it is the workers that bound how many
    # are tried at a time.
    return Redeliver(backoff(policy.backoff, attempt, policy.max_backoff))


def after_death(policy: RetryPolicy, attempt: int) -> Verdict:
    """A worker died with the item in hand, at the hand-over number `attempt`."""
    return Redeliver() if attempt < max(policy.deaths, policy.attempts) else Final()


def is_worth_it(policy: RetryPolicy, error: BaseException) -> bool:
    """
    Say whether another attempt may help, by what `retry.on` names: the exception's class or one of its bases, or how a
    command has ended.
    """
    if not policy.on:
        return not isinstance(error, SystemExit)
    if isinstance(error, CommandFailed) and error.code is not None and _ended(error.code) in policy.on:
        return True
    names = [name for name in policy.on if isinstance(name, str)]
    return any(is_named(kind, name) for kind in type(error).__mro__ for name in names)


def _ended(code: int) -> int | str:
    """Return an exit code, or the name of the signal that it stands for."""
    return killed_by(code) or code


def is_signal(name: str) -> bool:
    """Say whether a name in `retry.on` is meant for a signal: `SIGKILL`."""
    return name.startswith("SIG") and name.isupper()


def is_named(kind: type, name: str) -> bool:
    """Say whether `name` means this class: `Timeout`, `requests.Timeout` or `requests.exceptions.Timeout`."""
    package, _, bare = name.rpartition(".")
    if bare != kind.__name__:
        return False
    # A package may show a class under a shorter name than that of the module where it is written.
    return not package or kind.__module__ == package or kind.__module__.startswith(f"{package}.")
