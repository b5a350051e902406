"""What travels between the supervisor and a worker under `leased`: one stream each way, private to the worker.

    header (36 bytes): kind │ count, upto, partial, length │ lease, nanos     then `length` bytes of body, never opened here

    worker ──► PUT      a frame of `count` items; with a lease, also: items before `upto` of it are done, and `partial`
                        outputs of item `upto` are in. One message, so that outputs and the acknowledgement of their
                        inputs arrive together or not at all
               ACK      items before `upto` of the lease are done
               FAILED   items before `upto` of the lease are done, and item `upto` has failed
               JOIN     say when the queue written to has no unfinished item
               STOCK    say how many items wait: `count` is 0 for the queue read from, 1 for the one written to
    worker ◄── LEASE    items `count` (first) to `upto` (behind the last) of the frame in the body; `partial` outputs of
                        the first are in already; `nanos` is the attempt
               CREDIT   `count` more items may be sent unasked; 0 where no leave is given, and one PUT is in
               END      nothing more will come
               JOINED   the answer to JOIN
               STOCK    `count` items wait, `upto` more have room
               FREED    the frames in the body, by their numbers, have come to an end

A PUT_BIG is a PUT with dockets in its frame (dockets.py): a worker counts those that it sends, and so does the supervisor.

A message cut short by a kill never completes and is never seen. What is said in words goes through the channel.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from runner.errors import MprunError

HEADER = struct.Struct("<BxxxIIIIQQ")
_CHUNK = 1 << 18
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


_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Message:
    """One message. What the numbers mean depends on the kind."""

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
            self.kind, self.count, self.upto, self.partial, len(self.body), self.lease, self.nanos
        )


class Parser:
    """Cuts a stream into messages. Pure: bytes in, messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take in what was read."""
        self._buffer += chunk

    def messages(self) -> Iterator[Message]:
        """Yield what is whole.

        Raises:
            WireError: the stream is not ours: the handler wrote to a descriptor that it does not own.
        """
        buffer, at = self._buffer, 0
        size = HEADER.size
        try:
            while len(buffer) - at >= size:
                kind, count, upto, partial, length, lease, nanos = HEADER.unpack_from(buffer, at)
                if length > LONGEST or kind not in _KINDS:
                    raise WireError("the worker's channel carries something that mprun did not write")
                if len(buffer) - at < size + length:
                    break
                body = bytes(memoryview(buffer)[at + size : at + size + length]) if length else b""
                at += size + length
                yield Message(_KINDS[kind], count, upto, partial, lease, nanos, body)
        finally:
            if at:
                del buffer[:at]

    @property
    def wanted(self) -> int:
        """Bytes that are still missing from the message that has begun; 0 if none has, or its header is not whole."""
        if len(self._buffer) < HEADER.size:
            return 0
        length: int = HEADER.unpack_from(self._buffer)[4]
        return max(0, HEADER.size + length - len(self._buffer))


class WireError(MprunError):
    """A worker's stream makes no sense."""


class SupervisorWire:
    """The supervisor's end: reads and writes without ever waiting; what does not fit now is kept and sent later."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._parser = Parser()
        self._outgoing: deque[memoryview] = deque()
        self.ended = False

    def receive_nowait(self) -> Iterator[Message]:
        """Yield the messages that are wholly there."""
        self._fill()
        try:
            yield from self._parser.messages()
        except WireError:
            self.ended = True

    def send_nowait(self, message: Message) -> None:
        """Send, or keep what does not fit. Nothing is sent to a worker that is gone."""
        self._outgoing.append(memoryview(message.header()))
        if message.body:
            self._outgoing.append(memoryview(message.body))
        self.flush_nowait()

    def flush_nowait(self) -> None:
        """Send what fits of what was kept."""
        while self._outgoing:
            try:
                sent = self._sock.sendmsg(list(self._outgoing)[:64])
            except BlockingIOError:
                return
            except OSError:
                self._outgoing.clear()
                return
            self._drop_sent(sent)

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

    def _fill(self) -> None:
        while not self.ended:
            try:
                chunk = self._sock.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if not chunk:
                self.ended = True
                return
            self._parser.feed(chunk)
            if len(chunk) < _CHUNK and not self._parser.wanted:
                return  # most likely all there is; the selector tells of more

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
        """Send one message, waiting for room. Once the supervisor is gone this does nothing: so is this worker, soon."""
        parts = [message.header(), message.body]
        try:
            with self._turn:
                sent = self._sock.sendmsg(parts)
                if sent < HEADER.size + len(message.body):
                    self._sock.sendall(memoryview(b"".join(parts))[sent:])
        except OSError:
            return

    def receive(self, timeout: float | None) -> Message | None:
        """Return the next message, or None if none comes within `timeout` seconds; None waits for ever.

        Raises:
            EOFError: the supervisor is gone.
        """
        while not self._ready:
            if timeout is not None and not select.select([self._sock], [], [], timeout)[0]:
                return None
            self._read()
        return self._ready.popleft()

    def fileno(self) -> int:
        """The descriptor, for whoever closes all others."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close this side's copy."""
        self._sock.close()

    def _read(self) -> None:
        chunk = self._sock.recv(_CHUNK)
        if not chunk:
            raise EOFError
        self._parser.feed(chunk)
        self._ready.extend(self._parser.messages())


def open_wire() -> tuple[SupervisorWire, WorkerWire]:
    """Open a private stream: the supervisor's end and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return SupervisorWire(ours), WorkerWire(theirs)
