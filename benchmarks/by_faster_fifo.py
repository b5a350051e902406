"""A contender: processes round faster-fifo's queue, which many readers empty in one call.

python by_faster_fifo.py WORKLOAD COUNT MAXSIZE
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
from typing import Any

from faster_fifo import Queue
from workloads import Workload, close, workload

END = None
MOST_BYTES = 64 << 20
FOREVER = 3600.0


def produce(make: Any, arguments: dict[str, int], outbox: Any) -> None:
    for item in make(**arguments):
        outbox.put(item, timeout=FOREVER)


def pass_on(between: Any, inbox: Any, outbox: Any) -> None:
    for item in items_of(inbox):
        outbox.put(between(item), timeout=FOREVER)


def consume(carried: Workload, inbox: Any) -> None:
    handler = carried.handler()
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


def run(carried: Workload, count: int, maxsize: int) -> None:
    size = carried.with_.get("size", 0)
    room = min(max(maxsize * (size + 64), 4 * size), max(MOST_BYTES, 4 * size))
    queues = [Queue(max_size_bytes=room) for _ in range(carried.chain + 1)]
    consumers = start(carried.consumers, consume, carried, queues[-1])
    pipes = [
        start(carried.pipes, pass_on, carried.between, inbox, outbox)
        for inbox, outbox in itertools.pairwise(queues)
    ]
    for process in start(carried.producers, produce, carried.make, carried.each(count), queues[0]):
        process.join()
    for readers, queue in zip([*pipes, consumers], queues, strict=True):
        for _ in readers:
            queue.put(END, timeout=FOREVER)
        for process in readers:
            process.join()


def start(count: int, target: Any, *arguments: Any) -> list[multiprocessing.Process]:
    processes = [multiprocessing.Process(target=target, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    return processes


if __name__ == "__main__":
    run(workload(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
