"""The handlers of join-parallel.yaml and join-serial.yaml: one task of several lengths, and what comes after it.

work ──► 子进程1 is running ── its seconds ──► 子进程1 is done
main ──► 主进程: everyone is done
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mprun import WorkerContext


def work(seconds: dict[str, float], worker: WorkerContext) -> None:
    """Work for as long as is said for the worker of this name."""
    print(f"{worker.name} is running")
    time.sleep(seconds[worker.name])
    print(f"{worker.name} is done")


def main() -> None:
    """Print what the main program prints after its joins."""
    print("主进程: everyone is done")
