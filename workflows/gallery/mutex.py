"""The handler of mutex.yaml.

speak ──► 子进程1: 第1句 ── pause ──► 子进程1: 第2句 ── pause ──► 子进程1: 第3句
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mprun import WorkerContext


def speak(pause: float, worker: WorkerContext) -> None:
    """Print three lines, slowly enough for others to come in between."""
    for number in (1, 2, 3):
        print(f"{worker.name}: 第{number}句")
        time.sleep(pause)
