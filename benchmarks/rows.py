"""The rows of the comparison, in their order."""

from __future__ import annotations

from collections.abc import Iterator

import light
from contenders import (
    BASE,
    FIFO,
    FLOOR,
    JOBLIB,
    JOINABLE,
    LEASED,
    MPIRE,
    MPRUN,
    PASS,
    POOL_1,
    POOL_8,
    POOLS,
    PYPELN,
    QUEUES,
    RAY,
)
from feature_rows import feature_rows
from goals import (
    CPU_EACH,
    CPU_MORE,
    IDLE,
    P50,
    P99,
    PEAK,
    RATE,
    RUN,
    SECONDS,
    SHARED,
    STARVED,
    WALL_MORE,
    Goal,
    at_most,
    times_better,
    times_of,
)
from row import Commands, Row, carried

NOISE = 0.02
"""What two runs of the same thing differ by."""


def rows() -> tuple[Row, ...]:
    """All of them."""
    return (
        *_marginal(),
        *_small(),
        *feature_rows(),
        *_slow(),
        *_many(),
        *_latency(),
        *_starts(),
        *_memory(),
        *_idle(),
    )


def _marginal() -> Iterator[Row]:
    """Costs of one more item. Each contender carries what takes it about two seconds."""
    yield _item("number", "small-1x1", 400_000, (40, 0.35, 60))
    yield _item("bytes of 1 KB", "bytes-1KB", 300_000, (6, 0.35, 12), cpu=0.9, times=12)
    yield _item("bytes of 100 KB", "bytes-100KB", 8000, (8, 1, 20), cpu=35, times=12)
    yield _item("bytes of 1 MB", "bytes-1MB", 500, (10, 1, 20))
    yield _item("array of 100 KB", "array-100KB", 12_000, (4, 0.6, 20), cpu=45, times=5, needs="numpy")
    yield _item("array of 1 MB", "array-1MB", 500, (10, 1, 20), cpu=380, times=11, needs="numpy")
    floor = times_of(CPU_MORE, 1, FLOOR, slack=0.1)
    yield _item("array of 16 MB", "array-16MB", 40, (20, 1, 20), times=15, needs="numpy", more=(floor,))


def _item(
    kind: str,
    workload: str,
    items: int,
    shares: tuple[float, float, float],
    *,
    cpu: float | None = None,
    times: float | None = None,
    more: tuple[Goal, ...] = (),
    needs: str | None = None,
) -> Row:
    goals = [*more]
    goals += [] if cpu is None else [at_most(CPU_MORE, cpu)]
    goals += [] if times is None else [times_better(WALL_MORE, times, BASE)]
    leased, joinable, floor = shares
    return Row(
        f"one more {kind}",
        carried(workload),
        items,
        (FLOOR, *QUEUES),
        (WALL_MORE, CPU_MORE),
        tuple(goals),
        {LEASED: leased, JOINABLE: joinable, FLOOR: floor, FIFO: 2},
        shorter=4,
        needs=needs,
    )


_SHARES = {
    LEASED: 25.0,
    JOINABLE: 0.5,
    POOL_1: 0.1,
    POOL_8: 0.5,
    JOBLIB: 0.3,
    MPIRE: 0.1,
    PYPELN: 0.03,
    FIFO: 2.0,
    RAY: 0.01,
}


def _small() -> Iterator[Row]:
    """Whole processes, start and end included."""
    joinable = times_better(RATE, 0.8, BASE, who=JOINABLE)

    def row(name: str, workload: str, who: tuple[str, ...], goals: tuple[Goal, ...]) -> Row:
        return Row(name, carried(workload), 300_000, who, (RATE,), goals, _SHARES)

    yield row("numbers, 1×1", "small-1x1", (*QUEUES, *POOLS, PYPELN, RAY), (joinable,))
    yield row("numbers, 3×2", "small-3x2", (*QUEUES, RAY), (times_better(RATE, 25, BASE), joinable))
    yield row("formatted text, 3×2", "text-3x2", QUEUES, (times_better(RATE, 18, BASE),))
    yield row("flat tuples, 3×2", "tuples-3x2", QUEUES, (times_better(RATE, 18, BASE),))
    # mpire has no stages, nor has a pool: their workers do one thing.
    yield row("numbers, pipe 1×2×1", "pipe", (*QUEUES, PYPELN), (times_better(RATE, 15, BASE),))
    yield row("numbers, chain of 5 stages", "chain-5", (*QUEUES, PYPELN), (times_better(RATE, 15, BASE),))


def _slow() -> Iterator[Row]:
    """Items that sleep: what is measured is how they are handed over. Each worker has three seconds of them."""
    for workers in (4, 16, 32):
        for milliseconds in (0.5, 1, 2, 3, 10, 50):
            yield Row(
                f"items of {milliseconds:g} ms, {workers} workers",
                carried(f"nap-{milliseconds:g}x{workers}"),
                round(3000 / milliseconds) * workers,
                (POOL_1, POOL_8, LEASED),
                (SECONDS,),
                (times_of(SECONDS, 1, POOL_1, slack=NOISE), at_most(STARVED, 2)),
            )
    yield Row(
        "100 items of 50 ms, 2 workers",
        carried("nap-50x2"),
        100,
        (*MPRUN, POOL_1, POOL_8, JOBLIB, MPIRE, FIFO),
        (SECONDS, RUN),
        (at_most(RUN, 2.5 * 1.03),),
        fixed=True,
    )


def _many() -> Iterator[Row]:
    for workers in (64, 128, 256, 512):
        yield Row(
            f"items of 5 ms, {workers} workers",
            carried(f"nap-5x{workers}"),
            600 * workers,
            (POOL_1, POOL_8, LEASED),
            (SECONDS, CPU_EACH),
            (times_of(SECONDS, 1, POOL_1, POOL_8, slack=NOISE), at_most(CPU_EACH, 35)),
        )


def _latency() -> Iterator[Row]:
    goals = (times_of(P50, 1.3, BASE),)
    yield Row("lone item", carried("latency"), 2000, QUEUES, (P50, P99), goals)


def _starts() -> Iterator[Row]:
    who, goals = (BASE, LEASED), (times_of(SECONDS, 1.3, BASE),)
    yield Row("1,000 workers", carried("fleet"), 1000, who, (SECONDS,), goals, fixed=True)
    both = tuple(at_most(SECONDS, 3, who) for who in (LEASED, JOINABLE))
    yield Row("150 stages, one item", carried("chain-150"), 1, MPRUN, (SECONDS,), both, fixed=True)
    for name, most in light.TARGETS.items():
        goals = (times_of(SECONDS, most, PASS),)
        yield Row(name, _short_command(name), 1, (PASS, LEASED), (SECONDS,), goals, fixed=True, repeat=4)


def _short_command(name: str) -> Commands:
    return lambda contender, _count, setting: light.commands(setting.folder)[
        PASS if contender == PASS else name
    ]


def _memory() -> Iterator[Row]:
    yield Row(
        "2,500 arrays of 0.1 to 4 MB, slow reader",
        carried("mixed"),
        2500,
        (LEASED,),
        (PEAK, SECONDS),
        (at_most(SHARED, 512), at_most(SECONDS, 1.2 * 2500 * 0.002)),
        fixed=True,
        watch=True,
        needs="numpy",
    )
    for millions in (1, 10):
        yield Row(
            f"memory of {millions} million numbers, 3×2",
            carried("small-3x2"),
            millions * 1_000_000,
            MPRUN,
            (PEAK,),
            shares={BASE: 0.3 / millions, JOINABLE: 0.1 / millions},
            watch=True,
        )


def _idle() -> Iterator[Row]:
    for name, workload, items in (
        ("full queue, reader asleep", "idle-full", 100_000),
        ("empty queue, writer asleep", "idle-empty", 1),
    ):
        yield Row(
            f"idle: {name}",
            carried(workload),
            items,
            MPRUN,
            (IDLE,),
            (at_most(IDLE, 0.2),),
            fixed=True,
            watch=True,
            once=True,
        )
