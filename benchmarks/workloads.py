"""The handlers that every contender runs, and what each row of the comparison is made of.

make ──► [between ──►] take        the same functions, whoever carries the items
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

GAP = 0.002
IDLE = 20.0
WAIT = 100e-6
"""Seconds from one item to the next that are more than a hand-over: the worker has waited for it."""


def make_numbers(count: int) -> Iterator[int]:
    yield from range(count)


def make_text(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"neo的包子{number}"


def make_tuples(count: int) -> Iterator[tuple[int, str, float]]:
    for number in range(count):
        yield number, "neo", 0.5


def make_bytes(count: int, size: int) -> Iterator[bytes]:
    template = bytearray(size)
    for _ in range(count):
        yield bytes(template)


def make_arrays(count: int, size: int) -> Iterator[object]:
    import numpy

    template = numpy.arange(size // 8, dtype="int64")
    for _ in range(count):
        yield template.copy()


def make_mixed_arrays(count: int) -> Iterator[object]:
    """Arrays of 0.1 to 4 MB, in an order that is the same each time."""
    import numpy

    template = numpy.arange(4_000_000 // 8, dtype="int64")
    for number in range(count):
        yield template[: 12_500 + number * 7919 % 487_501].copy()


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


def take_slowly(item: Any, seconds: float) -> None:
    item[-1]
    time.sleep(seconds)


class Nap:
    """Sleeps on each item. Says at the end which share of its time, from first item to last, it has waited for one."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._first = self._last = self._waited = 0.0

    def __call__(self, _item: object) -> None:
        now = time.perf_counter()
        if self._last and now - self._last > WAIT:
            self._waited += now - self._last
        self._first = self._first or now
        time.sleep(self._seconds)
        self._last = time.perf_counter()

    def close(self) -> None:
        if self._last:
            print(json.dumps({"starved": self._waited / (self._last - self._first)}), flush=True)


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
    """Workers of each stage in between."""
    links: int = 1
    """Stages in between, one behind the other, where there is something to do in between."""
    consumers: int = 1
    with_: Mapping[str, int] = field(default_factory=dict)
    take_with: Mapping[str, float] = field(default_factory=dict)
    """What the taker is called with beside the item; where it is a class, what an instance is made with."""

    @property
    def chain(self) -> int:
        """How many stages there are in between."""
        return 0 if self.between is None else self.links

    def each(self, count: int) -> dict[str, int]:
        """The arguments of each producer where `count` items are to be carried in all."""
        return {"count": count // self.producers, **self.with_}

    def handler(self) -> Callable[[Any], Any]:
        """Make what one consumer calls with each item."""
        if isinstance(self.take, type):
            made: Callable[[Any], Any] = self.take(**self.take_with)
            return made
        return functools.partial(self.take, **self.take_with) if self.take_with else self.take


def _big(make: Callable[..., Iterator[Any]], size: int) -> Workload:
    return Workload(make, take_big, with_={"size": size})


def naps(milliseconds: float, workers: int) -> Workload:
    """Items that are slow because whoever takes them sleeps."""
    return Workload(make_numbers, Nap, consumers=workers, take_with={"seconds": milliseconds / 1000})


_FIXED: dict[str, Workload] = {
    "small-1x1": Workload(make_numbers),
    "small-3x2": Workload(make_numbers, producers=3, consumers=2),
    "text-3x2": Workload(make_text, producers=3, consumers=2),
    "tuples-3x2": Workload(make_tuples, producers=3, consumers=2),
    "pipe": Workload(make_numbers, between=double, pipes=2),
    "chain-5": Workload(make_numbers, between=double, pipes=1, links=3),
    "chain-150": Workload(make_numbers, between=double, pipes=1, links=148),
    "bytes-1KB": _big(make_bytes, 1 << 10),
    "bytes-100KB": _big(make_bytes, 100 << 10),
    "bytes-1MB": _big(make_bytes, 1 << 20),
    "array-100KB": _big(make_arrays, 100 << 10),
    "array-1MB": _big(make_arrays, 1 << 20),
    "array-16MB": _big(make_arrays, 16 << 20),
    "latency": Workload(make_stamps, Latency),
    "fleet": Workload(make_numbers, consumers=1000),
    "mixed": Workload(make_mixed_arrays, take_slowly, take_with={"seconds": 0.002}),
    "idle-full": Workload(make_numbers, oversleep),
    "idle-empty": Workload(make_late),
}


def workload(name: str) -> Workload:
    """Find one by its name; `nap-2x16` are items of 2 ms on 16 workers."""
    if name.startswith("nap-"):
        milliseconds, workers = name.removeprefix("nap-").split("x")
        return naps(float(milliseconds), int(workers))
    return _FIXED[name]


def close(handler: Callable[[Any], Any]) -> None:
    """End a handler of one consumer."""
    if hasattr(handler, "close"):
        handler.close()
