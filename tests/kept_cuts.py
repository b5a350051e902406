"""The whole way of a cut into the record of a run and out of it, in one process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.ledger.ranges import Frame, ItemRange
from runner.ledger.snapshot import PartitionSnapshot, QueueSnapshot
from runner.record.cut_reader import read_cut
from runner.record.cut_writer import CutWriter, ReceivedCut
from runner.record.cuts import CutBuffer, CutEncoder
from runner.record.reader import RunView
from runner.record.writer import RunWriter
from runner.transports.cut import Cut


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
        begin = {"workflow": "baozi", "pid": os.getpid(), "at": 1.0}
        self.folder = folder
        self.writer = RunWriter(folder, begin, incarnation=incarnation)
        self.cuts = CutWriter(self.writer)
        self.encoder = CutEncoder(self.read() if incarnation > 1 else None)
        self.buffer = CutBuffer()
        self.number = 0

    def keep(self, cut: Cut, *, fsync: bool = False) -> None:
        self.number += 1
        place = self.buffer.write(self.encoder.encode(cut).parts)
        received = ReceivedCut.of({**place, "number": self.number, "at": 1.5, "fsync": fsync})
        try:
            self.cuts.commit(received)
        except BaseException:
            self.encoder.failed()
            raise
        self.encoder.committed()

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
