"""The handlers of tickets.yaml: an office that puts tickets on sale, and people who look and buy.

open_office ──► {"count": 3} ──► look: 3 left, 3 left, 3 left …
                             └─► buy: read ── the network ── write: 2, 1, 0, sold out … ──► close_office
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mprun import WorkerContext


def open_office(file: Path, count: int) -> None:
    """Put tickets on sale."""
    _write(file, count)


def look(file: Path, worker: WorkerContext) -> None:
    """See how many are left. Nobody is in the way of somebody who only looks."""
    print(f"{worker.name}: {_read(file)} left")


def buy(file: Path, delay: float, worker: WorkerContext) -> None:
    """Buy one, if there is one: read, think, write. Correct only while nobody else does the same."""
    left = _read(file)
    time.sleep(delay)
    if left == 0:
        print(f"{worker.name}: sold out")
        return
    _write(file, left - 1)
    print(f"{worker.name}: bought a ticket, {left - 1} left")


def close_office(file: Path) -> None:
    """Count what is left, and put the file away."""
    print(f"the office closes: {_read(file)} left")
    file.unlink()


def _read(file: Path) -> int:
    count: int = json.loads(file.read_text(encoding="utf-8"))["count"]
    return count


def _write(file: Path, count: int) -> None:
    """Write the number, whole or not at all: a reader who comes in between sees the old one."""
    draft = file.with_name(f"{file.name}.{time.monotonic_ns()}")
    draft.write_text(json.dumps({"count": count}), encoding="utf-8")
    draft.replace(file)
