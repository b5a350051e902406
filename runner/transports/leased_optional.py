"""What `leased` imports only where a run has use for it: a short run is mostly imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.plan import Plan

if TYPE_CHECKING:
    from runner.transports.leased_gates import Gates


def open_gates(plan: Plan, unsettled: set[str]) -> Gates | None:
    """Make the books of queues that have rules of their own; None where no queue has any."""
    if not any(queue.gated for queue in plan.queues):
        return None
    from runner.transports.leased_gates import Gates

    return Gates(plan, unsettled)
