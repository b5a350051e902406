"""What travels between the supervisor and a worker under `leased`: one stream each way, private to the worker.

    header (56 bytes): mark and kind, length │ six numbers           then `length` bytes, never opened here

    worker ──► PutMessage, AckMessage, FailedMessage, CommitMessage, HeldMessage, LeftMessage,       ──► supervisor
               JoinRequest, MoreRequest, LeaveRequest, StockRequest, PlaceMessage, SampleMessage
           ◄── LeaseMessage, CreditMessage, EnoughMessage, EndMessage, JoinAnswer, StockAnswer,      ◄──
               LeaveAnswer, FreedMessage

Each kind of message is a class; its numbers travel in the order in which they are declared. A message cut short by a
kill never completes and is never seen. What is said in words goes through the channel.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import field, fields
from operator import attrgetter
from typing import Any, ClassVar

from runner.errors import NotTheWorker
from runner.facts import dataclass

HEADER = struct.Struct("<II6Q")
_HEAD = struct.Struct("<II")
"""The kind and the length of the body, which every header begins with."""
_NUMBERS = 6
_ENDED = struct.Struct("<QQIIII")
_MARK = int.from_bytes(b"\0mpr", "little")
"""Goes with the kind. What a handler writes into a stream that is not its own is known by the lack of it."""
_CHUNK = 1 << 16
_LONG_CHUNK = 1 << 20
_SHORT = 1 << 10
LONGEST = 1 << 31


# None is ever changed once it is made. They are not frozen: that would take three times as long, and there are several
# for every frame.
@dataclass(slots=True)
class Message:
    """One message. A lease is meant by its number, an item by its index in the lease's frame."""

    body: bytes | memoryview = field(default=b"", kw_only=True)
    none: ClassVar[int] = 0
    """What travels where a message has fewer numbers than `attrgetter` takes to return several."""

    def header(self) -> bytes:
        """The bytes that go before the body."""
        kind, pack, numbers = _WRITTEN_AS[type(self)]
        return pack(kind, len(self.body), *numbers(self))


@dataclass(slots=True)
class PutMessage(Message):
    """A frame of `count` items; with a lease, also: items before `upto` of it are done, and `partial` outputs of item
    `upto` are in. One message, so that outputs and the acknowledgement of their inputs arrive together or not at all.
    Without one, `partial` outputs of the frame's first item are in the queue behind the one that it goes to.
    """

    count: int
    upto: int = 0
    partial: int = 0
    lease: int = 0
    nanos: int = 0
    """Busy time since the lease was begun, where that is known."""


class PutBigMessage(PutMessage):
    """One with handles in its frame (handles.py). A worker numbers those that it sends, and so does the supervisor."""

    __slots__ = ()


@dataclass(slots=True)
class AckMessage(Message):
    """Items before `upto` of the lease are done."""

    lease: int
    upto: int
    nanos: int = 0


@dataclass(slots=True)
class FailedMessage(Message):
    """Items before `upto` of the lease are done, and item `upto` has failed; the body says how."""

    lease: int
    upto: int
    nanos: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """Items before `upto` of a lease are done; where `failure` holds anything, item `upto` has failed, and that says
    how, as the body of a `FailedMessage` does. What was made of them since the last word of the lease is in `frame`."""

    lease: int
    upto: int
    failure: bytes = b""
    count: int = 0
    """Outputs in the frame."""
    big: bool = False
    """Whether the frame has handles in it, and so counts among those that the writer numbers."""
    frame: bytes = b""

    def head(self) -> bytes:
        """What travels of it before the failures and the frames of all."""
        return _ENDED.pack(
            self.lease, self.upto, len(self.failure), self.count, int(self.big), len(self.frame)
        )


@dataclass(slots=True)
class CommitMessage(Message):
    """What has come to an end together, what was made of it, and the state that it leaves: all of it, or nothing.

    The body holds the heads of the `Ended`, `ends` of them, then their failures and frames, then the state. A pickled
    state is never empty, so 0 bytes are none.
    """

    ends: int
    state_bytes: int = 0
    nanos: int = 0

    @classmethod
    def of(cls, ends: Sequence[Ended], *, state: bytes = b"", nanos: int = 0) -> CommitMessage:
        """Put one together."""
        parts = [each.head() for each in ends]
        for each in ends:
            parts += [each.failure, each.frame]
        return cls(len(ends), len(state), nanos, body=b"".join((*parts, state)))

    def unpack(self) -> tuple[list[Ended], bytes]:
        """Take the body apart: what has come to an end, in order, and the state."""
        body = memoryview(self.body)
        at = self.ends * _ENDED.size
        ended = []
        for lease, upto, failure, count, big, frame in _ENDED.iter_unpack(body[:at]):
            behind = at + failure + frame
            parts = bytes(body[at : at + failure]), bytes(body[at + failure : behind])
            ended.append(Ended(lease, upto, parts[0], count, bool(big), parts[1]))
            at = behind
        return ended, bytes(body[at : at + self.state_bytes])


@dataclass(slots=True)
class LeftMessage(Message):
    """The reader has begun the first `begun` items that it was handed, and begins no more of the first `handed`: they
    were recalled."""

    begun: int
    handed: int


@dataclass(slots=True)
class HeldMessage(Message):
    """The reader has handled `items` more, in `nanos`, and holds `held` that are not safe yet: it goes on to others."""

    held: int
    items: int
    nanos: int = 0
    roomless: int = 0
    """So many of those that it holds take no room in the queue: they are small."""


@dataclass(slots=True)
class PlaceMessage(Message):
    """What a source makes from item `start` on, counted over all its generations, comes of the place in the body."""

    start: int


@dataclass(slots=True)
class SampleMessage(Message):
    """What item `index` of a source is, counted over all its generations: its pickle, or else what it looks like."""

    index: int
    is_pickled: bool = True


@dataclass(slots=True)
class JoinRequest(Message):
    """Say when the queue written to has no unfinished item."""


@dataclass(slots=True)
class MoreRequest(Message):
    """The reader has taken `taken` items, none done yet, and waits for another."""

    taken: int
    patient: int = 1
    """Whether it waits until one comes; else it goes on without, after a while or when it is told `EnoughMessage`."""


@dataclass(slots=True)
class LeaveRequest(Message):
    """The worker wants to begin `count` items of a key, all at once if they are `together`."""

    count: int
    key: int = 0
    together: int = 0


@dataclass(slots=True)
class StockRequest(Message):
    """Say how many items wait, in the queue written to or in the one read from."""

    of_outbox: bool


@dataclass(slots=True)
class LeaseMessage(Message):
    """Items `start` to `stop` of the frame in the body. `attempt` and `partial` are those of the first item: `partial`
    of its outputs are in already. `first` is the place of the frame's first item among all that were put."""

    start: int
    stop: int
    partial: int
    lease: int
    attempt: int
    first: int = 0


class SuspectLease(LeaseMessage):
    """One whose item was in hand when a worker died: it may be to blame, so it is handled with no other beside it."""

    __slots__ = ()


@dataclass(slots=True)
class CreditMessage(Message):
    """`count` more items may be sent unasked; 0 where no leave is given, and one PUT is in.

    A frame should hold no more than `longest` of them, unless that is 0.
    """

    count: int
    longest: int = 0


@dataclass(slots=True)
class EnoughMessage(Message):
    """Nobody can add to what was taken at this moment: go on with that."""


@dataclass(slots=True)
class EndMessage(Message):
    """Nothing more will come."""


@dataclass(slots=True)
class JoinAnswer(Message):
    """The queue has no unfinished item."""


@dataclass(slots=True)
class StockAnswer(Message):
    """`waiting` items wait, and `room` more have room."""

    waiting: int
    room: int


@dataclass(slots=True)
class LeaveAnswer(Message):
    """`count` items may be begun, from `nanos` of the monotonic clock on, which all processes share; each further one
    `interval` nanoseconds later."""

    count: int
    nanos: int
    interval: int


@dataclass(slots=True)
class FreedMessage(Message):
    """The frames in the body, by their numbers, have come to an end: those for one of the worker's queues."""

    branch: int = 0


KINDS: tuple[type[Message], ...] = (
    PutMessage,
    PutBigMessage,
    AckMessage,
    FailedMessage,
    CommitMessage,
    HeldMessage,
    LeftMessage,
    PlaceMessage,
    SampleMessage,
    JoinRequest,
    MoreRequest,
    LeaveRequest,
    StockRequest,
    LeaseMessage,
    SuspectLease,
    CreditMessage,
    EnoughMessage,
    EndMessage,
    JoinAnswer,
    StockAnswer,
    LeaveAnswer,
    FreedMessage,
)


def _numbers_of(kind: type[Message]) -> list[str]:
    return [each.name for each in fields(kind) if each.name != "body"]


def _written_as(
    number: int, kind: type[Message]
) -> tuple[int, Callable[..., bytes], Callable[[object], Any]]:
    names = _numbers_of(kind)
    names += ["none"] * (2 - len(names))
    header = struct.Struct(f"<II{len(names)}Q{8 * (_NUMBERS - len(names))}x")  # as long as every header
    return _MARK | number, header.pack, attrgetter(*names)


_WRITTEN_AS = {kind: _written_as(number, kind) for number, kind in enumerate(KINDS, 1)}


def _read_as(kind: type[Message]) -> tuple[type[Message], Callable[[bytes, int], tuple[int, ...]]]:
    numbers = struct.Struct(f"<{_HEAD.size}x{len(_numbers_of(kind))}Q")
    return kind, numbers.unpack_from


_READ_AS = {_MARK | number: _read_as(kind) for number, kind in enumerate(KINDS, 1)}


class Parser:
    """Cuts a stream into messages. Pure: bytes in, messages out."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._needed = HEADER.size
        self.nonsense = False
        """Whether the stream is not ours: the handler wrote to a descriptor that it does not own. It has ended."""

    @property
    def is_cut_off(self) -> bool:
        """Whether a message has begun that is not whole."""
        return self._held > 0

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
            number, length = _HEAD.unpack_from(data, at)
            known = _READ_AS.get(number)
            if known is None or length > LONGEST:
                self.nonsense = True
                return messages, end, size
            behind = at + size + length
            if behind > end:
                return messages, at, size + length
            kind, numbers = known
            messages.append(kind(*numbers(data, at), body=data[at + size : behind]))
            at = behind
        return messages, at, size


class SupervisorStream:
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
    def is_cut_off(self) -> bool:
        """Whether the last message that came is not whole. Of a worker that is gone it never will be."""
        return self._parser.is_cut_off

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


class WorkerStream:
    """The worker's end: waits. Pickles while multiprocessing spawns a process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._turn = threading.Lock()
        self._parser = Parser()
        self._ready: deque[Message] = deque()

    def __reduce__(self) -> tuple[type[WorkerStream], tuple[socket.socket]]:
        """Only the socket travels."""
        return WorkerStream, (self._sock,)

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


def open_stream() -> tuple[SupervisorStream, WorkerStream]:
    """Open a private stream: the supervisor's end and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return SupervisorStream(ours), WorkerStream(theirs)
