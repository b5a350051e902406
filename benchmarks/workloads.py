"""The handlers that every contender runs, and what each row of the comparison is made of.

make ──► [between ──►] take        the same functions, whoever carries the items
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NAP = 0.05
GAP = 0.002
IDLE = 4.0


def make_numbers(count: int) -> Iterator[int]:
    yield from range(count)


def make_bytes(count: int, size: int) -> Iterator[bytes]:
    template = bytearray(size)
    for _ in range(count):
        yield bytes(template)


def make_arrays(count: int, size: int) -> Iterator[object]:
    import numpy

    template = numpy.arange(size // 8, dtype="int64")
    for _ in range(count):
        yield template.copy()


def make_stamps(count: int) -> Iterator[int]:
    """Lone items: each is put by a producer that has been idle for a while, and tells when."""
    for _ in range(count):
        time.sleep(GAP)
        yield time.perf_counter_ns()


def make_late(count: int) -> Iterator[int]:
    time.sleep(IDLE)
    yield from range(count)


def double(item: int) -> int:
    return item * 2


def take(item: object) -> None:
    pass


def take_big(item: Any) -> None:
    item[-1]


def nap(_item: object) -> None:
    time.sleep(NAP)


def oversleep(item: int) -> None:
    """Sleep on the first item while the queue behind it is full."""
    if item == 0:
        time.sleep(IDLE)


class Latency:
    """Keeps how old each stamp was when it came, and writes the percentiles at the end, in microseconds."""

    def __init__(self) -> None:
        self._ages: list[int] = []

    def __call__(self, item: int) -> None:
        self._ages.append(time.perf_counter_ns() - item)

    def close(self) -> None:
        ages = sorted(self._ages[len(self._ages) // 20 :])  # what comes first pays for the start
        shares = {name: ages[int(len(ages) * share)] / 1000 for name, share in (("p50", 0.5), ("p99", 0.99))}
        print(json.dumps(shares), flush=True)


@dataclass(frozen=True, slots=True)
class Workload:
    """One topology and its handlers. `make` is called with the count of each producer, and `with_`."""

    make: Callable[..., Iterator[Any]]
    take: Callable[..., Any] = take
    between: Callable[[Any], Any] | None = None
    producers: int = 1
    pipes: int = 0
    consumers: int = 1
    with_: Mapping[str, int] = field(default_factory=dict)

    def each(self, count: int) -> dict[str, int]:
        """The arguments of each producer where `count` items are to be carried in all."""
        return {"count": count // self.producers, **self.with_}


def _big(make: Callable[..., Iterator[Any]], size: int) -> Workload:
    return Workload(make, take_big, with_={"size": size})


WORKLOADS: dict[str, Workload] = {
    "small-1x1": Workload(make_numbers),
    "small-3x2": Workload(make_numbers, producers=3, consumers=2),
    "pipe": Workload(make_numbers, between=double, pipes=2),
    "bytes-1KB": _big(make_bytes, 1 << 10),
    "bytes-100KB": _big(make_bytes, 100 << 10),
    "bytes-1MB": _big(make_bytes, 1 << 20),
    "bytes-16MB": _big(make_bytes, 16 << 20),
    "array-100KB": _big(make_arrays, 100 << 10),
    "array-1MB": _big(make_arrays, 1 << 20),
    "array-16MB": _big(make_arrays, 16 << 20),
    "latency": Workload(make_stamps, Latency),
    "slow": Workload(make_numbers, nap, consumers=2),
    "fleet": Workload(make_numbers, consumers=1000),
    "memory": Workload(make_numbers, producers=3, consumers=2),
    "idle-full": Workload(make_numbers, oversleep),
    "idle-empty": Workload(make_late),
}


def handler_of(taker: Callable[..., Any]) -> Callable[[Any], Any]:
    """Make the handler of one consumer: an instance where it is a class."""
    handler: Callable[[Any], Any] = taker() if isinstance(taker, type) else taker
    return handler


def close(handler: Callable[[Any], Any]) -> None:
    """End a handler of one consumer."""
    if hasattr(handler, "close"):
        handler.close()
