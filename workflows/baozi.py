"""The handlers of baozi.yaml: chefs steam buns, eaters eat them.

neo, alex, egon ── steam ──► steamer ── eat ──► c1, c2
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mprun import WorkerContext


def steam(buns: int, seconds: float, speed: float, worker: WorkerContext) -> Iterator[str]:
    """A producer: each value it yields is put on the queue."""
    for number in range(buns):
        time.sleep(seconds / speed)
        bun = f"{worker.name}的包子{number}"
        print(f"{worker.name} 生产了{bun}", flush=True)
        yield bun


def eat(bun: str, seconds: float, speed: float, worker: WorkerContext) -> None:
    """A consumer: called with one item, which is done once this returns."""
    time.sleep(seconds / speed)
    print(f"{worker.name}消费了{bun}", flush=True)
