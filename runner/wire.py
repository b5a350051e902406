"""What travels between the supervisor and a worker under `leased`: one stream each way, private to the worker.

    header (36 bytes): mark, kind │ count, upto, partial, length │ lease, nanos   then `length` bytes, never opened here

    worker ──► PUT      a frame of `count` items; with a lease, also: items before `upto` of it are done, and `partial`
                        outputs of item `upto` are in. One message, so that outputs and the acknowledgement of their
                        inputs arrive together or not at all
               ACK      items before `upto` of the lease are done
               FAILED   items before `upto` of the lease are done, and item `upto` has failed
               JOIN     say when the queue written to has no unfinished item
               MORE     the handler has taken `count` items, none done yet, and waits for another
               STOCK    say how many items wait: `count` is 0 for the queue read from, 1 for the one written to
    worker ◄── LEASE    items `count` (first) to `upto` (behind the last) of the frame in the body; `partial` outputs of
                        the first are in already; `nanos` is the attempt
               CREDIT   `count` more items may be sent unasked; 0 where no leave is given, and one PUT is in
               END      nothing more will come
               JOINED   the answer to JOIN
               STOCK    `count` items wait, `upto` more have room
               FREED    the frames in the body, by their numbers, have come to an end

A PUT_BIG is a PUT with dockets in its frame (dockets.py). A worker numbers those that it sends, and so does the
supervisor.

A message cut short by a kill never completes and is never seen. What is said in words goes through the channel.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from runner.errors import NotTheWorker

HEADER = struct.Struct("<IIIIIQQ")
_MARK = int.from_bytes(b"\0mpr", "little")
"""Goes with the kind. What a handler writes into a stream that is not its own is known by the lack of it."""
_CHUNK = 1 << 16
_LONG_CHUNK = 1 << 20
_SHORT = 1 << 10
LONGEST = 1 << 31


class Kind(IntEnum):
    """What a message is."""

    PUT = 1
    ACK = 2
    FAILED = 3
    LEASE = 4
    CREDIT = 5
    END = 6
    JOIN = 7
    JOINED = 8
    STOCK = 9
    PUT_BIG = 10
    FREED = 11
    MORE = 12


_KINDS = {_MARK | kind.value: kind for kind in Kind}


@dataclass(
    slots=True
)  # not frozen: that would take three times as long, and there are several for every frame
class Message:
    """One message; never changed once it is made. What the numbers mean depends on the kind."""

    kind: Kind
    count: int = 0
    upto: int = 0
    partial: int = 0
    lease: int = 0
    nanos: int = 0
    body: bytes | memoryview = b""

    def header(self) -> bytes:
        """The bytes that go before the body."""
        return HEADER.pack(
            _MARK | self.kind, self.count, self.upto, self.partial, len(self.body), self.lease, self.nanos
        )


class Parser:
    """Cuts a stream into messages. Pure: bytes in, messages out."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._needed = HEADER.size
        self.nonsense = False
        """Whether the stream is not ours: the handler wrote to a descriptor that it does not own. It has ended."""

    @property
    def most(self) -> int:
        """How much to read at once: a big message takes fewer and longer steps."""
        return min(max(_CHUNK, self._needed - self._held), _LONG_CHUNK)

    def take(self, chunk: bytes) -> list[Message]:
        """Take in what was read, and return the messages that have become whole."""
        if self._parts or len(chunk) < self._needed:
            self._parts.append(chunk)
            self._held += len(chunk)
            if self._held < self._needed:
                return []
            chunk = b"".join(self._parts)
        messages, at, needed = self._cut(chunk)
        self._parts = [chunk[at:]] if at < len(chunk) else []
        self._held, self._needed = len(chunk) - at, needed
        return messages

    def _cut(self, data: bytes) -> tuple[list[Message], int, int]:
        """Return the whole messages, where the rest begins, and how long that has to grow for the next step."""
        messages: list[Message] = []
        at, end, size = 0, len(data), HEADER.size
        while end - at >= size:
            number, count, upto, partial, length, lease, nanos = HEADER.unpack_from(data, at)
            kind = _KINDS.get(number)
            if kind is None or length > LONGEST:
                self.nonsense = True
                return messages, end, size
            behind = at + size + length
            if behind > end:
                return messages, at, size + length
            messages.append(Message(kind, count, upto, partial, lease, nanos, data[at + size : behind]))
            at = behind
        return messages, at, size


class SupervisorWire:
    """The supervisor's end: reads and writes without ever waiting; what does not fit now is kept and sent later."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._parser = Parser()
        self._outgoing: deque[memoryview] = deque()
        self.ended = False

    def receive_nowait(self) -> list[Message]:
        """Return the messages that are wholly there."""
        messages: list[Message] = []
        while not self.ended:
            chunk = self._read()
            if chunk is None:
                break
            messages += self._parser.take(chunk)
            self.ended = not chunk or self._parser.nonsense
            if len(chunk) < _CHUNK:
                break  # most likely all there is; the selector tells of more
        return messages

    def send_nowait(self, message: Message) -> None:
        """Send, or keep what does not fit. Nothing is sent to a worker that is gone."""
        header, body = message.header(), message.body
        sent = 0 if self._outgoing else self._try_send(_pieces(header, body))
        if sent < HEADER.size + len(body):
            self._outgoing += [memoryview(header), memoryview(body)] if body else [memoryview(header)]
            self._drop_sent(sent)

    def flush_nowait(self) -> None:
        """Send what fits of what was kept."""
        while self._outgoing and (sent := self._try_send(list(self._outgoing)[:64])):
            self._drop_sent(sent)

    @property
    def nonsense(self) -> bool:
        """Whether it has ended since what came was not a worker's: nothing more can be made of this stream."""
        return self._parser.nonsense

    @property
    def backlogged(self) -> bool:
        """Whether something waits for the worker to read."""
        return bool(self._outgoing)

    def fileno(self) -> int:
        """For a selector."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the descriptor."""
        self._sock.close()

    def _read(self) -> bytes | None:
        """Return some bytes; none at the end of the stream, and None if there is nothing yet."""
        try:
            return self._sock.recv(self._parser.most)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _try_send(self, parts: Sequence[bytes | memoryview]) -> int:
        """Send what fits; to a worker that is gone, all of it does."""
        try:
            return _send(self._sock, parts)
        except BlockingIOError:
            return 0
        except OSError:
            return sum(map(len, parts))

    def _drop_sent(self, sent: int) -> None:
        while sent:
            first = self._outgoing[0]
            if sent < len(first):
                self._outgoing[0] = first[sent:]
                return
            sent -= len(first)
            self._outgoing.popleft()


class WorkerWire:
    """The worker's end: waits. Pickles while multiprocessing spawns a process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._turn = threading.Lock()
        self._parser = Parser()
        self._ready: deque[Message] = deque()

    def __reduce__(self) -> tuple[type[WorkerWire], tuple[socket.socket]]:
        """Only the socket travels."""
        return WorkerWire, (self._sock,)

    def send(self, message: Message) -> None:
        """
        Send one message, waiting for room. Once the supervisor is gone this does nothing: so is the worker, soon.

        Raises:
            NotTheWorker: this end was closed, as it is in what a handler forks.
        """
        parts = _pieces(message.header(), message.body)
        try:
            with self._turn:
                sent = _send(self._sock, parts)
                if sent < HEADER.size + len(message.body):
                    self._sock.sendall(memoryview(b"".join(parts))[sent:])
        except OSError:
            if self._sock.fileno() < 0:
                raise NotTheWorker(
                    "a process that a handler forked has no queue: only its worker does"
                ) from None

    def receive(self, timeout: float | None) -> Message | None:
        """Return the next message, or None if none comes within `timeout` seconds; None waits for ever.

        Raises:
            EOFError: the supervisor is gone.
        """
        while not self._ready:
            if timeout and not self._readable(timeout):
                return None
            try:
                self._ready.extend(self._read(0 if timeout is None else socket.MSG_DONTWAIT))
            except BlockingIOError:
                return None
        return self._ready.popleft()

    @property
    def ready(self) -> bool:
        """Whether a message has been read and not been received."""
        return bool(self._ready)

    def fileno(self) -> int:
        """The descriptor, for whoever closes all others."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close this side's copy."""
        self._sock.close()

    def _read(self, flags: int) -> list[Message]:
        chunk = self._sock.recv(self._parser.most, flags)
        if not chunk:
            raise EOFError
        return self._parser.take(chunk)

    def _readable(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(timeout * 1000))


def _pieces(header: bytes, body: bytes | memoryview) -> Sequence[bytes | memoryview]:
    """What to hand to the system at once. To copy what is short costs less than to hand over two pieces."""
    return (header + body,) if len(body) <= _SHORT else (header, body)


def _send(sock: socket.socket, parts: Sequence[bytes | memoryview]) -> int:
    return sock.send(parts[0]) if len(parts) == 1 else sock.sendmsg(parts)


def open_wire() -> tuple[SupervisorWire, WorkerWire]:
    """Open a private stream: the supervisor's end and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return SupervisorWire(ours), WorkerWire(theirs)
