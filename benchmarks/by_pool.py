"""A contender: `multiprocessing.Pool`, fed by the calling process, so many items at a time.

python by_pool.py WORKLOAD COUNT MAXSIZE CHUNKSIZE

It knows no bound: it reads what there is to do as fast as it can, and keeps it. MAXSIZE is for the others.
"""

from __future__ import annotations

import multiprocessing
import sys

from workloads import Workload, workload


def run(carried: Workload, count: int, chunksize: int) -> None:
    with multiprocessing.Pool(carried.consumers) as pool:
        items = carried.make(**carried.each(count))
        for _ in pool.imap_unordered(carried.handler(), items, chunksize):
            pass


if __name__ == "__main__":
    run(workload(sys.argv[1]), int(sys.argv[2]), int(sys.argv[4]))
