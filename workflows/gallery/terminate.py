"""The handler of terminate.yaml.

sleep ──► 子进程1 is running ── SIGTERM ──► nothing more
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mprun import WorkerContext


def sleep(worker: WorkerContext) -> None:
    """Sleep for longer than anybody waits."""
    print(f"{worker.name} is running")
    time.sleep(1000)
    print(f"{worker.name} is done")
