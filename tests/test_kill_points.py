"""Kill points, not kill times: a worker of each role dies, or stops, at each boundary of its life.

A run of three stages is struck once, by a failpoint. It has to end by itself, with each item at the sink, a ledger that
adds up, and no process, descriptor or file in /dev/shm left.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner import process
from runner.errors import UsageError
from runner.events import Event
from runner.failpoints import ACTIONS, MARK_VARIABLE, VARIABLE, Failpoint, Trigger
from runner.plan import make_plan
from runner.report import Report
from runner.run import run
from runner.spec import HandlerRef, Limits, QueueSpec, RestartOn, RestartPolicy, StageSpec, WorkflowSpec
from runner.wire import HEADER

_KITCHEN = """
    import os, time
    from pathlib import Path
    from runner.failpoints import reached

    notes = os.open(Path(__file__).with_name("notes.txt"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    class Steam:
        def __init__(self, count, size, offset=0):
            self.buns = range(offset, count)
            self.stuffing = b"x" * size
        def __iter__(self):
            for bun in self.buns:
                yield bun if not self.stuffing else (bun, self.stuffing)
        def close(self):
            reached("close")

    class SteamAgain(Steam):
        def __init__(self, count, size, offset):
            super().__init__(count, size, offset)

    class SteamOnce(Steam):
        def __init__(self, count, size):
            super().__init__(count, size)

    class Halve:
        def __call__(self, item):
            bun, stuffing = item if isinstance(item, tuple) else (item, b"")
            reached("handler")
            for half in ("left", "right"):
                yield (bun, half, stuffing) if stuffing else (bun, half)
        def close(self):
            reached("close")

    class Eat:
        def __init__(self, seconds=0):
            self.seconds = seconds
        def __call__(self, item):
            reached("handler")
            time.sleep(self.seconds)
            os.write(notes, f"{item[0]} {item[1]}\\n".encode())
        def close(self):
            reached("close")
"""
