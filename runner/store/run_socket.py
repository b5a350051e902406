"""Sockets in the folder of a run, by which it is reached while it lives: whoever may enter the folder, and nobody else.

    listen_in(folder, "watch.sock") ◄── connect_to(folder, "watch.sock")      is_own_user: the kernel says who calls

The folder is its owner's alone, the socket too, and the kernel tells whose process it is that calls (SO_PEERCRED,
unix(7)).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WATCH_SOCKET = "watch.sock"
"""By which a run is watched: see `runner/watch/hub.py`."""


def listen_in(folder: Path, name: str, most_waiting: int) -> socket.socket:
    """Make a socket and listen; nobody waits for it. Raises OSError where none can be made, or there is one."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with _short_path(folder, name) as path:
            listener.bind(path)
        (folder / name).chmod(0o600)
        listener.listen(most_waiting)
    except OSError:
        listener.close()
        raise
    return listener


def connect_to(folder: Path, name: str, seconds: float) -> socket.socket:
    """Reach whoever listens there, within so many seconds. Raises OSError; where there is none FileNotFoundError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(seconds)
        with _short_path(folder, name) as path:
            line.connect(path)
    except OSError:
        line.close()
        raise
    return line


def accept_own(listener: socket.socket) -> socket.socket | None:
    """Take the next caller, whom nobody waits for; None where there is none after all, or it is another user's."""
    try:
        caller, _ = listener.accept()
    except (BlockingIOError, ConnectionError):
        return None
    caller.setblocking(False)
    if _user_of(caller) == os.geteuid():
        return caller
    caller.close()
    return None


def _user_of(caller: socket.socket) -> int:
    _, user, _ = struct.unpack(
        "3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return int(user)


@contextmanager
def _short_path(folder: Path, name: str) -> Iterator[str]:
    """A name for the socket that fits into the 107 bytes of a socket's address, however deep its folder lies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
