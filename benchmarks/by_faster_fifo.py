"""A contender: processes round faster-fifo's queue, which many readers empty in one call.

python by_faster_fifo.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

from faster_fifo import Queue
from workloads import WORKLOADS, Workload, close, handler_of

END = None
MOST_BYTES = 64 << 20
FOREVER = 3600.0


def produce(make: Any, arguments: dict[str, int], outbox: Any) -> None:
    for item in make(**arguments):
        outbox.put(item, timeout=FOREVER)


def pass_on(between: Any, inbox: Any, outbox: Any) -> None:
    for item in items_of(inbox):
        outbox.put(between(item), timeout=FOREVER)


def consume(take: Any, inbox: Any) -> None:
    handler = handler_of(take)
    for item in items_of(inbox):
        handler(item)
    close(handler)


def items_of(inbox: Any) -> Any:
    """Take what is there at once. An end that was meant for another reader is put back."""
    while True:
        batch = inbox.get_many(timeout=FOREVER)
        ends = [item for item in batch if item is END]
        yield from (item for item in batch if item is not END)
        if ends:
            for end in ends[1:]:
                inbox.put(end, timeout=FOREVER)
            return


def run(workload: Workload, count: int, maxsize: int) -> None:
    size = workload.with_.get("size", 0)
    room = min(max(maxsize * (size + 64), 4 * size), max(MOST_BYTES, 4 * size))
    first = Queue(max_size_bytes=room)
    last = Queue(max_size_bytes=room) if workload.pipes else first
    consumers = start(workload.consumers, consume, workload.take, last)
    pipes = start(workload.pipes, pass_on, workload.between, first, last)
    producers = start(workload.producers, produce, workload.make, workload.each(count), first)
    for processes, queue in ((producers, None), (pipes, first), (consumers, last)):
        for _ in processes if queue is not None else ():
            queue.put(END, timeout=FOREVER)
        for process in processes:
            process.join()


def start(count: int, target: Any, *arguments: Any) -> list[multiprocessing.Process]:
    processes = [multiprocessing.Process(target=target, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    return processes


if __name__ == "__main__":
    run(WORKLOADS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
