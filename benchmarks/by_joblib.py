"""A contender: joblib over loky's processes. It makes batches by itself, by how long items take.

python by_joblib.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import sys

from joblib import Parallel, delayed
from workloads import Workload, workload


def run(carried: Workload, count: int, maxsize: int) -> None:
    parallel = Parallel(
        n_jobs=carried.consumers,
        backend="loky",
        return_as="generator_unordered",
        pre_dispatch=min(maxsize, count),
    )
    call = delayed(carried.handler())
    for _ in parallel(call(item) for item in carried.make(**carried.each(count))):
        pass


if __name__ == "__main__":
    run(workload(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
