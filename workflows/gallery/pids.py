"""The handler of pids.yaml.

tell ──► worker-1: 4712, parent 4711
"""

from __future__ import annotations

import os
from multiprocessing import current_process


def tell() -> None:
    """Print who this is, and who started it."""
    print(f"{current_process().name}: {os.getpid()}, parent {os.getppid()}")
