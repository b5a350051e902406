"""The handlers of queue-basics.yaml: both hold the queue itself, and say what they find.

baker ── put, full ──► shelf (room for three) ── get, empty ──► customer
"""

from __future__ import annotations

import queue as queues
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Event

    from mprun import QueueEnd


def fill(queue: QueueEnd, loaves: int, shelf_is_full: Event) -> None:
    """Put loaves until the shelf is full, and try one more."""
    print(f"baker: empty? {queue.empty()}", flush=True)
    for number in range(1, loaves + 1):
        queue.put(number)
        print(f"baker: put {number}", flush=True)
    print(f"baker: full? {queue.full()}", flush=True)
    try:
        queue.put(loaves + 1, timeout=0.1)
    except queues.Full:
        print(f"baker: no room for {loaves + 1}", flush=True)
    shelf_is_full.set()


def clear(queue: QueueEnd, loaves: int, shelf_is_full: Event) -> None:
    """Take what is there once the shelf is full, and look for more."""
    shelf_is_full.wait()
    for _ in range(loaves):
        print(f"customer: got {queue.get()}", flush=True)
        queue.task_done()
    try:
        queue.get(block=False)
    except queues.Empty:
        print(f"customer: empty? {queue.empty()}", flush=True)
