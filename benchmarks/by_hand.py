"""A contender: the script that one writes by hand round `multiprocessing.JoinableQueue`, with care.

python by_hand.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
from collections.abc import Callable
from typing import Any

from workloads import Workload, close, workload

END = None


def produce(make: Callable[..., Any], arguments: dict[str, int], outbox: Any) -> None:
    for item in make(**arguments):
        outbox.put(item)


def pass_on(between: Callable[[Any], Any], inbox: Any, outbox: Any) -> None:
    while (item := inbox.get()) is not END:
        outbox.put(between(item))
        inbox.task_done()
    inbox.task_done()


def consume(carried: Workload, inbox: Any) -> None:
    handler = carried.handler()
    while (item := inbox.get()) is not END:
        handler(item)
        inbox.task_done()
    inbox.task_done()
    close(handler)


def run(carried: Workload, count: int, maxsize: int) -> None:
    queues: list[Any] = [multiprocessing.JoinableQueue(maxsize) for _ in range(carried.chain + 1)]
    consumers = start(carried.consumers, consume, carried, queues[-1])
    pipes = [
        start(carried.pipes, pass_on, carried.between, inbox, outbox)
        for inbox, outbox in itertools.pairwise(queues)
    ]
    producers = start(carried.producers, produce, carried.make, carried.each(count), queues[0])
    wait_for(producers)
    for readers, queue in zip([*pipes, consumers], queues, strict=True):
        end(readers, queue)


def start(count: int, target: Callable[..., None], *arguments: Any) -> list[multiprocessing.Process]:
    processes = [multiprocessing.Process(target=target, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    return processes


def end(readers: list[multiprocessing.Process], queue: Any) -> None:
    """Tell each reader that nothing more will come, and wait until all that was put is done."""
    for _ in readers:
        queue.put(END)
    queue.join()
    wait_for(readers)


def wait_for(processes: list[multiprocessing.Process]) -> None:
    for process in processes:
        process.join()


if __name__ == "__main__":
    run(workload(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
