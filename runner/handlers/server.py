"""The kind `serve`: a TCP server whose connections are shared by the workers of a plain stage.

    def talk(conn, address)       called once for a connection, with its socket, until it returns
    def answer(line)              called with each line that a client sends; what it returns is sent back

    listener (shared by the stage's workers) ──accept──► conversation 1   a thread each, at most so many at once;
                    ▲                                    conversation 2   who says nothing for too long is hung up on
    SIGTERM ──► stop accepting ──► wait for those who talk ──► SIGTERM again ──► hang up

A client can end its own conversation and no other: what goes wrong in one is logged, and the worker goes on.
"""

from __future__ import annotations

import contextlib
import errno
import math
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import (
    LISTENER,
    Address,
    Calls,
    Handler,
    HandlerKind,
    Mapper,
    Task,
    WorkerContext,
    WorkerLog,
    host_and_port,
    nothing_to_close,
)
from runner.handlers.python import bind, bind_partly, import_parameters
from runner.spec.model import Role
from runner.text import describe_error, user_traceback
from runner.units import DURATION_PATTERN, duration

Converse = Callable[[socket.socket, Any], object]
"""Talks with one client until it has no more to say; the socket is closed when it returns."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 0.2
"""Seconds without accepting once the system has no descriptor to give: whoever waits would wake us at once."""
_OWN_FOLDER = Path(__file__).parent.parent


class Server:
    """Serves one listening socket in one process, from its main thread, which gets the signals."""

    def __init__(
        self,
        listener: socket.socket,
        converse: Converse,
        most: int,
        idle: float,
        log: WorkerLog,
        longest: float = math.inf,
    ) -> None:
        """Heed SIGTERM from now on, until `close`.

        At most `most` conversations at once; `idle` is how many seconds a client may say, or take, nothing, and
        `longest` how many it has in all.
        """
        self._listener = listener
        self._converse = converse
        self._most = most
        self._idle = idle
        self._log = log
        self._longest = longest
        self._open: dict[socket.socket, float] = {}
        """Conversations, each with when its time is up, the oldest first."""
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
                self._hang_up(math.inf)
            self._wait()
        self._log.info("server.closed", served=self._served)

    # Waiting.

    def _note_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stops_asked += 1

    def _wait(self) -> None:
        """Wait for a client, where there is room for one, for a signal, or for the end of a conversation."""
        waiting = select.poll()
        waiting.register(self._wake, select.POLLIN)
        now = time.monotonic()
        pause, left = self._paused_until - now, self._hang_up(now) - now
        if pause <= 0 and self._has_room() and not self._stops_asked:
            waiting.register(self._listener, select.POLLIN)
        if (until := min(pause if pause > 0 else math.inf, left)) < math.inf:
            waiting.poll(until * 1000)
        else:
            waiting.poll()
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
            self._open[connection] = time.monotonic() + self._longest
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
        client = host_and_port(*address[:2])
        try:
            self._converse(connection, address)
        except TimeoutError:
            self._log.info("connection.idle", client=client, seconds=self._idle)
        except ConnectionError as error:
            self._log.info("connection.broken", client=client, error=describe_error(error))
        except BaseException as error:  # a thread would swallow `sys.exit` without a word
            trace = user_traceback(error, _OWN_FOLDER)
            self._log.error("connection.failed", client=client, error=describe_error(error), traceback=trace)
        finally:
            self._forget(connection)
            with contextlib.suppress(OSError):  # full: the main thread is awake anyway; closed: it has gone
                self._waker.send(b".")

    def _forget(self, connection: socket.socket) -> None:
        with self._changing:
            self._open.pop(connection, None)
            connection.close()

    def _hang_up(self, now: float) -> float:
        """Let conversations whose time is up find that their clients have gone; return when the next one's is."""
        with self._changing:
            for connection, until in self._open.items():
                if until > now:
                    return until
                with contextlib.suppress(OSError):  # it may be gone in earnest
                    connection.shutdown(socket.SHUT_RDWR)
                self._open[connection] = math.inf
        return math.inf

    def _pause(self, error: Exception) -> None:
        self._paused_until = time.monotonic() + _PAUSE
        if not self._is_short:
            self._log.warning("accept.paused", error=describe_error(error))
        self._is_short = True


CONVERSATION = ("conn", "address")
"""The parameters by which a handler asks for whole conversations. It may leave out `address`."""

_LONGEST_LINE = 1 << 20
_CHUNK = 1 << 16
_HANDLER_PATTERN = r"^[^\s:]+:[^\s:]+$"
_USUAL: Mapping[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "backlog": 1024,
    "connections": 256,
    "idle_timeout": 30,
    "conversation_timeout": None,
}


def build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    """Build the handler of one worker. Its socket is a resource, since all workers of the stage share it."""
    listener = context.resources[LISTENER].resolve()
    assert isinstance(listener, socket.socket)
    chosen = {**_USUAL, **options}
    converse, close_handler = _converse(chosen["handler"], context)
    idle = duration(chosen["idle_timeout"])
    longest = chosen["conversation_timeout"]
    longest = math.inf if longest is None else duration(longest)
    server = Server(listener, converse, chosen["connections"], idle, context.log, longest)

    def close() -> None:
        server.close()
        close_handler()

    return Task(server.run, close)


def _converse(target: str, context: WorkerContext) -> tuple[Converse, Callable[[], object]]:
    """Return what talks with one client, and what to call once there are no more."""
    asked = import_parameters(target, context).intersection(CONVERSATION)
    arguments = context.arguments or {}
    if not asked:
        handler = bind(target, arguments, replace(context, role=Role.CONSUMER))
        if not isinstance(handler, Mapper):
            raise HandlerError(f"'{target}' asks for a queue, and a server has none")
        return by_line(handler.call), handler.close
    talk = bind_partly(target, arguments, context, CONVERSATION)

    def converse(conn: socket.socket, address: Any) -> object:
        given = {"conn": conn, "address": address}
        return talk(**{name: given[name] for name in asked})

    return converse, nothing_to_close


def by_line(answer: Callable[[object], object]) -> Converse:
    """Return what calls `answer` with each line that comes, its end included, and sends what it returns, bytes or None.

    The connection of a client that sends no line's end for 1 MiB is given up, with a ValueError; with a TimeoutError
    that of one that takes longer for a line than the socket's timeout, however many bytes of it have come.
    """

    def converse(conn: socket.socket, _address: Any) -> None:
        for line in _lines_of(conn):
            reply = answer(line)
            if reply is None:
                continue
            if not isinstance(reply, bytes | bytearray | memoryview):
                raise TypeError(f"what is sent back has to be bytes, or None; got {type(reply).__name__}")
            conn.sendall(reply)

    return converse


def _lines_of(conn: socket.socket) -> Iterator[bytes]:
    """Yield each line with its end, the last perhaps without; the timeout of the socket is that of a whole line."""
    patience, received = conn.gettimeout(), bytearray()
    ended = False
    while not ended:
        until, looked = None if patience is None else time.monotonic() + patience, 0
        while (end := received.find(b"\n", looked)) < 0 and len(received) < _LONGEST_LINE and not ended:
            looked = len(received)
            if until is not None:
                conn.settimeout(_time_left(until))
            chunk = conn.recv(_CHUNK)
            received += chunk
            ended = not chunk
        conn.settimeout(patience)
        if end >= _LONGEST_LINE or (end < 0 and len(received) >= _LONGEST_LINE):
            raise ValueError(f"a client sent a line of more than {_LONGEST_LINE >> 20} MiB")
        while (end := received.find(b"\n")) >= 0:
            yield bytes(received[: end + 1])
            del received[: end + 1]
    if received:
        yield bytes(received)


def _time_left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("a line took too long")
    return left


def _address(options: Mapping[str, Any]) -> Address:
    chosen = {**_USUAL, **options}
    return Address(chosen["host"], int(chosen["port"]), int(chosen["backlog"]))


SERVE = HandlerKind(
    name="serve",
    summary="Serve TCP connections on one port, shared by the stage's workers, until the run is stopped.",
    roles=frozenset({Role.PLAIN}),
    options={
        "type": "object",
        "properties": {
            "handler": {
                "type": "string",
                "pattern": _HANDLER_PATTERN,
                "title": "`module:callable`",
                "description": (
                    "What answers, a Python callable looked up as in `run`, with the stage's `with`. If it has a "
                    "parameter `conn` it is called once for a connection, with its socket, and `address` if it asks; "
                    "the socket is closed when it returns. Else it is called with each line that a client sends, as "
                    "bytes, and what it returns is sent back. One worker calls it from several threads."
                ),
                "examples": ["echo_server:talk"],
            },
            "host": {
                "type": "string",
                "minLength": 1,
                "default": _USUAL["host"],
                "description": "The address to listen on; `0.0.0.0` is every one that this machine has.",
            },
            "port": {
                "type": "integer",
                "minimum": 0,
                "maximum": 65535,
                "default": _USUAL["port"],
                "description": "The port; 0 is any that is free, and the event `server.listening` says which.",
            },
            "connections": {
                "type": "integer",
                "minimum": 1,
                "maximum": 10_000,
                "default": _USUAL["connections"],
                "description": "How many one worker serves at once, each in a thread. More wait for their turn.",
            },
            "backlog": {
                "type": "integer",
                "minimum": 1,
                "maximum": 65535,
                "default": _USUAL["backlog"],
                "description": "How many may wait to be accepted; the system may allow less (net.core.somaxconn).",
            },
            "idle_timeout": {
                "type": ["number", "string"],
                "pattern": DURATION_PATTERN,
                "exclusiveMinimum": 0,
                "maximum": 10**9,
                "title": "a duration such as 300ms, 1.5s, 2m or 1h30m, or a number of seconds",
                "default": _USUAL["idle_timeout"],
                "description": (
                    "How long a client may send nothing, or take nothing, before it is hung up on. Where the handler "
                    "is called with lines it is also how long one line may take, so that none holds a place by a byte "
                    "now and then."
                ),
            },
            "conversation_timeout": {
                "type": ["number", "string"],
                "pattern": DURATION_PATTERN,
                "exclusiveMinimum": 0,
                "maximum": 10**9,
                "title": "a duration such as 300ms, 1.5s, 2m or 1h30m, or a number of seconds",
                "description": (
                    "How long one conversation may last before it is hung up on, whatever is said. Without it there is "
                    "no bound."
                ),
                "examples": ["5m"],
            },
        },
        "required": ["handler"],
        "additionalProperties": False,
    },
    example="""\
stages:
  server:
    run: {serve: {handler: "echo_server:talk", port: 8080}}
    count: 4
""",
    build=build,
    listens=_address,
    calls=Calls("handler", CONVERSATION),
)
