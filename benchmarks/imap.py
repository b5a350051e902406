"""`mprun.imap` beside `multiprocessing.Pool(4)`: the same function on the same items, in turns.

    python benchmarks/imap.py [--rounds 5] [--only 3ms]

Each figure is the time from the call to the last result, the start and the end of the processes with it. Of each case
the median of the rounds is shown, and the ratio of the two: below 1 mprun is the quicker one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from multiprocessing import Pool
from typing import Any

import numpy as np

import mprun

WORKERS = 4


def sleep_100us(item: int) -> int:
    time.sleep(0.0001)
    return item


def sleep_1ms(item: int) -> int:
    time.sleep(0.001)
    return item


def sleep_3ms(item: int) -> int:
    time.sleep(0.003)
    return item


def sleep_50ms(item: int) -> int:
    time.sleep(0.05)
    return item


def spin_100us(item: int) -> int:
    return _spin(item, 0.0001)


def spin_1ms(item: int) -> int:
    return _spin(item, 0.001)


def _spin(item: int, seconds: float) -> int:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return item


def halve(array: Any) -> Any:
    return array * 0.5


CASES: dict[str, tuple[Callable[[Any], Any], Callable[[], Iterable[Any]]]] = {
    "0.1ms": (sleep_100us, lambda: range(20_000)),
    "1ms": (sleep_1ms, lambda: range(4_000)),
    "3ms": (sleep_3ms, lambda: range(1_500)),
    "50ms": (sleep_50ms, lambda: range(120)),
    "0.1ms of work": (spin_100us, lambda: range(10_000)),
    "1ms of work": (spin_1ms, lambda: range(1_500)),
    "1MB arrays": (halve, lambda: (np.ones(125_000) for _ in range(400))),
}


def by_pool(function: Callable[[Any], Any], items: Iterable[Any], *, ordered: bool) -> float:
    began = time.perf_counter()
    with Pool(WORKERS) as pool:
        results = (pool.imap if ordered else pool.imap_unordered)(function, items)
        count = sum(1 for _ in results)
    assert count
    return time.perf_counter() - began


def by_mprun(function: Callable[[Any], Any], items: Iterable[Any], *, ordered: bool) -> float:
    began = time.perf_counter()
    count = sum(1 for _ in mprun.imap(function, items, workers=WORKERS, ordered=ordered))
    assert count
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CASES)
    given = parser.parse_args()
    by_mprun(str, range(8), ordered=True)  # imports
    print(f"{'items of':<15}{'order':<11}{'Pool(4)':>9}{'imap':>9}{'ratio':>8}")
    for name in [given.only] if given.only else CASES:
        function, items = CASES[name]
        for ordered in (False, True):
            pool, ours = [], []
            for _ in range(given.rounds):
                pool.append(by_pool(function, items(), ordered=ordered))
                ours.append(by_mprun(function, items(), ordered=ordered))
            ratio = statistics.median(a / b for a, b in zip(ours, pool, strict=True))
            line = f"{statistics.median(pool):>8.3f}s{statistics.median(ours):>8.3f}s{ratio:>8.2f}"
            print(f"{name:<15}{'ordered' if ordered else 'unordered':<11}{line}", flush=True)


if __name__ == "__main__":
    main()
