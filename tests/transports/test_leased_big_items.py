"""Both ends of big items under `leased`, without processes: slots are reused only once nobody needs what is in them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import ItemTooBig
from runner.ipc.frames import cut, pack_safe, pack_series, pickle_alone, unpack
from runner.ipc.shm.allocator import PAGE
from runner.ipc.shm.handles import BufferHandle, rebuild
from runner.ipc.stream import PutBigMessage
from runner.process import memory
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec
from runner.transports.leased.big_items import (
    ArenaRegistry,
    BigItemReader,
    BigItemWriter,
    SharedFrame,
    WriterRegion,
    writer_share,
)
from runner.transports.leased.session import WorkerSession

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory_bytes", "writers", "share"),
    [
        (64 * GIB, 1, 512 * MIB),
        (64 * GIB, 4, 128 * MIB),
        (1 * GIB, 1, 256 * MIB),
        (1 * GIB, 2, 128 * MIB),
        (64 * GIB, 1000, 16 * MIB),
        (0, 1, 16 * MIB),
    ],
)
def test_big_items_take_half_a_gibibyte_or_a_quarter_of_the_memory_together(
    memory_bytes: int, writers: int, share: int
) -> None:
    assert share == writer_share(memory_bytes, writers)


class Desk(WorkerSession):
    """A stream whose other end is the test: `say` is what comes in when somebody looks."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.on_freed = []
        self.tap = None

    def take_in(self) -> None:
        while self.said:
            self.on_freed[0](self.said.pop(0))


def plan_of(*stages: StageSpec) -> Plan:
    return make_plan(WorkflowSpec("big", Path("/nowhere/big.yaml"), stages, (QueueSpec("q"),), "leased"))


PLAN = plan_of(
    StageSpec("chef", HandlerRef("python", "k:steam"), workers=("neo",), sends="q"),
    StageSpec("eater", HandlerRef("python", "k:eat"), workers=("eater",), receives="q"),
)
NEO = next(worker for worker in PLAN.workers if worker.name == "neo")


class Yard:
    """One writer and its supervisor's side."""

    def __init__(self, share: int = 8 * MIB) -> None:
        self.arenas = ArenaRegistry(PLAN)
        given = self.arenas.allocate_region(NEO, "q")
        self.session = Desk()
        self.writer = BigItemWriter(WriterRegion(given.file, given.part, share, given.most), self.session)
        self.reader = BigItemReader(given.file)
        self.file = given.file

    def put(self, *items: object) -> SharedFrame:
        """Have a frame with these items arrive at the supervisor."""
        kind, body = self.writer.pack_frame([self.writer.pack(item, self.full) for item in items])
        assert PutBigMessage is kind
        return self.arenas.receive_frame("neo", body, "q")

    def store(self, body: bytes) -> SharedFrame:
        """Have a frame that lies in the arena as a whole arrive at the supervisor."""
        stored = self.writer.store_frame(body)
        assert stored is not None
        return self.arenas.receive_frame("neo", stored, "q")

    def tell(self) -> None:
        """Let the writer know what the supervisor knows."""
        self.session.said += [numbers for *_, numbers in self.arenas.pop_freed()]

    def full(self) -> None:
        """There is no room, and nobody makes any."""
        raise BlockingIOError

    @property
    def held(self) -> int:
        """Bytes of memory that the arena takes."""
        return os.fstat(self.file.fileno()).st_blocks * 512


@pytest.fixture
def yard() -> Iterator[Yard]:
    yard = Yard()
    yield yard
    yard.arenas.close()


def item(fill: int, size: int = MIB) -> bytes:
    return bytes([fill]) * size


def test_items_come_out_of_a_frame_as_they_went_in(yard: Yard) -> None:
    items = [item(1), "small", ("name", item(2)), item(3)]
    shared_frame = yard.put(*items)

    assert items == list(unpack(shared_frame, 0, 4, yard.reader.view))
    assert items[1:3] == list(unpack(shared_frame, 1, 3, yard.reader.copy))


def test_a_slot_is_used_again_once_its_frame_is_forgotten(yard: Yard) -> None:
    for fill in range(100):
        shared_frame = yard.put(item(fill))
        assert [item(fill)] == list(unpack(shared_frame, 0, 1, yard.reader.view))
        del shared_frame
        yard.tell()

    assert MIB == yard.held


def test_a_slot_is_not_used_again_while_its_frame_is_held(yard: Yard) -> None:
    first = yard.put(item(1))
    for fill in range(2, 20):
        yard.put(item(fill))
        yard.tell()

    assert [item(1)] == list(unpack(first, 0, 1, yard.reader.view))


def test_no_more_than_the_share_is_in_use(yard: Yard) -> None:
    frames = [yard.put(item(fill)) for fill in range(8)]
    with pytest.raises(BlockingIOError):
        yard.put(item(9))
    del frames[3]
    yard.tell()

    assert [item(10)] == list(unpack(yard.put(item(10)), 0, 1, yard.reader.view))
    assert 8 * MIB == yard.held


def test_a_single_item_may_be_bigger_than_the_share(yard: Yard) -> None:
    shared_frame = yard.put(item(1, 20 * MIB))

    assert [item(1, 20 * MIB)] == list(unpack(shared_frame, 0, 1, yard.reader.view))


def test_an_item_bigger_than_the_free_memory_is_refused(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10 * MIB)

    with pytest.raises(ItemTooBig, match=r"the item takes 20MiB, and 10MiB of memory are free"):
        yard.put(item(1, 20 * MIB))


def test_an_item_bigger_than_its_queue_is_refused(yard: Yard) -> None:
    yard.writer = BigItemWriter(WriterRegion(yard.file, 1, 8 * MIB, 2 * MIB, "steamer"), yard.session)

    with pytest.raises(ItemTooBig, match=r"the item takes 3MiB, and queue .steamer. has `max_bytes: 2MiB`"):
        yard.put(item(1, 3 * MIB))


def test_what_a_writer_that_died_had_put_stays_until_nobody_needs_it(yard: Yard) -> None:
    frames = [yard.put(item(1)), yard.put(item(2))]
    yard.arenas.writer_gone("neo")
    del frames[0]

    assert [item(2)] == list(unpack(frames[0], 0, 1, yard.reader.view))
    assert 2 * MIB == yard.held
    frames.clear()
    assert 0 == yard.held


def test_what_a_writer_copied_and_never_put_goes_with_it(yard: Yard) -> None:
    yard.writer.pack(item(1), yard.full)
    before = yard.held
    yard.arenas.writer_gone("neo")

    assert (MIB, 0) == (before, yard.held)


def test_a_writer_that_takes_the_place_of_another_gets_a_part_of_its_own(yard: Yard) -> None:
    shared_frame = yard.put(item(1))
    yard.arenas.writer_gone("neo")
    region = yard.arenas.allocate_region(NEO, "q")
    BigItemWriter(region, yard.session).pack(item(2), yard.full)
    del shared_frame

    assert region.part == 1
    assert MIB == yard.held


@pytest.mark.parametrize("each", [item(1), ("name", item(1)), bytearray(item(1)), "长" * MIB])
def test_a_dead_letter_can_be_read_when_the_arena_is_gone(yard: Yard, each: object) -> None:
    payload, index, bulk = yard.put("small", each).cut(1)
    assert bulk is not None
    assert index == 0
    kept = os.pread(bulk.descriptor, bulk.size, bulk.at)
    yard.arenas.close()

    def fetch(entry: memoryview) -> object:
        handle = BufferHandle.decode(entry)
        return rebuild(handle, [kept[at : at + length] for at, length in handle.ranges])

    assert [each] == list(unpack(payload, 0, 1, fetch))


def test_what_lies_in_the_arena_stays_there_as_long_as_it_is_to_be_kept(yard: Yard) -> None:
    _, _, bulk = yard.put("small", item(1)).cut(1)
    yard.arenas.writer_gone("neo")
    before = yard.held
    del bulk

    assert (MIB, 0) == (before, yard.held)


def test_a_small_item_beside_a_big_one_is_cut_out_with_nothing_left_behind(yard: Yard) -> None:
    payload, index, bulk = yard.put("small", item(1)).cut(0)

    assert (["small"], None) == (list(unpack(payload, index, index + 1)), bulk)


SAFE = [(number, "长" * 100) for number in range(50)]
OTHERS = [{"n": number, "text": "长" * 100} for number in range(50)]


@pytest.mark.parametrize(
    ("items", "body"),
    [(SAFE, pack_safe(SAFE)), (OTHERS, pack_series([pickle_alone(each) for each in OTHERS]))],
    ids=["one pickle", "a pickle each"],
)
def test_a_frame_that_lies_in_the_arena_is_what_it_was(yard: Yard, items: list[object], body: bytes) -> None:
    stored = yard.store(body)
    frame = yard.reader.resolve(stored)
    payload, index, bulk = stored.cut(7)
    yard.arenas.close()

    assert len(stored) < 100
    assert items[3:9] == list(unpack(frame, 3, 9))
    assert ([items[7]], None) == (list(unpack(payload, index, index + 1)), bulk)


def test_the_slot_of_a_frame_is_used_again_once_that_is_forgotten(yard: Yard) -> None:
    for _ in range(100):
        stored = yard.store(bytes(12 * PAGE))
        del stored
        yard.tell()
        yard.session.take_in()

    assert 12 * PAGE == yard.held


def test_a_frame_that_finds_no_room_in_the_arena_is_not_stored(yard: Yard) -> None:
    frames = [yard.store(bytes(MIB)) for _ in range(8)]

    assert yard.writer.store_frame(bytes(MIB)) is None
    del frames[0]
    yard.tell()
    yard.session.take_in()
    assert yard.writer.store_frame(bytes(MIB)) is not None


def test_an_item_of_an_ordinary_frame_is_cut_out_alone() -> None:
    frame = pack_series([pickle.dumps(number) for number in range(5)])
    payload, index = cut(frame, 3)

    assert [3] == list(unpack(payload, index, index + 1))


def test_looking_at_sizes_ends_when_items_are_small_and_lasts_longer_the_next_time(yard: Yard) -> None:
    looked = []
    for _ in range(2):
        count = 0
        while not yard.writer.seen_enough:
            yard.writer.pack("small", yard.full)
            count += 1
        looked.append(count)
        assert yard.writer.is_heavy(2, bytes(MIB))

    assert looked == [64, 1024]


def test_a_frame_of_many_small_items_is_not_heavy(yard: Yard) -> None:
    assert not yard.writer.is_heavy(65536, bytes(10 * MIB))
