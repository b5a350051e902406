"""The handlers of process-function.yaml: what a process does, and what the main program does.

main ──► 主进程
task ──► 子进程1 is running ── seconds ──► 子进程1 is done
"""

from __future__ import annotations

import time


def main() -> None:
    """Print the main line."""
    print("主进程")


def task(name: str, seconds: float) -> None:
    """Work for a while, and say so."""
    print(f"{name} is running")
    time.sleep(seconds)
    print(f"{name} is done")
