"""One private channel per worker: whole JSON messages over its own socketpair, so a dead worker spoils nobody else's.

    worker: Sender ── 4 bytes length │ JSON ──► Receiver: supervisor (never blocks, never unpickles)

A message cut short by a kill never completes and is never seen.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

from runner.text import safe_repr

_LENGTH = 4
_LONGEST = 4 * 1024 * 1024
_CHUNK = 65536
_LONGEST_TEXT = 50_000
_MOST_FIELDS = 100


class Sender:
    """The worker's end. Pickles under any start method while multiprocessing spawns a process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._turn = threading.RLock()  # a handler may log from its own threads, and from a signal's handler
        self._only_logs = False

    def __reduce__(self) -> tuple[type[Sender], tuple[socket.socket]]:
        """Travel as the socket alone: a lock can't."""
        return Sender, (self._sock,)

    def send(self, kind: str, **fields: Any) -> None:
        """Send one message. Blocks only while the supervisor is behind; does nothing once it is gone."""
        if self._only_logs and kind != "logged":
            return
        body = _encode(kind, fields)
        try:
            with self._turn:
                self._sock.sendall(len(body).to_bytes(_LENGTH, "little") + body)
        except OSError:
            # The supervisor is gone; whoever cleans up after it ends this process too.
            return

    def only_log(self) -> None:
        """Called in a process that the worker forked: it may log, and has no other word in the worker's life."""
        self._only_logs = True

    def fileno(self) -> int:
        """The descriptor, for whoever closes all others."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close this side's copy of the descriptor."""
        self._sock.close()


class Receiver:
    """The supervisor's end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._buffer = bytearray()
        self.ended = False
        """Whether the other side has closed; what it sent before that is still delivered."""

    def receive_nowait(self) -> Iterator[dict[str, Any]]:
        """Yield the messages that are wholly there."""
        self._fill()
        while (message := self._cut()) is not None:
            yield message

    def ring(self) -> None:
        """Have the other side's descriptor be readable for good: nothing is ever sent that way but this end of it."""
        with contextlib.suppress(OSError):  # the other side is gone
            self._sock.shutdown(socket.SHUT_WR)

    def fileno(self) -> int:
        """For a selector."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the descriptor; what was not read is gone."""
        self._sock.close()

    def _fill(self) -> None:
        while not self.ended:
            try:
                chunk = self._sock.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            self.ended = not chunk
            self._buffer += chunk

    def _cut(self) -> dict[str, Any] | None:
        if len(self._buffer) < _LENGTH:
            return None
        length = int.from_bytes(self._buffer[:_LENGTH], "little")
        if length > _LONGEST:
            # Not our protocol: the handler wrote to a descriptor that is not its own. Believe nothing that follows.
            self.ended = True
            self._buffer.clear()
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # nobody reads any more: a sender must not wait for it
            return None
        if len(self._buffer) < _LENGTH + length:
            return None
        body = bytes(self._buffer[_LENGTH : _LENGTH + length])
        del self._buffer[: _LENGTH + length]
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return {}
        return message if isinstance(message, dict) else {}


def _encode(kind: str, fields: dict[str, Any]) -> bytes:
    """Write a message as JSON; where that can't be done, or is too long to be believed, safe_repr its fields."""
    with contextlib.suppress(Exception):  # keys that are no text, a circle, an object whose repr raises
        body = json.dumps({"kind": kind, **fields}, default=repr).encode()
        if len(body) <= _LONGEST:
            return body
    return json.dumps({"kind": kind, **{key: _bounded(value) for key, value in fields.items()}}).encode()


def _bounded(value: Any) -> Any:
    if isinstance(value, dict):
        some = islice(value.items(), _MOST_FIELDS)
        return {key if isinstance(key, str) else safe_repr(key): safe_repr(each) for key, each in some}
    return value[:_LONGEST_TEXT] if isinstance(value, str) else safe_repr(value)


def open_channel() -> tuple[Receiver, Sender]:
    """Open a private channel: the supervisor's end and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Receiver(ours), Sender(theirs)
