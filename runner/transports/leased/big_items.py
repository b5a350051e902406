"""How big items travel under `leased`: by an arena per queue, in which each writer has a part of its own.

    worker: BigItemWriter.pack ──► small: a pickle, as ever
                               └─► big: copied to a slot, and a handle goes into the frame ──► PutBigMessage
    supervisor: SharedFrame, the payload of a frame in the ledger ──forgotten by it──► FreedMessage: slot free again
                                                                             └──► writer gone: its part is freed

Looking at each item for its size costs small ones dearly, so an outbox that has seen nothing but small ones stops
looking, until a frame turns out to be heavy.
"""

from __future__ import annotations

import errno
import os
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from runner.errors import ItemTooBig, StartFailed
from runner.facts import dataclass
from runner.ipc.frames import cut, entry, pack_mixed, pack_series, stored_frame
from runner.ipc.shm.allocator import PAGE, Slot, Slots, disable_trim
from runner.ipc.shm.arena import PART, ArenaFile, ArenaReader, ArenaWriter, read_stored
from runner.ipc.shm.handles import BIG, BufferHandle, Packed, SharedBytes, extent, is_handle, pack
from runner.ipc.stream import PutBigMessage, PutMessage
from runner.ledger.ranges import Frame
from runner.ledger.snapshot import QueueSnapshot
from runner.process import memory
from runner.spec.plan import Plan, WorkerPlan
from runner.transports.cut import StoredPayload
from runner.transports.leased.session import WorkerSession
from runner.units import format_size

_FIRST_LOOK = 64
"""Small items in a row after which nobody looks at their size any more."""
_LOOK_LONGER = 16
"""How many times longer the next look lasts, once it has proved too short."""
_CRUMB = 16 * 1024
"""A heavy frame whose items are smaller than this on average is one of many small items."""
_CHECKED_FROM = 1 << 24
"""Bytes of an item that are worth a look at the memory that is free."""
_PART_OF_MEMORY = 4
_MOST_MEMORY = 1 << 29
_LEAST_SHARE = 1 << 24


class _Descent:
    """How many forks are between the first process and this one: at each frame a pid would cost a system call."""

    forks = 0

    @classmethod
    def note_fork(cls) -> None:
        cls.forks += 1


os.register_at_fork(after_in_child=_Descent.note_fork)


@dataclass(frozen=True, slots=True)
class WriterRegion:
    """A writer's place in an arena. Made in the supervisor; pickles while multiprocessing spawns a process."""

    file: ArenaFile
    part: int
    share: int
    """Bytes that the writer may have in it at once; a single bigger item may go alone."""
    most: int | None = None
    """Bytes of one item, at the most: its queue's `max_bytes`."""
    queue: str = ""


class BigItemWriter:
    """A writer's big items: which slots they lie in, and which frames they left with."""

    def __init__(self, region: WriterRegion, session: WorkerSession) -> None:
        self._region = region
        self._session = session
        session.on_freed.append(self.freed)
        self._writer = ArenaWriter(region.file, region.part)
        self._slots = Slots(region.share, PART)
        self._unsent: dict[bytes, Slot] = {}
        """Slots by their handles that have not left yet."""
        self._in_flight: dict[int, list[Slot]] = {}
        """Slots by the number of the frame that their handles left in."""
        self._frames = 0
        self._looks = _FIRST_LOOK
        self._looked = 0

    def pack(self, item: object, wait: Callable[[], object]) -> bytes:
        """Return an item's pickle, or its handle; for a big item `wait` is called until there is room in the arena.

        Raises:
            ItemTooBig: it can never fit.
            Exception: whatever pickling it raises.
        """
        packed = pack(item)
        if isinstance(packed, bytes):
            self._looked += 1
            return packed
        self._looked = 0
        handle = self._store(packed, wait)
        self._session.note_big(handle, item)
        return handle

    @property
    def seen_enough(self) -> bool:
        """Whether the items are small, as far as anybody can tell."""
        return self._looked >= self._looks

    def is_heavy(self, count: int, body: bytes) -> bool:
        """Whether a frame that nobody looked at must have held something big; from then on looking lasts longer."""
        if len(body) < max(BIG, count * _CRUMB):
            return False
        self.look_again()
        return True

    def look_again(self) -> None:
        """Something big has come unlooked for: look for longer than the last time."""
        self._looked, self._looks = 0, self._looks * _LOOK_LONGER

    @property
    def has_unsent(self) -> bool:
        """Whether there are handles that have not left yet."""
        return bool(self._unsent)

    @property
    def has_in_flight(self) -> bool:
        """Whether there are frames with handles that have left and not come to an end."""
        return bool(self._in_flight)

    def pack_frame(self, entries: Sequence[bytes]) -> tuple[type[PutMessage], bytes]:
        """Make a frame of entries and note which slots leave with it. Called for each frame, in order."""
        return (
            (PutBigMessage, pack_mixed(entries))
            if self.mark_sent(entries)
            else (PutMessage, pack_series(entries))
        )

    def mark_sent(self, entries: Sequence[bytes]) -> bool:
        """Note which slots leave in one frame with these entries; False if none does. Called for each, in order."""
        slots = [self._unsent.pop(entry) for entry in entries if is_handle(entry)]
        if slots:
            self._in_flight[self._frames] = slots
            self._frames += 1
        return bool(slots)

    def store_frame(self, body: bytes) -> bytes | None:
        """Copy a frame into the arena, if there is room for it at this moment; return what travels in its place.

        Called for each frame, in order, and only by the thread that packs items.
        """
        disable_trim()
        if (slot := self._slots.take(len(body))) is None:
            return None
        self._free()
        self._in_flight[self._frames] = [slot]
        self._frames += 1
        return pack_mixed([self._writer.store_frame(body, slot)])

    def discard(self, entries: Sequence[bytes]) -> None:
        """These will not leave: their slots are free again."""
        for handle in filter(is_handle, entries):
            self._slots.give_back(self._unsent.pop(handle))
        self._free()

    def freed(self, numbers: bytes | memoryview) -> None:
        """The supervisor says which frames have come to an end."""
        for number in unpack_numbers(numbers):
            for slot in self._in_flight.pop(number):
                self._slots.give_back(slot)
        self._free()

    def close(self) -> None:
        """Unmap everything. A worker need not: its end does."""
        self._writer.close()

    def _store(self, packed: Packed, wait: Callable[[], object]) -> bytes:
        size = extent(packed.lengths)
        self._check(size)
        disable_trim()
        self._session.take_in()  # a slot that is free again is better than a new one
        while (slot := self._slots.take(size)) is None:
            wait()
        self._free()
        handle = self._writer.store(packed, slot)
        self._unsent[handle] = slot
        return handle

    def check_bound(self, size: int) -> None:
        """Raise `ItemTooBig` for an item of `size` bytes that its queue can never hold."""
        most, queue = self._region.most, self._region.queue
        if most is not None and size > most:
            raise ItemTooBig(
                f"the item takes {format_size(size)}, and queue '{queue}' has `max_bytes: {format_size(most)}`"
            )

    def _check(self, size: int) -> None:
        self.check_bound(size)
        if size >= _CHECKED_FROM and size > (free := memory.available() + self._slots.warm):
            raise ItemTooBig(
                f"the item takes {format_size(size)}, and {format_size(free)} of memory are free"
            )

    def _free(self) -> None:
        for slot in self._slots.evicted():
            self._writer.free(slot)


class BigItemReader:
    """A reader's big items: what it has in its hands of them."""

    def __init__(self, file: ArenaFile) -> None:
        self._reader = ArenaReader(file)

    def view(self, entry: memoryview) -> object:
        """Unpickle an entry; the arrays of a big item are good until `release`."""
        return self._reader.view(BufferHandle.decode(entry))

    def copy(self, entry: memoryview) -> object:
        """Unpickle an entry; nothing of it stays in the arena."""
        return self._reader.copy(BufferHandle.decode(entry))

    def resolve(self, payload: bytes | memoryview) -> bytes | memoryview:
        """Return the frame that a lease is about, which may lie in the arena."""
        handle = stored_frame(payload)
        return payload if handle is None else self._reader.frame(handle)

    def release(self) -> None:
        """The items are about to be acknowledged."""
        if self._reader.has_views:
            self._reader.release()

    def close(self) -> None:
        """Unmap all but what somebody still has. A worker need not: its end does."""
        self.release()
        self._reader.close()


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Write the numbers of frames as they travel."""
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def unpack_numbers(body: bytes | memoryview) -> Iterator[int]:
    """Read what `pack_numbers` wrote."""
    return (number for (number,) in struct.iter_unpack("<Q", body))


class SharedFrame(bytes):
    """The payload of a frame whose items lie in the arena. Once nobody has it any more, they have come to an end.

    A ledger forgets a frame when it needs it no more, at the last acknowledgement or wherever else an item ends: what
    the ledger does not hold is free, and no list of the ways in which an item may end has to be kept twice.
    """

    file: ArenaFile
    ended: Callable[[], None]

    @classmethod
    def of(cls, body: bytes, file: ArenaFile, ended: Callable[[], None]) -> SharedFrame:
        """Make the payload; `ended` is called when it is forgotten."""
        shared_frame = cls(body)
        shared_frame.file, shared_frame.ended = file, ended
        return shared_frame

    def cut(self, index: int) -> tuple[bytes, int, SharedBytes | None]:
        """Return the smallest frame with one item of this one, where in it that is, and what of it lies in the arena.

        Opens nothing.
        """
        if (stored := stored_frame(self)) is not None:
            return *cut(read_stored(self.file.fileno(), stored), index), None
        cut_out = entry(self, index)
        if not is_handle(cut_out):
            return pack_series([cut_out]), 0, None
        handle = BufferHandle.decode(cut_out)
        return pack_mixed([cut_out]), 0, SharedBytes(self.file.fileno(), handle.at, handle.span, held=self)

    def __del__(self) -> None:
        """Nobody has it any more."""
        self.ended()


def _why(error: OSError) -> str:
    if error.errno == errno.EFBIG:
        return "it counts as a file, and the size of files is limited; `ulimit -f unlimited` takes the limit away"
    return error.strerror or str(error)


@dataclass(slots=True)
class _WriterPart:
    """A part of an arena, and the writer that it was given to."""

    file: ArenaFile
    number: int
    writer: str
    queue: str
    frames: int = 0
    in_flight: int = 0
    has_writer: bool = True


def writer_share(memory_bytes: int, writers: int) -> int:
    """
    Return how many bytes of big items one of so many writers may have in arenas at once; one bigger item may go alone.

    Together that is 512 MiB, or a quarter of the memory where that is less, whatever the queues' `maxsize`: more would
    not be faster, as readers are busy with far less. With many writers it is 16 MiB for each all the same.
    """
    return max(_LEAST_SHARE, min(_MOST_MEMORY, memory_bytes // _PART_OF_MEMORY) // writers)


class ArenaRegistry:
    """Arenas, their parts, and which frames of whom have come to an end."""

    def __init__(self, plan: Plan) -> None:
        """Open nothing."""
        self._writers = max(1, sum(len(queue.writers) for queue in plan.queues))
        self._bounds = {queue.name: queue.spec.max_bytes for queue in plan.queues}
        self._sends = {s.receives: s.spec.sends for s in plan.stages if s.spec.sends is not None}
        self._files: dict[str, ArenaFile] = {}
        self._parts: defaultdict[str, int] = defaultdict(int)
        self._writers_parts: defaultdict[str, dict[str, _WriterPart]] = defaultdict(dict)
        """By writer, then by queue."""
        self._share = 0
        """Bytes that each writer may have in arenas at once, as soon as one asks."""
        self._closed = False
        self._forks = _Descent.forks
        self.freed: dict[tuple[str, str], list[int]] = {}
        """Frames that have come to an end, by the writer that must be told, and their queue."""

    def arena(self, queue: str) -> ArenaFile:
        """The arena of a queue. Raises `StartFailed`."""
        if queue not in self._files:
            try:
                self._files[queue] = ArenaFile.create()
            except OSError as error:
                raise StartFailed(f"queue '{queue}': no shared memory could be had: {_why(error)}") from error
        return self._files[queue]

    def allocate_region(self, worker: WorkerPlan, queue: str) -> WriterRegion:
        """Give a writer that is about to be born a part that nobody has had. Raises `StartFailed`."""
        file = self.arena(queue)
        number = self._parts[queue]
        self._parts[queue] += 1
        self._writers_parts[worker.name][queue] = _WriterPart(file, number, worker.name, queue)
        if not self._share:
            self._share = writer_share(memory.total(), self._writers)
        return WriterRegion(file, number, self._share, self._bounds[queue], queue)

    def receive_frame(self, writer: str, body: bytes, queue: str) -> SharedFrame:
        """Take in a frame with big items: the payload that stands for it."""
        part = self._writers_parts[writer][queue]
        number = part.frames
        part.frames += 1
        part.in_flight += 1
        return SharedFrame.of(body, part.file, lambda: self._ended(part, number))

    def restore(self, snapshot: QueueSnapshot) -> None:
        """Take in the big items that an earlier runner's writers had put on a queue. Raises OSError, `StartFailed`."""
        frames, held = snapshot.frames(), snapshot.passed_on()
        self._take_in(snapshot.queue, [frame for key, frame in frames.items() if key not in held])
        self._take_in(self._sends.get(snapshot.queue, ""), held.values())

    def _take_in(self, queue: str, frames: Iterable[Frame]) -> None:
        stored = [frame for frame in frames if isinstance(frame.payload, StoredPayload)]
        if not stored:
            return
        file, at = self.arena(queue), self._parts[queue] * PART
        self._parts[queue] += 1
        for frame in stored:
            span = -(-frame.payload.span // PAGE) * PAGE
            body = frame.payload.copy_to(file.fileno(), at)
            frame.payload = SharedFrame.of(body, file, partial(self._give_up, file, at, span))
            at += span

    def _give_up(self, file: ArenaFile, at: int, size: int) -> None:
        if _Descent.forks == self._forks and not self._closed:
            file.free(at, size)

    def pop_freed(self) -> Iterator[tuple[str, str, bytes]]:
        """What each writer must be told of each queue; once."""
        freed, self.freed = self.freed, {}
        for (writer, queue), numbers in freed.items():
            yield writer, queue, pack_numbers(numbers)

    def writer_gone(self, writer: str) -> None:
        """A writer has died: the memory of its part is given up as soon as nobody needs what it had put."""
        for queue, part in self._writers_parts.pop(writer, {}).items():
            self.freed.pop((writer, queue), None)
            part.has_writer = False
            self._free(part)

    def close(self) -> None:
        """Close every arena."""
        self._closed = True
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _ended(self, part: _WriterPart, number: int) -> None:
        if _Descent.forks != self._forks:
            return  # a worker forked from here has copies of what is needed here
        part.in_flight -= 1
        if part.has_writer:
            self.freed.setdefault((part.writer, part.queue), []).append(number)
        else:
            self._free(part)

    def _free(self, part: _WriterPart) -> None:
        if not part.in_flight and not self._closed:
            part.file.free_part(part.number)
