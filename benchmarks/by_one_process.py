"""The floor: the same handlers in one process, and one copy of each item that is more than a few bytes.

python by_one_process.py WORKLOAD COUNT MAXSIZE

Nobody who carries items from one process to another can do with less.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from workloads import Workload, close, workload


def run(carried: Workload, count: int) -> None:
    handler = carried.handler()
    items = carried.make(**carried.each(count * carried.producers))
    for _ in range(carried.chain):
        items = map(carried.between or _same, items)
    copy = copier(carried)
    for item in items if copy is _same else map(copy, items):
        handler(item)
    close(handler)


def copier(carried: Workload) -> Callable[[Any], Any]:
    """Return what copies an item: an array into memory that is there, as a reader gets it; bytes into new ones."""
    if "size" not in carried.with_:
        return _same
    if "bytes" in carried.make.__name__:
        return lambda item: bytes(memoryview(item))
    import numpy

    kept = numpy.empty(carried.with_["size"] // 8, dtype="int64")

    def copied(item: Any) -> Any:
        kept[:] = item
        return kept

    return copied


def _same(item: Any) -> Any:
    return item


if __name__ == "__main__":
    run(workload(sys.argv[1]), int(sys.argv[2]))
