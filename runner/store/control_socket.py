"""The control socket: how `ps`, `stop` and `scale` reach a run that is under way.

    mprun stop RUN ── one JSON line ──► ControlSocket ──► supervisor ── one JSON line ──► mprun stop

Only the owner gets in: see `run_socket.py`. The supervisor never waits for a caller: a slow one is served when its line
is there.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UsageError
from runner.store.run_socket import accept_own, connect_to, listen_in

if TYPE_CHECKING:
    from runner.transports.base import Transport

SOCKET = "control.sock"
_MOST_BYTES = 64 * 1024
_MOST_CALLERS = 32
ANSWER_TIMEOUT = 10.0

RequestHandler = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Does what a request asks, and returns the answer."""


class RunSilent(UsageError):
    """A run has not answered: it has ended, is stopped, or has too many callers."""


class ControlSocket:
    """The supervisor's end."""

    def __init__(self, folder: Path, transport: Transport, handle: RequestHandler) -> None:
        """Listen in `folder`, within the waiting of `transport`. Raises OSError where sockets can't be made."""
        self._folder = folder
        self._transport = transport
        self._handle = handle
        self._callers: dict[socket.socket, bytearray] = {}
        self._listener = listen_in(folder, SOCKET, _MOST_CALLERS)
        transport.watch(self._listener, self._accept)

    def close(self) -> None:
        """Hang up on everybody and take the socket away."""
        for caller in list(self._callers):
            self._hang_up(caller)
        self._transport.unwatch(self._listener)
        self._listener.close()
        (self._folder / SOCKET).unlink(missing_ok=True)

    def _accept(self) -> None:
        caller = accept_own(self._listener)
        if caller is None:
            return
        if len(self._callers) >= _MOST_CALLERS:
            caller.close()
            return
        self._callers[caller] = bytearray()
        self._transport.watch(caller, lambda: self._receive(caller))

    def _receive(self, caller: socket.socket) -> None:
        received = self._callers[caller]
        try:
            chunk = caller.recv(_MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        received += chunk
        if b"\n" in received:
            self._reply(caller, bytes(received))
        if not chunk or b"\n" in received or len(received) > _MOST_BYTES:
            self._hang_up(caller)

    def _reply(self, caller: socket.socket, line: bytes) -> None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):  # the latter for what is nested without end
            request = None
        reply = self._handle(request) if isinstance(request, dict) else {"error": "that is no request"}
        with contextlib.suppress(OSError):
            # An answer of the usual size fits the socket's buffer; a caller that reads nothing loses the rest.
            caller.setblocking(True)
            caller.settimeout(0.2)
            # In ASCII: half a character that the caller has sent comes back to it, and has no UTF-8.
            caller.sendall(json.dumps(reply).encode() + b"\n")

    def _hang_up(self, caller: socket.socket) -> None:
        self._transport.unwatch(caller)
        del self._callers[caller]
        caller.close()


def ask(folder: Path, request: Mapping[str, Any], *, timeout: float = ANSWER_TIMEOUT) -> dict[str, Any]:
    """Ask the run whose folder this is; wait for its answer, so many seconds at the most.

    Raises:
        RunSilent: it does not run any more, or does not answer; the cause says which.
        UsageError: it refuses: its own words.
    """
    try:
        with connect_to(folder, SOCKET, timeout) as line:
            line.sendall(json.dumps(request).encode() + b"\n")
            reply = json.loads(_read_all(line))
    except (OSError, ValueError) as error:
        raise RunSilent(
            f"run '{folder.name}' does not answer: it has ended, or is stopped ({error})"
        ) from error
    if "error" in reply:
        raise UsageError(reply["error"])
    answer: dict[str, Any] = reply
    return answer


def _read_all(line: socket.socket) -> bytes:
    return b"".join(iter(lambda: line.recv(_MOST_BYTES), b""))
