"""A contender: mpire's pool of workers, fed by the calling process, item by item as a queue is.

python by_mpire.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import sys

from mpire import WorkerPool
from workloads import Workload, workload


def run(carried: Workload, count: int, maxsize: int) -> None:
    with WorkerPool(n_jobs=carried.consumers) as pool:
        results = pool.imap_unordered(
            carried.handler(),
            ((item,) for item in carried.make(**carried.each(count))),
            iterable_len=count,
            chunk_size=1,
            max_tasks_active=maxsize,
        )
        for _ in results:
            pass


if __name__ == "__main__":
    run(workload(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
