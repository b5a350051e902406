"""The handlers of baozi.yaml, in two styles that print the same.

neo, alex, egon ── steam ──► steamer ── eat ──► c1, c2               plain functions: mprun puts, gets and acknowledges
小明, 小红, 小刚 ── producer ──► basket ── consumer ──► c3, c4        functions that hold the queue and do it themselves
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mprun import QueueEnd, WorkerContext


def steam(buns: int, seconds: float, worker: WorkerContext) -> Iterator[str]:
    """Each value that is yielded is put."""
    for number in range(buns):
        time.sleep(seconds)
        print(f"{worker.name} 生产了{worker.name}的包子{number}", flush=True)
        yield f"{worker.name}的包子{number}"


def eat(bun: str, seconds: float, worker: WorkerContext) -> None:
    """Called with each bun, which is done once this returns."""
    time.sleep(seconds)
    print(f"{worker.name} 吃了{bun}", flush=True)


def producer(name: str, buns: int, seconds: float, queue: QueueEnd) -> None:
    """Put buns, and wait until none that was put, by whomever, is left. Another chef may put more after that."""
    for number in range(buns):
        time.sleep(seconds)
        print(f"{name} 生产了{name}的包子{number}", flush=True)
        queue.put(f"{name}的包子{number}")
    queue.join()
    print(f"{name} 的包子都吃完了", flush=True)


def consumer(name: str, seconds: float, queue: QueueEnd) -> None:
    """Take buns for ever. A daemon: somebody else sees to it that this ends."""
    while True:
        bun = queue.get()
        time.sleep(seconds)
        print(f"{name} 吃了{bun}", flush=True)
        queue.task_done()
