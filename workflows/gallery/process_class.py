"""The handlers of process-class.yaml: a subclass of multiprocessing.Process, as one would write it by hand.

Task(name, seconds) ──► run: 子进程1 is running ── seconds ──► 子进程1 is done
"""

from __future__ import annotations

import time
from multiprocessing import Process


class Task(Process):
    """A process that works for a while. The name is the one that multiprocessing knows it by."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(name=name)
        self.seconds = seconds

    def run(self) -> None:
        """Work for a while, and say so."""
        print(f"{self.name} is running")
        time.sleep(self.seconds)
        print(f"{self.name} is done")


def main() -> None:
    """Print the main line."""
    print("主进程")
