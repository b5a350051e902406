"""The supervisor's side of big items under `leased`: an arena per queue, a part of it per writer, what is needed yet.

PUT_BIG ──► Haul, the payload of a frame in the book ──forgotten by the book──► FREED to its writer
                                                                      └──► writer gone: its part is given up
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runner import memory
from runner.arena import ArenaFile
from runner.bulk import Bulk
from runner.dockets import Docket, is_docket
from runner.errors import StartFailed
from runner.frames import entry, pack_mixed, pack_series
from runner.plan import Plan, WorkerPlan
from runner.transports.leased_freight import Berth, pack_numbers

_SHARE_OF_MEMORY = 4
"""All writers of a run together hold a quarter of the memory, unless single items are bigger than their shares."""
_LEAST_SHARE = 1 << 26


class Haul(bytes):
    """The payload of a frame whose items lie in the arena. Once nobody has it any more, they have come to an end.

    A book forgets a frame when it needs it no more, at the last acknowledgement or wherever else an item ends: so what
    the book does not hold is free, and no list of the ways in which an item may end has to be kept twice.
    """

    file: ArenaFile
    ended: Callable[[], None]

    @classmethod
    def of(cls, body: bytes, file: ArenaFile, ended: Callable[[], None]) -> Haul:
        """Make the payload; `ended` is called when it is forgotten."""
        haul = cls(body)
        haul.file, haul.ended = file, ended
        return haul

    def cut(self, index: int) -> tuple[bytes, Bulk | None]:
        """Return a frame with one item of this one alone, and what of the item lies in the arena. Opens nothing."""
        cut_out = entry(self, index)
        if not is_docket(cut_out):
            return pack_series([cut_out]), None
        docket = Docket.decode(cut_out)
        return pack_mixed([cut_out]), Bulk(self.file.fileno(), docket.at, docket.span, held=self)

    def __del__(self) -> None:
        """Nobody has it any more."""
        self.ended()


def _why(error: OSError) -> str:
    if error.errno == errno.EFBIG:
        return "it counts as a file, and the size of files is limited; `ulimit -f unlimited` takes the limit away"
    return error.strerror or str(error)


@dataclass(slots=True)
class _Part:
    """A part of an arena, and the writer that it was given to."""

    file: ArenaFile
    number: int
    writer: str
    frames: int = 0
    afloat: int = 0
    manned: bool = True


class Docks:
    """Arenas, their parts, and which frames of whom have come to an end."""

    def __init__(self, plan: Plan) -> None:
        """Open nothing."""
        self._writers = max(1, sum(len(queue.writers) for queue in plan.queues))
        self._bounds = {queue.name: queue.max_bytes for queue in plan.queues}
        self._files: dict[str, ArenaFile] = {}
        self._parts: defaultdict[str, int] = defaultdict(int)
        self._manned: dict[str, _Part] = {}
        self._closed = False
        self._pid = os.getpid()
        self.freed: dict[str, list[int]] = {}
        """Frames that have come to an end, by the writer that must be told."""

    def arena(self, queue: str) -> ArenaFile:
        """The arena of a queue. Raises `StartFailed`."""
        if queue not in self._files:
            try:
                self._files[queue] = ArenaFile.create()
            except OSError as error:
                raise StartFailed(f"queue '{queue}': no shared memory could be had: {_why(error)}") from error
        return self._files[queue]

    def berth(self, worker: WorkerPlan) -> Berth:
        """Give a writer that is about to be born a part that nobody has had. Raises `StartFailed`."""
        assert worker.sends is not None
        file = self.arena(worker.sends)
        number = self._parts[worker.sends]
        self._parts[worker.sends] += 1
        self._manned[worker.name] = _Part(file, number, worker.name)
        share = memory.total() // _SHARE_OF_MEMORY // self._writers
        return Berth(file, number, max(_LEAST_SHARE, share), self._bounds[worker.sends], worker.sends)

    def haul(self, writer: str, body: bytes) -> Haul:
        """Take in a frame with big items: the payload that stands for it."""
        part = self._manned[writer]
        number = part.frames
        part.frames += 1
        part.afloat += 1
        return Haul.of(body, part.file, lambda: self._ended(part, number))

    def take_freed(self) -> Iterator[tuple[str, bytes]]:
        """What each writer must be told; once."""
        freed, self.freed = self.freed, {}
        for writer, numbers in freed.items():
            yield writer, pack_numbers(numbers)

    def gone(self, writer: str) -> None:
        """A writer has died: the memory of its part is given up as soon as nobody needs what it had put."""
        part = self._manned.pop(writer, None)
        self.freed.pop(writer, None)
        if part is not None:
            part.manned = False
            self._give_up(part)

    def close(self) -> None:
        """Close every arena."""
        self._closed = True
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _ended(self, part: _Part, number: int) -> None:
        if os.getpid() != self._pid:
            return  # a worker forked from here has copies of what is needed here
        part.afloat -= 1
        if part.manned:
            self.freed.setdefault(part.writer, []).append(number)
        else:
            self._give_up(part)

    def _give_up(self, part: _Part) -> None:
        if not part.afloat and not self._closed:
            part.file.give_up_part(part.number)
