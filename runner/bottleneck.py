"""Which stage holds the run back, and what to change. Pure: sums of seconds in, one sentence or None out.

What identifies it is the shortest time in which a pool could have done its work, busy seconds / workers: no
run is quicker than its slowest pool. Full queues before it and starved workers behind it are the evidence
shown; they prove nothing alone, since a queue may also be full because a stage further down is slow.

    chef 7.2 s / 3 workers = 2.4 s      eater 9 s / 2 workers = 4.5 s of a run of 5.8 s ──► eater, 4 workers
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from runner.report_lines import QueueLine, StageLine

SHORTEST_RUN = 0.5
"""Seconds. In less, starting the processes weighs more than their work."""
DOMINANT_SHARE = 0.7
"""Of the run that the slowest pool must be busy; below it, other waits explain the run better."""
CLEAR_LEAD = 0.85
"""The next pool may need at most this much of the slowest pool's time; above it the two are level."""
WORTH_SAYING = 0.1
"""Of the run that a queue is full or a stage waits, to be named as evidence."""
BELIEVABLE_GROWTH = 4
"""Times the workers there are, or the cores if they are more: a higher count is arithmetic, not advice."""


def find_bottleneck(
    stages: Sequence[StageLine], queues: Sequence[QueueLine], *, seconds: float, cores: int
) -> str | None:
    """Name the stage that held a run of `seconds` back; None if the run was too short or none stands out."""
    ranked = sorted(stages, key=_pool_seconds, reverse=True)
    if seconds < SHORTEST_RUN or len(ranked) < 2 or not _dominates(ranked[0], ranked[1], seconds):
        return None
    slowest, second = ranked[0], ranked[1]
    evidence = _evidence(slowest, stages, queues, seconds)
    return f"{_verdict(slowest, seconds)}{evidence}; {_advice(slowest, second, stages, cores)}"


def _pool_seconds(stage: StageLine) -> float:
    return stage.busy_seconds / max(stage.workers, 1)


def _dominates(slowest: StageLine, second: StageLine, seconds: float) -> bool:
    has_work_to_share = slowest.receives is None or slowest.received >= 2 * slowest.workers
    return (
        _pool_seconds(slowest) >= DOMINANT_SHARE * seconds
        and _pool_seconds(second) <= CLEAR_LEAD * _pool_seconds(slowest)
        and has_work_to_share
    )


def _verdict(stage: StageLine, seconds: float) -> str:
    whose = "its one worker was" if stage.workers == 1 else f"its {stage.workers} workers were"
    return (
        f"{stage.name} is the bottleneck: {whose} busy {_percent(_pool_seconds(stage) / seconds)} of the time"
    )


def _evidence(
    slowest: StageLine, stages: Sequence[StageLine], queues: Sequence[QueueLine], seconds: float
) -> str:
    inbox, outbox = slowest.receives, slowest.sends
    shares = [(q.full_seconds, f"'{q.name}' was full") for q in queues if q.name == inbox]
    shares += [
        (stage.blocked_seconds / max(stage.workers, 1), f"{stage.name} waited for room")
        for stage in stages
        if inbox is not None and stage.sends == inbox
    ]
    shares += [
        (stage.starved_seconds / max(stage.workers, 1), f"{stage.name} waited for items")
        for stage in stages
        if outbox is not None and stage.receives == outbox
    ]
    telling = [(waited, what) for waited, what in shares if waited >= WORTH_SAYING * seconds]
    return f" while {telling[0][1]} {_percent(telling[0][0] / seconds)} of it" if telling else ""


def _advice(slowest: StageLine, second: StageLine, stages: Sequence[StageLine], cores: int) -> str:
    count = _count_to_be_level(slowest, second, cores)
    hint = "" if count is None else f" (count: {count} is what {_pace_of(second, slowest, stages)})"
    if slowest.receives is None:
        # Another worker of a producer makes items of its own: more work, not the same work in less time.
        return f"make it quicker, or split its work among more workers{hint}"
    workers = sum(stage.workers for stage in stages) - slowest.workers + (count or slowest.workers + 1)
    if workers > cores:
        return (
            f"more of them would help, unless they compute: {_workers(workers)} share {_cores(cores)}{hint}"
        )
    return f"more of them would help{hint}"


def _count_to_be_level(slowest: StageLine, second: StageLine, cores: int) -> int | None:
    most = max(BELIEVABLE_GROWTH * slowest.workers, cores)
    if _pool_seconds(second) * most < slowest.busy_seconds:
        return None
    return math.ceil(slowest.busy_seconds / _pool_seconds(second))


def _pace_of(other: StageLine, slowest: StageLine, stages: Sequence[StageLine]) -> str:
    if _feeds(other, slowest, stages):
        return f"{other.name} can feed"
    if _feeds(slowest, other, stages):
        return f"{other.name} can keep up with"
    return f"brings it level with {other.name}"


def _feeds(upper: StageLine, lower: StageLine, stages: Sequence[StageLine]) -> bool:
    reached: set[str] = set()
    queues = {upper.sends}
    while queues - {None}:
        readers = [stage for stage in stages if stage.receives in queues and stage.name not in reached]
        reached |= {stage.name for stage in readers}
        queues = {stage.sends for stage in readers}
    return lower.name in reached


def _percent(share: float) -> str:
    return f"{min(share, 1.0):.0%}"


def _workers(count: int) -> str:
    return f"{count} workers would"


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"
