"""A contender: tasks of Ray round `ray.util.queue.Queue`, on this machine alone.

python by_ray.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import itertools
import logging
import sys
from typing import Any

import ray
from ray.util.queue import Queue
from workloads import Workload, close, workload

END = None


@ray.remote(num_cpus=0)
def produce(carried: Workload, count: int, outbox: Any) -> None:
    for item in carried.make(**carried.each(count)):
        outbox.put(item)


@ray.remote(num_cpus=0)
def pass_on(carried: Workload, inbox: Any, outbox: Any) -> None:
    assert carried.between is not None
    while (item := inbox.get()) is not END:
        outbox.put(carried.between(item))


@ray.remote(num_cpus=0)
def consume(carried: Workload, inbox: Any) -> None:
    handler = carried.handler()
    while (item := inbox.get()) is not END:
        handler(item)
    close(handler)


def run(carried: Workload, count: int, maxsize: int) -> None:
    ray.init(include_dashboard=False, logging_level=logging.ERROR)
    queues = [Queue(maxsize, actor_options={"num_cpus": 0}) for _ in range(carried.chain + 1)]
    pipes = [
        [pass_on.remote(carried, inbox, outbox) for _ in range(carried.pipes)]
        for inbox, outbox in itertools.pairwise(queues)
    ]
    consumers = [consume.remote(carried, queues[-1]) for _ in range(carried.consumers)]
    ray.get([produce.remote(carried, count, queues[0]) for _ in range(carried.producers)])
    for readers, queue in zip([*pipes, consumers], queues, strict=True):
        for _ in readers:
            queue.put(END)
        ray.get(readers)
    ray.shutdown()


if __name__ == "__main__":
    run(workload(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
