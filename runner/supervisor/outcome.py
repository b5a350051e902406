"""What the run comes to: its root cause, its outcome and its exit code. Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import replace

from runner.errors import ExitCode
from runner.events.run import RunOutcome
from runner.facts import dataclass
from runner.ledger.accounts import Account
from runner.units import counted


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a run is not simply done. The first one that is noted is the root."""

    outcome: RunOutcome
    exit_code: int
    reason: str
    signal: str | None = None

    def and_also(self, other: Cause) -> Cause:
        """Return the same with the reason of another behind its own, as what is lost must be told in any case."""
        return self if other is self else replace(self, reason=f"{self.reason}; {other.reason}")


def interrupted(number: signal.Signals) -> Cause:
    """Someone sent the supervisor a signal."""
    return Cause(RunOutcome.INTERRUPTED, ExitCode.SIGNAL + number, f"stopped by {number.name}", number.name)


def stop_requested() -> Cause:
    """`mprun stop` asked for it: the same as a SIGTERM, in other words."""
    return Cause(RunOutcome.INTERRUPTED, ExitCode.SIGNAL + signal.SIGTERM, "stopped by `mprun stop`")


def failed(reason: str) -> Cause:
    """A worker, a handler or the start failed."""
    return Cause(RunOutcome.FAILED, ExitCode.FAILED, reason)


def not_repeated(reason: str) -> Cause:
    """The run can't go on, as what it was made of is not what it was."""
    return Cause(RunOutcome.FAILED, ExitCode.RESUME_REFUSED, reason)


def timed_out(seconds: str) -> Cause:
    """`limits.timeout` passed."""
    return Cause(RunOutcome.TIMEOUT, ExitCode.TIMEOUT, f"the run took longer than limits.timeout, {seconds}")


def stalled(reason: str) -> Cause:
    """Nothing moves any more."""
    return Cause(RunOutcome.TIMEOUT, ExitCode.TIMEOUT, reason)


def internal(reason: str) -> Cause:
    """Our own tables disagree."""
    return Cause(RunOutcome.INTERNAL, ExitCode.INTERNAL, f"a bug in mprun, please report it: {reason}")


@dataclass(frozen=True, slots=True)
class Share:
    """How many items of one queue failed, and of how many."""

    queue: str
    failed: int
    of: int


def over_budget(shares: Iterable[Share], max_errors: str) -> Cause | None:
    """
    Compare the failed items with `limits.max_errors`: a count of them all, or a share of each queue such as `1%`.

    The share is one of the queue that the failed items were in: of all items in all queues it would be less, the more
    stages they pass.
    """
    if not max_errors.endswith("%"):
        failures = sum(share.failed for share in shares)
        return None if failures <= int(max_errors) else _too_many(counted(failures, "item"), max_errors)
    most = float(max_errors[:-1])
    for share in shares:
        if share.failed * 100 > most * share.of:
            return _too_many(
                f"{share.failed:,} of {counted(share.of, 'item')} of queue '{share.queue}'", max_errors
            )
    return None


def _too_many(what: str, max_errors: str) -> Cause:
    return failed(f"{what} failed; limits.max_errors allows {max_errors}")


def letters_lost(count: int, why: str) -> Cause:
    """Items that were to be kept as dead letters are nowhere now."""
    return failed(
        f"{counted(count, 'dead letter')} could not be kept and {'is' if count == 1 else 'are'} lost: {why}"
    )


def unaccounted(accounts: Iterable[Account]) -> Cause | None:
    """Find items that nobody finished although all workers ended in order."""
    for account in accounts:
        if not account.settled:
            left, held = account.waiting, account.leased
            return failed(
                f"queue '{account.queue}' was not emptied: of {account.put} items {left} were not begun, "
                f"{held} taken and never acknowledged"
            )
    return None
