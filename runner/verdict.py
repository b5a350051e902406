"""What the run comes to: its root cause, its outcome and its exit code. Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass

from runner.errors import ExitCode
from runner.ledger import Account
from runner.plan import Plan


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a run is not simply done. The first one that is noted is the root."""

    outcome: str
    exit_code: int
    reason: str
    signal: str | None = None


def interrupted(number: signal.Signals) -> Cause:
    """Someone sent the supervisor a signal."""
    return Cause("interrupted", ExitCode.SIGNAL + number, f"stopped by {number.name}", number.name)


def told_to_stop() -> Cause:
    """`mprun stop` asked for it: the same as a SIGTERM, in other words."""
    return Cause("interrupted", ExitCode.SIGNAL + signal.SIGTERM, "stopped by `mprun stop`")


def failed(reason: str) -> Cause:
    """A worker, a handler or the start failed."""
    return Cause("failed", ExitCode.FAILED, reason)


def timed_out(seconds: str) -> Cause:
    """`limits.timeout` passed."""
    return Cause("timeout", ExitCode.TIMEOUT, f"the run took longer than limits.timeout, {seconds}")


def stalled(reason: str) -> Cause:
    """Nothing moves any more."""
    return Cause("timeout", ExitCode.TIMEOUT, reason)


def internal(reason: str) -> Cause:
    """Our own tables disagree."""
    return Cause("internal", ExitCode.INTERNAL, f"a bug in mprun, please report it: {reason}")


def over_budget(failures: int, items: int, max_errors: str) -> Cause | None:
    """Compare the failed items with `limits.max_errors`, a count or a share of all items such as `1%`."""
    if max_errors.endswith("%"):
        share = float(max_errors[:-1])
        exceeded = failures * 100 > share * items
    else:
        exceeded = failures > int(max_errors)
    if not exceeded:
        return None
    what = "1 item" if failures == 1 else f"{failures} items"
    return failed(f"{what} failed; limits.max_errors allows {max_errors}")


def unaccounted(accounts: Iterable[Account]) -> Cause | None:
    """Find items that nobody finished although all workers ended in order."""
    for account in accounts:
        if not account.settled:
            left, held = account.waiting, account.leased
            return failed(
                f"queue '{account.queue}' was not emptied: {left} of {account.put} items waiting, "
                f"{held} taken and never acknowledged"
            )
    return None


def who_left(plan: Plan, queue: str) -> str:
    """Say who is missing at a queue in which items are left."""
    sharded = any(each.name == queue and each.shard_by is not None for each in plan.queues)
    return "a reader has ended, and no other may take its shard" if sharded else "every reader has ended"


def stays(put: int) -> str:
    """Say what becomes of a dead producer's items."""
    return (
        "it had put nothing" if not put else f"what it had put, {put} item{'s' * (put != 1)}, is worked off"
    )
