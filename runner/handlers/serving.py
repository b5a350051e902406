"""One worker of a server: accepts connections from a socket that it shares, and lets each talk in a thread.

    listener (shared by the stage's workers) ──accept──► conversation 1   a thread each, at most so many at once;
                    ▲                                    conversation 2   who says nothing for too long is hung up on
    SIGTERM ──► stop accepting ──► wait for those who talk ──► SIGTERM again ──► hang up

A client can end its own conversation and no other: what goes wrong in one is told in the log, and the worker goes on.
"""

from __future__ import annotations

import contextlib
import errno
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from runner.handlers.base import WorkerLog
from runner.sketch import describe_error, user_traceback

Converse = Callable[[socket.socket, Any], object]
"""Talks with one client until it has no more to say; the socket is closed when it returns."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 0.2
"""Seconds without accepting once the system has no descriptor to give: whoever waits would wake us at once."""
_OWN_FOLDER = Path(__file__).parent.parent


class Server:
    """Serves one listening socket in one process, from its main thread, which gets the signals."""

    def __init__(
        self, listener: socket.socket, converse: Converse, most: int, idle: float, log: WorkerLog
    ) -> None:
        """Heed SIGTERM from now on, until `close`.

        At most `most` conversations at once; `idle` is how many seconds a client may say, or take, nothing.
        """
        self._listener = listener
        self._converse = converse
        self._most = most
        self._idle = idle
        self._log = log
        self._open: set[socket.socket] = set()
        self._changing = threading.Lock()
        self._stops_asked = 0
        self._paused_until = 0.0
        self._is_short = False
        """Whether the last try to begin a conversation failed for want of something. That is told once."""
        self._served = 0
        self._wake, self._waker = socket.socketpair()
        """The first becomes readable when a signal came, or a conversation has ended."""
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._handler_before = signal.signal(signal.SIGTERM, self._note_stop)
        self._waker_before = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        """Leave signals to whoever had them before."""
        signal.set_wakeup_fd(self._waker_before)
        signal.signal(signal.SIGTERM, self._handler_before)
        self._wake.close()
        self._waker.close()

    def run(self) -> None:
        """Serve until SIGTERM, then until the last conversation is over, or SIGTERM comes again. Blocks."""
        while not self._stops_asked:
            self._wait()
            self._accept()
        while self._accept():  # who waits has connected before the stop
            pass
        self._listener.close()
        while self._open:
            if self._stops_asked > 1:
                self._hang_up()
            self._wait()
        self._log.info("server.closed", served=self._served)

    # Waiting.

    def _note_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stops_asked += 1

    def _wait(self) -> None:
        """Wait for a client, where there is room for one, for a signal, or for the end of a conversation."""
        waiting = select.poll()
        waiting.register(self._wake, select.POLLIN)
        pause = self._paused_until - time.monotonic()
        if pause <= 0 and self._has_room() and not self._stops_asked:
            waiting.register(self._listener, select.POLLIN)
        waiting.poll(pause * 1000 if pause > 0 else None)
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)

    def _has_room(self) -> bool:
        with self._changing:
            return len(self._open) < self._most

    # Conversations.

    def _accept(self) -> bool:
        """Begin a conversation with whoever waits; False if nobody does, or there is no room for one."""
        if not self._has_room() or time.monotonic() < self._paused_until:
            return False
        try:
            connection, address = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker was quicker, or the client is gone
            return False
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._pause(error)
            return False
        self._begin(connection, address)
        return True

    def _begin(self, connection: socket.socket, address: Any) -> None:
        connection.settimeout(self._idle)
        with self._changing:
            self._open.add(connection)
        thread = threading.Thread(target=self._talk, args=(connection, address), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread to give
            self._forget(connection)
            self._pause(error)
        else:
            self._served += 1
            self._is_short = False

    def _talk(self, connection: socket.socket, address: Any) -> None:
        """The whole of one conversation, in its own thread."""
        client = _shown(address)
        try:
            self._converse(connection, address)
        except TimeoutError:
            self._log.info("connection.idle", client=client, seconds=self._idle)
        except ConnectionError as error:
            self._log.info("connection.broken", client=client, error=describe_error(error))
        except (Exception, SystemExit) as error:  # a thread would swallow `sys.exit` without a word
            trace = user_traceback(error, _OWN_FOLDER)
            self._log.error("connection.failed", client=client, error=describe_error(error), traceback=trace)
        finally:
            self._forget(connection)
            with contextlib.suppress(OSError):  # full: the main thread is awake anyway; closed: it has gone
                self._waker.send(b".")

    def _forget(self, connection: socket.socket) -> None:
        with self._changing:
            self._open.discard(connection)
            connection.close()

    def _hang_up(self) -> None:
        """Let every conversation find that its client has gone."""
        with self._changing:
            for connection in self._open:
                with contextlib.suppress(OSError):  # it may be gone in earnest
                    connection.shutdown(socket.SHUT_RDWR)

    def _pause(self, error: Exception) -> None:
        self._paused_until = time.monotonic() + _PAUSE
        if not self._is_short:
            self._log.warning("accept.paused", error=describe_error(error))
        self._is_short = True


def _shown(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
