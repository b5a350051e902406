"""The handlers of pipe-and-manager.yaml.

child ── hello ──► wire ──► parent            taker × 10 ── counter: board["left"] -= 1 ──► board ──► teller
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.managers import DictProxy

    from mprun import HandlerLock


def greet(wire: Connection) -> None:
    """Say hello and be gone: that closes this end."""
    wire.send("hello from the child")
    print(f"child: got {wire.recv()!r}", flush=True)


def listen(wire: Connection) -> None:
    """Listen until the other end closes."""
    print(f"parent: got {wire.recv()!r}", flush=True)
    wire.send("hello from the parent")
    try:
        wire.recv()
    except EOFError:
        print("parent: the child has gone", flush=True)


def take(tickets: int, board: DictProxy[str, int], counter: HandlerLock) -> None:
    """Count down, a step at a time. Without the lock, two that look at once take one ticket between them."""
    for _ in range(tickets):
        with counter:
            board["left"] -= 1


def tell(board: DictProxy[str, int]) -> None:
    """Print what is left."""
    print(f"left: {board['left']}")
