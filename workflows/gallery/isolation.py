"""The handlers of isolation.yaml: one sets a global of this module, the others look at theirs.

n = 100 ──► changer: n = 0
        └─► onlooker-1, onlooker-2: n is 100
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mprun import WorkerContext

n = 100


def change(worker: WorkerContext) -> None:
    """Set the global to 0, here."""
    global n  # noqa: PLW0603 - that nobody else sees it is the point
    n = 0
    print(f"{worker.name}: n is {n}")


def look(worker: WorkerContext) -> None:
    """Print the global as this process has it."""
    print(f"{worker.name}: n is {n}")
