"""The handlers of daemon.yaml: a heartbeat that never ends by itself, and work that does.

beat ──► 心跳: I am ── seconds ──► alive ── again, until the work has ended
"""

from __future__ import annotations

import time
from multiprocessing import Process


def beat(seconds: float, children: bool) -> None:
    """Say the same sentence again and again, slowly."""
    if children:
        Process(target=print, args=("a child of the heartbeat",)).start()
    while True:
        print("心跳: I am …", flush=True)
        time.sleep(seconds)
        print("心跳: … alive", flush=True)


def work(seconds: float) -> None:
    """Do the real work."""
    time.sleep(seconds)
    print("主进程: the work is done")
