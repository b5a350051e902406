"""Short names for the parts of a plan, the same in tables and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.plan import QueuePlan, StagePlan


def stage_label(stage: StagePlan) -> str:
    """Name a stage with its count: `chef ×3`, `eater ×2 (daemon)`."""
    return f"{stage.name} ×{len(stage.workers)}" + (" (daemon)" if stage.daemon else "")


def queue_label(queue: QueuePlan) -> str:
    """Name a queue with its size: `steamer ≤10`."""
    return f"{queue.name} {size_label(queue)}"


def size_label(queue: QueuePlan) -> str:
    """Say how many items a queue holds: `≤10`, `unbounded`."""
    return "unbounded" if queue.maxsize is None else f"≤{queue.maxsize}"


def count(number: int, noun: str) -> str:
    """Count in words: `1 queue`, `2 queues`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
