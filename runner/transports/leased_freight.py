"""How a worker sends and receives big items under `leased`: what lies in its part of the arena, what it has in hand.

    put ──► pack ──► small: a pickle, as ever
                └──► big: copied to a slot, and a docket goes into the frame ──► PUT_BIG
                          slot free again ◄── FREED, once every item of that frame has come to an end

Looking at each item for its size costs small ones dearly, so an outbox that has seen nothing but small ones stops
looking, until a frame turns out to be heavy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from runner import memory
from runner.arena import PART, ArenaFile, ArenaReader, ArenaWriter
from runner.dockets import BIG, Docket, Packed, extent, is_docket, pack
from runner.errors import ItemTooBig
from runner.frames import pack_mixed, pack_series
from runner.heap import keep_what_is_freed
from runner.slots import Slot, Slots
from runner.transports.leased_stream import Stream
from runner.units import format_size
from runner.wire import Kind

_FIRST_LOOK = 64
"""Small items in a row after which nobody looks at their size any more."""
_LOOK_LONGER = 16
"""How many times longer the next look lasts, once it has proved too short."""
_CRUMB = 1024
"""A heavy frame whose items are smaller than this on average is one of many small items."""
_CHECKED_FROM = 1 << 24
"""Bytes of an item that are worth a look at the memory that is free."""


@dataclass(frozen=True, slots=True)
class Berth:
    """A writer's place in an arena. Made in the supervisor; pickles while multiprocessing spawns a process."""

    file: ArenaFile
    part: int
    share: int
    """Bytes that the writer may have in it at once; a single bigger item may go alone."""
    most: int | None = None
    """Bytes of one item, at the most: its queue's `max_bytes`."""
    queue: str = ""


class Freight:
    """A writer's big items: which slots they lie in, and which frames they left with."""

    def __init__(self, berth: Berth, stream: Stream) -> None:
        self._berth = berth
        self._stream = stream
        stream.on_freed = self.freed
        self._writer = ArenaWriter(berth.file, berth.part)
        self._slots = Slots(berth.share, PART)
        self._loaded: dict[bytes, Slot] = {}
        """Slots by their dockets that have not left yet."""
        self._afloat: dict[int, list[Slot]] = {}
        """Slots by the number of the frame that their dockets left in."""
        self._frames = 0
        self._looks = _FIRST_LOOK
        self._looked = 0

    def pack(self, item: object, wait: Callable[[], object]) -> bytes:
        """Return an item's pickle, or its docket; for a big item `wait` is called until there is room in the arena.

        Raises:
            ItemTooBig: it can never fit.
            Exception: whatever pickling it raises.
        """
        packed = pack(item)
        if isinstance(packed, bytes):
            self._looked += 1
            return packed
        self._looked = 0
        return self._store(packed, wait)

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
    def laden(self) -> bool:
        """Whether there are dockets that have not left yet."""
        return bool(self._loaded)

    def seal(self, entries: Sequence[bytes]) -> tuple[Kind, bytes]:
        """Make a frame of entries and note which slots leave with it. Called for each frame, in order."""
        slots = [self._loaded.pop(entry) for entry in entries if is_docket(entry)]
        if not slots:
            return Kind.PUT, pack_series(entries)
        self._afloat[self._frames] = slots
        self._frames += 1
        return Kind.PUT_BIG, pack_mixed(entries)

    def freed(self, numbers: bytes | memoryview) -> None:
        """The supervisor says which frames have come to an end."""
        for number in unpack_numbers(numbers):
            for slot in self._afloat.pop(number):
                self._slots.give_back(slot)
        self._give_up()

    def _store(self, packed: Packed, wait: Callable[[], object]) -> bytes:
        size = extent(packed.lengths)
        self._check(size)
        keep_what_is_freed()
        self._stream.take_in()  # a slot that is free again is better than a new one
        while (slot := self._slots.take(size)) is None:
            wait()
        self._give_up()
        docket = self._writer.store(packed, slot)
        self._loaded[docket] = slot
        return docket

    def check_bound(self, size: int) -> None:
        """Raise `ItemTooBig` for an item of `size` bytes that its queue can never hold."""
        most, queue = self._berth.most, self._berth.queue
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

    def _give_up(self) -> None:
        for slot in self._slots.evicted():
            self._writer.give_up(slot)


class Unloading:
    """A reader's big items: what it has in its hands of them."""

    def __init__(self, file: ArenaFile) -> None:
        self._reader = ArenaReader(file)

    def view(self, entry: memoryview) -> object:
        """Unpickle an entry; the arrays of a big item are good until `settle`."""
        return self._reader.view(Docket.decode(entry))

    def copy(self, entry: memoryview) -> object:
        """Unpickle an entry; nothing of it stays in the arena."""
        return self._reader.copy(Docket.decode(entry))

    def settle(self) -> None:
        """The items are about to be acknowledged."""
        if self._reader.unsettled:
            self._reader.settle()


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Write the numbers of frames as they travel."""
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def unpack_numbers(body: bytes | memoryview) -> Iterator[int]:
    """Read what `pack_numbers` wrote."""
    return (number for (number,) in struct.iter_unpack("<Q", body))
