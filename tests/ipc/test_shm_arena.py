"""The arena: shared memory that a reader can neither spoil nor be spoilt by, and that leaves nothing behind."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.ipc.shm import arena
from runner.ipc.shm.allocator import EXTENT, Slot, rounded
from runner.ipc.shm.arena import PART, WINDOW_FROM, ArenaFile, ArenaReader, ArenaWriter
from runner.ipc.shm.handles import BufferHandle, Packed, extent, pack

SIZE = 2 * WINDOW_FROM


class Block:
    """An item that offers its buffer, as an array does."""

    def __init__(self, buffer: Any) -> None:
        self.view = memoryview(buffer)

    def __reduce_ex__(self, protocol: object) -> tuple[type[Block], tuple[pickle.PickleBuffer]]:
        return Block, (pickle.PickleBuffer(self.view),)


@pytest.fixture
def file() -> Iterator[ArenaFile]:
    """An arena."""
    file = ArenaFile.create()
    yield file
    file.close()


def store(file: ArenaFile, item: object, at: int = 0, part: int = 0) -> BufferHandle:
    """Put an item into the slot that begins at `at`."""
    packed = pack(item)
    assert isinstance(packed, Packed)
    writer = ArenaWriter(file, part)
    handle = writer.store(packed, Slot(at, rounded(extent(packed.lengths))))
    writer.close()
    return BufferHandle.decode(handle)


def block(fill: int, size: int = SIZE) -> Block:
    return Block(bytearray([fill]) * size)


def held(file: ArenaFile) -> int:
    """Bytes of memory that an arena takes."""
    return os.fstat(file.fileno()).st_blocks * 512


@pytest.mark.parametrize("size", [WINDOW_FROM // 2, WINDOW_FROM, EXTENT + 1])
@pytest.mark.parametrize("part", [0, 5])
@pytest.mark.quick("5-67108865")
def test_an_item_is_read_as_it_was_written(file: ArenaFile, size: int, part: int) -> None:
    reader = ArenaReader(file)
    handle = store(file, block(7, size), part=part)
    viewed, copied = reader.view(handle), reader.copy(handle)

    assert isinstance(viewed, Block) and isinstance(copied, Block)
    assert (True, True) == (viewed.view == bytes([7]) * size, copied.view == bytes([7]) * size)


@pytest.mark.parametrize("form", [bytes, Block])
def test_what_is_beyond_the_mappings_is_read_and_written_all_the_same(
    file: ArenaFile, form: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena, "MOST_EXTENTS", 1)
    writer, reader = ArenaWriter(file, 0), ArenaReader(file)
    found = []
    for number in range(3):
        packed = pack(form(bytes([number]) * SIZE))
        assert isinstance(packed, Packed)
        handle = writer.store(packed, Slot(number * EXTENT, rounded(SIZE)))
        item = reader.copy(BufferHandle.decode(handle))
        found.append(bytes(item.view if isinstance(item, Block) else item))
    writer.close()

    assert [bytes([number]) * SIZE for number in range(3)] == found


@pytest.mark.parametrize("item", [b"x" * SIZE, bytearray(b"x" * SIZE)])
def test_bytes_are_the_readers_own(file: ArenaFile, item: object) -> None:
    reader = ArenaReader(file)
    found = reader.view(store(file, item))

    assert (item, type(item), False) == (found, type(found), reader.has_views)


def test_what_a_handler_writes_into_an_array_is_seen_by_nobody_else(file: ArenaFile) -> None:
    """It may be killed half-way, and the item is handed out again."""
    handle = store(file, block(1))
    spoilt = ArenaReader(file).view(handle)
    assert isinstance(spoilt, Block)
    spoilt.view[:] = bytes([9]) * SIZE

    again = ArenaReader(file).view(handle)

    assert isinstance(again, Block)
    assert bytes([1]) * SIZE == again.view


@pytest.mark.parametrize("new_kernel", [True, False])
def test_what_a_handler_keeps_is_never_overwritten(
    file: ArenaFile, new_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not new_kernel:
        monkeypatch.setattr(arena, "_MADV_POPULATE_WRITE", 9999)
    reader = ArenaReader(file)
    kept = reader.view(store(file, block(1)))
    assert isinstance(kept, Block)
    part = kept.view[10:20]
    del kept
    reader.release()

    store(file, block(2))

    assert bytes([1]) * 10 == part


def test_what_a_handler_does_not_keep_leaves_no_mapping(file: ArenaFile) -> None:
    reader = ArenaReader(file)
    before = _mappings()
    for fill in range(10):
        reader.view(store(file, block(fill)))
        reader.release()

    assert before == _mappings()


def test_what_a_handler_keeps_for_a_while_leaves_no_mapping_after_that(file: ArenaFile) -> None:
    reader = ArenaReader(file)
    before = _mappings()
    kept = [reader.view(store(file, block(fill))) for fill in range(10)]
    reader.release()

    assert before + 10 == _mappings()
    kept.clear()
    assert before == _mappings()


def test_whoever_keeps_everything_is_given_copies_after_a_while(file: ArenaFile) -> None:
    """Each window has a descriptor, and a handler may keep thousands of items."""
    reader = ArenaReader(file)
    before = _mappings()
    kept = []
    for fill in range(arena.MOST_WINDOWS + 20):
        kept.append(reader.view(store(file, block(fill))))
        reader.release()

    assert arena.MOST_WINDOWS == _mappings() - before
    assert [bytes([fill]) * SIZE for fill in range(len(kept))] == [each.view for each in kept]  # type: ignore[attr-defined]


def test_a_slot_that_is_given_up_takes_no_memory(file: ArenaFile) -> None:
    writer = ArenaWriter(file, 3)
    store(file, block(1), part=3)
    before = held(file)
    writer.free(Slot(0, rounded(SIZE)))

    assert (SIZE, 0) == (before, held(file))


def test_a_part_is_given_up_with_all_that_is_in_it_and_nothing_else(file: ArenaFile) -> None:
    mine, other = store(file, block(1), part=1), store(file, block(2), part=2)
    store(file, block(3), at=EXTENT, part=1)
    file.free_part(1)

    assert SIZE == held(file)
    assert mine.at < PART * 2 <= other.at
    assert [bytearray([2]) * SIZE] == ArenaReader(file).fetch(other)


def test_nobody_can_cut_the_arena_short(file: ArenaFile) -> None:
    """A reader of what is cut off would be killed by SIGBUS."""
    with pytest.raises(PermissionError):
        os.ftruncate(file.fileno(), 4096)


@pytest.mark.usefixtures("file")
def test_an_arena_has_no_name() -> None:
    assert [] == [path for path in Path("/dev/shm").iterdir() if "mprun" in path.name]


def _mappings() -> int:
    """Windows, which are private; what stays mapped for copies is not."""
    return sum(
        "mprun-arena" in line and "rw-p" in line for line in Path("/proc/self/maps").read_text().splitlines()
    )
