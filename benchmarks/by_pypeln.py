"""A contender: pypeln's process stages. The producers are the calling process's iterables.

python by_pypeln.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import sys

import pypeln
from workloads import WORKLOADS, Workload


def run(workload: Workload, count: int, maxsize: int) -> None:
    items = pypeln.process.from_iterable(workload.make(**workload.each(count)), maxsize=maxsize)
    if workload.between is not None:
        items = pypeln.process.map(workload.between, items, workers=workload.pipes, maxsize=maxsize)
    done = pypeln.process.each(workload.take, items, workers=workload.consumers, maxsize=maxsize)
    pypeln.process.run(done)


if __name__ == "__main__":
    run(WORKLOADS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
