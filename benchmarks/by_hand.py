"""A contender: the script that one writes by hand round `multiprocessing.JoinableQueue`, with care.

python by_hand.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from typing import Any

from workloads import WORKLOADS, Workload, close, handler_of

END = None


def produce(make: Callable[..., Any], arguments: dict[str, int], outbox: Any) -> None:
    for item in make(**arguments):
        outbox.put(item)


def pass_on(between: Callable[[Any], Any], inbox: Any, outbox: Any) -> None:
    while (item := inbox.get()) is not END:
        outbox.put(between(item))
        inbox.task_done()
    inbox.task_done()


def consume(take: Callable[..., Any], inbox: Any) -> None:
    handler = handler_of(take)
    while (item := inbox.get()) is not END:
        handler(item)
        inbox.task_done()
    inbox.task_done()
    close(handler)


def run(workload: Workload, count: int, maxsize: int) -> None:
    first = multiprocessing.JoinableQueue(maxsize)
    last = multiprocessing.JoinableQueue(maxsize) if workload.pipes else first
    consumers = start(workload.consumers, consume, workload.take, last)
    pipes = start(workload.pipes, pass_on, workload.between, first, last)
    producers = start(workload.producers, produce, workload.make, workload.each(count), first)
    wait_for(producers)
    end(pipes, first)
    end(consumers, last)


def start(count: int, target: Callable[..., None], *arguments: Any) -> list[multiprocessing.Process]:
    processes = [multiprocessing.Process(target=target, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    return processes


def end(readers: list[multiprocessing.Process], queue: Any) -> None:
    """Tell each reader that nothing more will come, and wait until all that was put is done."""
    for _ in readers:
        queue.put(END)
    if readers:
        queue.join()
    wait_for(readers)


def wait_for(processes: list[multiprocessing.Process]) -> None:
    for process in processes:
        process.join()


if __name__ == "__main__":
    run(WORKLOADS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
