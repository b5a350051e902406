"""Big items between real processes: whole, the reader's own, and never lost or spoilt by a death."""

from __future__ import annotations

import gc
import os
import signal
import textwrap
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest
from holdings import nothing_left

from runner.composition import run
from runner.events.report import Report
from runner.ipc.shm.allocator import Slot
from runner.ipc.shm.arena import ArenaWriter
from runner.ipc.shm.handles import Packed
from runner.process import memory
from runner.spec.failures import OnError
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.transports.leased import big_items as leased_docks

MIB = 1 << 20

_PRELUDE = """
import os, pickle, signal
from pathlib import Path

MIB = 1 << 20
HERE = Path(__file__).parent

def note(text):
    with open(HERE / "notes.txt", "a", encoding="utf-8") as notes:
        notes.write(f"{text}\\n")

class Block:
    "Offers its buffer, as an array does."
    def __init__(self, buffer):
        self.view = memoryview(buffer)
    def __reduce_ex__(self, protocol):
        return Block, (pickle.PickleBuffer(self.view),)

def block(number, size=MIB):
    return Block(bytearray([number % 256]) * size)

def blocks(n, size=MIB):
    for number in range(n):
        yield block(number, size)

def number_of(block):
    "The number that a block was made of, if it is whole."
    data = bytes(block.view)
    return data[0] if data == data[:1] * len(data) else f"spoilt: {data[0]} {data[-1]}"

def eat(item):
    note(number_of(item))
"""


class Kitchen:
    """Runs stages whose handlers stand in the test itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def handlers(self, source: str = "") -> None:
        """Write the module `galley`, which `note`s what it has to tell the test."""
        (self.folder / "galley.py").write_text(_PRELUDE + textwrap.dedent(source), encoding="utf-8")

    def run(self, *stages: StageSpec, maxsize: int | None = 10) -> Report:
        """Run the stages. A run that hangs ends as a timeout, which no test expects."""
        names = dict.fromkeys(q for stage in stages for q in (stage.receives, stage.sends) if q)
        queues = tuple(QueueSpec(name, maxsize) for name in names)
        path = self.folder / "big.yaml"
        spec = WorkflowSpec("big", path, stages, queues, "leased", Limits(timeout=120.0))
        report = run(make_plan(spec))
        assert report.balanced, report.queues
        return report

    def notes(self) -> list[str]:
        """What the handlers noted, in order."""
        notes = self.folder / "notes.txt"
        return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []


@pytest.fixture
def kitchen(tmp_path: Path) -> Iterator[Kitchen]:
    """A kitchen that must leave no descriptor, no mapping and no file in shared memory."""
    resource_tracker.ensure_running()  # a spawned worker starts it, and it serves the whole program
    with nothing_left():
        kitchen = Kitchen(tmp_path)
        kitchen.handlers()
        yield kitchen
        gc.collect()  # arrays that a test was given may be in cycles, and hold their mapping


def stage(
    name: str, target: str, reads: str | None = None, puts: str | None = None, workers: int = 1, **more: Any
) -> StageSpec:
    """A stage of the module `galley`. `args` is the file's `with`."""
    names = tuple(f"{name}-{number}" for number in range(1, workers + 1))
    handler = HandlerRef("python", f"galley:{target}")
    return StageSpec(name, handler, more.pop("args", {}), names, receives=reads, sends=puts, **more)


def chef(n: int, target: str = "blocks", **more: Any) -> StageSpec:
    return stage("chef", target, puts="q", args={"n": n}, **more)


def numbers(upto: int) -> list[str]:
    return [str(number) for number in range(upto)]


def test_items_of_every_form_arrive_whole_and_in_order(kitchen: Kitchen) -> None:
    kitchen.handlers(
        """
        def every_form(n):
            for number in range(n):
                data = bytes([number]) * MIB
                yield from (number, data, bytearray(data), ("name", data), {"data": [block(number)]}, "长" * MIB)

        def check(item):
            match item:
                case int():
                    note(item)
                case bytes() | bytearray():
                    note(f"{type(item).__name__} {item == item[:1] * MIB}")
                case (str(), bytes(data)):
                    note(f"tuple {data == data[:1] * MIB}")
                case {"data": [kept]}:
                    note(f"dict {number_of(kept)}")
                case str():
                    note(f"str {item == '长' * MIB}")
        """
    )
    report = kitchen.run(chef(20, "every_form"), stage("eater", "check", reads="q"))

    each = [
        [str(n), "bytes True", "bytearray True", "tuple True", f"dict {n}", "str True"] for n in range(20)
    ]
    assert [note for notes in each for note in notes] == kitchen.notes()
    assert "done" == report.outcome


def test_an_array_is_writable_and_whole() -> None:
    """NumPy's own arrays; everything else here does without them."""
    numpy = pytest.importorskip("numpy")
    from runner.ipc.shm.allocator import rounded
    from runner.ipc.shm.arena import ArenaFile, ArenaReader
    from runner.ipc.shm.handles import BufferHandle, pack

    file = ArenaFile.create()
    array = numpy.arange(MIB).reshape(1024, 1024).T
    packed = pack(array)
    assert isinstance(packed, Packed)
    handle = ArenaWriter(file, 0).store(packed, Slot(0, rounded(array.nbytes)))
    reader = ArenaReader(file)
    found = reader.view(BufferHandle.decode(handle))

    assert (True, True) == (found.flags.writeable, bool((found == array).all()))
    reader.release()
    file.close()
    assert bool((found == array).all())


@pytest.mark.slow
def test_big_and_small_items_stay_in_order(kitchen: Kitchen) -> None:
    kitchen.handlers(
        """
        def mixed(n):
            for number in range(n):
                yield block(number) if number % 97 == 5 else number % 256

        def either(item):
            note(number_of(item) if isinstance(item, Block) else item)
        """
    )
    kitchen.run(chef(3000, "mixed"), stage("eater", "either", reads="q"), maxsize=1000)

    assert [str(number % 256) for number in range(3000)] == kitchen.notes()


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_several_writers_and_readers_share_one_arena(kitchen: Kitchen, method: str) -> None:
    """However they are started: a spawned worker inherits nothing."""
    report = kitchen.run(
        chef(50, workers=3, start_method=method),
        stage("eater", "eat", reads="q", workers=2, start_method=method),
    )

    assert sorted(3 * numbers(50)) == sorted(kitchen.notes())
    assert "done" == report.outcome


@pytest.mark.slow
def test_a_pipe_stage_passes_on_what_it_was_given(kitchen: Kitchen) -> None:
    kitchen.handlers("def pass_on(item):\n    item.view[0] = item.view[0]\n    return item\n")
    kitchen.run(
        chef(40), stage("pipe", "pass_on", reads="q", puts="r", workers=2), stage("eater", "eat", reads="r")
    )

    assert numbers(40) == sorted(kitchen.notes(), key=int)


@pytest.mark.slow
def test_whoever_keeps_items_finds_them_as_they_were(kitchen: Kitchen) -> None:
    kitchen.handlers(
        """
        class Hoarder:
            def __init__(self):
                self.kept = []
            def __call__(self, item):
                self.kept.append(item)
            def close(self):
                for item in self.kept:
                    note(number_of(item))
        """
    )
    kitchen.run(chef(100), stage("eater", "Hoarder", reads="q"), maxsize=2)

    assert numbers(100) == kitchen.notes()


@pytest.mark.slow
def test_a_handler_that_drives_its_queue_may_hold_an_item_beyond_task_done(kitchen: Kitchen) -> None:
    kitchen.handlers(
        """
        def drive(inbox):
            last = None
            while True:
                item = inbox.get()
                inbox.task_done()
                if last is not None:
                    note(number_of(last))
                last = item
        """
    )
    kitchen.run(chef(30), stage("eater", "drive", reads="q"))

    assert numbers(29) == kitchen.notes()


@pytest.mark.slow
def test_more_items_pass_than_memory_is_set_aside_for(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased_docks, "_LEAST_SHARE", 4 * MIB)
    monkeypatch.setattr(memory, "total", lambda: 0)
    kitchen.run(chef(60), stage("eater", "eat", reads="q"), maxsize=50)

    assert numbers(60) == kitchen.notes()


@pytest.mark.slow
def test_an_item_that_can_never_fit_is_refused_at_its_put(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 8 * MIB)
    kitchen.handlers(
        """
        def one_monster(queue):
            for number in range(3):
                try:
                    queue.put(block(number, 20 * MIB if number == 1 else MIB))
                except Exception as error:
                    note(f"{type(error).__name__}: {error}")
        """
    )
    report = kitchen.run(stage("chef", "one_monster", puts="q"), stage("eater", "eat", reads="q"))

    refused = "ItemTooBig: the item takes 20MiB, and 8MiB of memory are free"
    assert sorted(["0", "2", refused]) == sorted(kitchen.notes())
    assert "done" == report.outcome


def test_a_reader_that_is_killed_with_an_item_half_changed_leaves_it_as_it_was_put(kitchen: Kitchen) -> None:
    kitchen.handlers(
        """
        def die_once(item):
            if item.view[0] == 5 and not (HERE / "died").exists():
                (HERE / "died").touch()
                item.view[: MIB // 2] = bytes([99]) * (MIB // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            note(number_of(item))
        """
    )
    report = kitchen.run(chef(30), stage("eater", "die_once", reads="q", workers=2))

    assert numbers(30) == sorted(kitchen.notes(), key=int)
    assert "done" == report.outcome


@pytest.mark.slow
def test_a_writer_that_is_killed_half_way_through_a_copy_loses_nothing_that_it_had_put(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = ArenaWriter._copy

    def die_at_the_tenth(self: ArenaWriter, buffer: memoryview, slot: Slot, offset: int) -> None:
        if buffer[0] == 10:
            copy(self, buffer[: len(buffer) // 2], slot, offset)
            os.kill(os.getpid(), signal.SIGKILL)
        copy(self, buffer, slot, offset)

    monkeypatch.setattr(ArenaWriter, "_copy", die_at_the_tenth)
    report = kitchen.run(chef(20), stage("eater", "eat", reads="q"))

    notes = kitchen.notes()
    assert numbers(len(notes)) == notes
    assert (len(notes), len(notes)) == (report.queue("q").put, report.queue("q").done)
    assert "failed" == report.outcome


@pytest.mark.slow
def test_an_item_on_which_a_handler_raises_is_let_go(kitchen: Kitchen) -> None:
    kitchen.handlers("def pick(item):\n    assert item.view[0] % 3\n    note(number_of(item))\n")
    eater = stage("eater", "pick", reads="q", on_error=OnError.SKIP)
    report = kitchen.run(chef(30), eater)

    assert [number for number in numbers(30) if int(number) % 3] == kitchen.notes()
    assert (30, 20) == (report.queue("q").put, report.queue("q").done)


@pytest.mark.slow
def test_an_item_of_a_gibibyte_passes(kitchen: Kitchen) -> None:
    kitchen.handlers(
        """
        def giants(n):
            for number in range(n):
                yield block(number, 1 << 30)

        def weigh(item):
            note((len(item.view), item.view[0], item.view[-1]))
        """
    )
    kitchen.run(chef(2, "giants"), stage("eater", "weigh", reads="q"))

    assert [str((1 << 30, number, number)) for number in range(2)] == kitchen.notes()
