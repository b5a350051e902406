"""The whole way of a cut into the record of a run and out of it: in one process, or with a real recorder."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.events.run import WorkerLogged
from runner.ipc.frames import pack_mixed, pack_safe, unpack
from runner.ipc.shm.allocator import Slot
from runner.ipc.shm.arena import ArenaFile, ArenaWriter
from runner.ipc.shm.handles import Packed, pack
from runner.ledger.ranges import Frame, ItemRange
from runner.ledger.snapshot import PartitionSnapshot, QueueSnapshot
from runner.record.cut_reader import read_cut
from runner.record.cut_writer import CutWriter, ReceivedCut
from runner.record.cuts import CutBuffer, CutEncoder
from runner.record.reader import RunView
from runner.record.recorder import Recorder
from runner.record.resumption import take_up
from runner.record.writer import RunWriter
from runner.store.run_folder import RunFacts, RunFolder
from runner.transports.cut import Cut
from runner.transports.leased.big_items import BigItemReader, SharedFrame


class Arena:
    """Items in an arena, in frames as the supervisor has them."""

    def __init__(self) -> None:
        self.file = ArenaFile.create()
        self.writer = ArenaWriter(self.file, 1)
        self.reader = BigItemReader(self.file)
        self.at = 0
        self.ended = 0

    def frame(self, *items: object) -> Frame:
        payload = SharedFrame.of(pack_mixed([self._entry(item) for item in items]), self.file, self._end)
        return Frame(payload, len(items))

    def stored(self, *items: object) -> Frame:
        """A frame that lies there as a whole."""
        body = pack_safe(items)
        self.at += 1 << 20
        handle = self.writer.store_frame(body, Slot(self.at, 1 << 20))
        return Frame(SharedFrame.of(pack_mixed([handle]), self.file, self._end), len(items))

    def _entry(self, item: object) -> bytes:
        packed = pack(item)
        if not isinstance(packed, Packed):
            return packed
        self.at += 1 << 20
        return self.writer.store(packed, Slot(self.at, 1 << 20))

    def _end(self) -> None:
        self.ended += 1

    def items(self, payload: bytes, count: int) -> list[object]:
        return list(unpack(payload, 0, count, self.reader.copy))

    def close(self) -> None:
        self.writer.close()
        self.file.close()


def cut_of(*frames: Frame, **more: object) -> Cut:
    """What a run is whose only queue has these frames, whole."""
    ranges = tuple(ItemRange(frame, 0, frame.count) for frame in frames)
    put = sum(frame.count for frame in frames)
    return Cut((QueueSnapshot("q", put, (PartitionSnapshot(ranges, put=put),)),), **more)  # type: ignore[arg-type]


def keep_cut(writer: RunWriter, cut: Cut, at: float) -> None:
    """Write one, as the first that its recorder gets."""
    buffer = CutBuffer()
    place = buffer.write(CutEncoder().encode(cut).parts)
    CutWriter(writer).commit(ReceivedCut.of({**place, "number": 1, "at": at, "fsync": False}))
    buffer.close()


class Keeper:
    """Both sides, of one incarnation."""

    def __init__(self, folder: Path, incarnation: int = 1) -> None:
        begin = {"workflow": "baozi", "pid": os.getpid(), "at": 1.0, "text": "-"}
        self.folder = folder
        self.writer = RunWriter(folder, begin, incarnation=incarnation)
        self.cuts = CutWriter(self.writer)
        self.encoder = CutEncoder(self.read() if incarnation > 1 else None)
        self.buffer = CutBuffer()
        self.number = 0

    def keep(self, cut: Cut, *, fsync: bool = False) -> None:
        """Write one, with all that goes ahead of it."""
        while not self.step(cut, fsync=fsync):
            pass

    def step(self, cut: Cut, *, fsync: bool = False) -> bool:
        """Write one, or some of it, and say whether it was all."""
        self.number += 1
        encoded = self.encoder.encode(cut)
        place = self.buffer.write(encoded.parts)
        received = ReceivedCut.of({**place, "number": self.number, "at": 1.5, "fsync": fsync})
        try:
            self.cuts.commit(received)
        except BaseException:
            self.encoder.failed()
            raise
        self.encoder.committed()
        return encoded.is_whole

    def lose(self, cut: Cut) -> None:
        """Have one not arrive."""
        self.buffer.write(self.encoder.encode(cut).parts)
        self.encoder.failed()

    def read(self) -> Cut | None:
        with RunView(self.folder) as view:
            return read_cut(view)

    def frames(self) -> int:
        with RunView(self.folder) as view:
            return len(view.rows("SELECT id FROM frame"))

    def close(self) -> None:
        self.writer.close()
        self.buffer.close()


@contextmanager
def keeper(folder: Path | None = None, incarnation: int = 1) -> Iterator[Keeper]:
    with tempfile.TemporaryDirectory() as temporary:
        kept = Keeper(folder or Path(temporary), incarnation)
        try:
            yield kept
        finally:
            kept.close()


class RecordedRun:
    """A run of which there is nothing but its recorder, a real one, and those of the runners after it."""

    def __init__(self, home: Path) -> None:
        self.folder = RunFolder("abcd", home)
        self.folder.write_facts(RunFacts("abcd", "baozi", "baozi.yaml", os.getpid(), time.time()))
        self._made: list[Recorder] = []

    def begin(self, *, at_once: bool = False) -> Recorder:
        recorder = Recorder()
        about = {
            "workflow": "baozi",
            "file": "baozi.yaml",
            "pid": os.getpid(),
            "at": time.time(),
            "text": "-",
        }
        taken = take_up(self.folder) if self._made else None
        self._made.append(recorder)
        recorder.begin(self.folder.path, lambda: (about, None), taken, at_once=at_once)
        self.say(recorder)
        return recorder

    def say(self, recorder: Recorder) -> None:
        """Have something happen."""
        event = WorkerLogged(worker="neo", stage="chef", pid=1, message="x", fields={})
        recorder.observe(event.stamped(time.time(), "abcd"))

    def kept(self) -> Cut | None:
        with RunView(self.folder.path) as view:
            return read_cut(view)

    def kept_at(self) -> float:
        with RunView(self.folder.path) as view:
            last = view.last_cut()
        assert last is not None
        return last.at

    def close(self) -> None:
        for recorder in self._made:
            recorder.finish()


def end_recording(recorder: Recorder, outcome: str = "failed") -> None:
    """Have the run come to an end."""
    recorder.note_end({"outcome": outcome, "exit_code": 1, "reason": None, "stages": [], "queues": []})
    recorder.close()
    recorder.finish()


def wait_until_due(recorder: Recorder) -> None:
    """Wait until the last cut is there, or can't be, and the next is due."""
    deadline = time.monotonic() + 60
    while (now := time.monotonic()) < recorder.cut_due():
        assert now < deadline
        time.sleep(0.002)


def cut_of_bodies(*bodies: bytes) -> Cut:
    """What a run is in whose only queue these wait, each in a frame."""
    return cut_of(*(Frame(body, 1, len(body), place) for place, body in enumerate(bodies)))
