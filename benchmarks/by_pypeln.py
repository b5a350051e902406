"""A contender: pypeln's process stages. The producers are the calling process's iterables.

python by_pypeln.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import sys

import pypeln
from workloads import Workload, workload


def run(carried: Workload, count: int, maxsize: int) -> None:
    items = pypeln.process.from_iterable(carried.make(**carried.each(count)), maxsize=maxsize)
    for _ in range(carried.chain):
        items = pypeln.process.map(carried.between, items, workers=carried.pipes, maxsize=maxsize)
    done = pypeln.process.each(carried.handler(), items, workers=carried.consumers, maxsize=maxsize)
    pypeln.process.run(done)


if __name__ == "__main__":
    run(workload(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
