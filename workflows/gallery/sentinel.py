"""The handlers of sentinel.yaml: cooks put, guests take until they get the end mark.

quick-cook, slow-cook ──► plate ──► guest: dumpling, dumpling, …, None
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mprun import QueueEnd, WorkerContext


def cook(dumplings: int, seconds: float, queue: QueueEnd, worker: WorkerContext, times: float = 1) -> None:
    """Make dumplings, and no mark: that the cooks are done is not for one of them to know."""
    for number in range(dumplings):
        time.sleep(seconds * times)
        queue.put(f"{worker.name}的饺子{number}")
    print(f"{worker.name} is done", flush=True)


def dine(queue: QueueEnd, worker: WorkerContext) -> None:
    """Eat until there is no more."""
    while (dumpling := queue.get()) is not None:
        print(f"{worker.name} 吃了{dumpling}", flush=True)
        queue.task_done()
    print(f"{worker.name} goes home", flush=True)
