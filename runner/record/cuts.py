"""Cuts on their way to the recorder: what has changed since the last one that it has, and no more often than is cheap.

    Cut ──► CutEncoder ──► head (JSON) │ columns of new frames │ numbers of those gone │ states │ bodies
                           └─ in memory that the recorder opens, as a line tells it ──► committed, or why not

Each cut is complete, so one that is left out loses nothing. A frame travels once: what is written of it stays as long
as any item of it has not come to its end. Frames are told apart by the number that each gets at its first cut, so that
10,000 in a row, as they wait in a queue, are one pair of numbers.
"""

from __future__ import annotations

import json
import math
import os
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, fields, replace
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any

from runner.facts import dataclass
from runner.ipc.frames import size_in_record
from runner.ipc.messages import DeliveryAttempt
from runner.ledger.ranges import Frame, ItemRange
from runner.ledger.snapshot import ParkedItems, PartitionSnapshot, QueueSnapshot
from runner.spec.obstacles import Reached
from runner.transports.cut import Cut, WriterCut
from runner.transports.leased.big_items import SharedFrame

_COLUMNS = tuple(map(attrgetter, ("number", "count", "size", "first")))
"""Of new frames, one column behind the other; the bytes of each are the last one."""
LONGEST_PAUSE = 10.0
"""Seconds between two cuts at the most, and after one that could not be kept."""
_SHARE = 20
"""One cut may cost the supervisor, or the recorder, this part of the time."""
_FIRST = 0.25
"""Seconds until the first: many runs are over by then, and their database is not made before."""
_QUICKEST = 0.01
"""Seconds between two where somebody waits for one."""
_LOOK = 0.005
"""Seconds between two looks for the answer of the recorder then."""
_KEPT_BUFFER = 8 << 20
"""Bytes of memory that stay between two cuts."""
_MOST_AT_ONCE = 64 << 20
"""Bytes of frames: so much more memory than the run itself a cut may take."""
_MOST_PARTS = 1024
"""That one system call writes."""
QUEUE, WRITER, STATE, INPUT = "queue", "writer", "state", "input"
_attempt = attrgetter(*(each.name for each in fields(DeliveryAttempt)))
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class EncodedCut:
    """What has changed. The parts lie one behind the other; the first of them says what the others are."""

    parts: Sequence[Any]
    held: Sequence[Frame] = ()
    """Frames whose bytes are elsewhere, and must stay there until the recorder has read them."""
    is_whole: bool = True
    """Whether it is the cut; else frames that go ahead of it."""
    is_news: bool = True
    """Whether the recorder does not have all of it already."""


@dataclass(frozen=True, slots=True)
class CutPace:
    """How often cuts are wanted, and how sure they must be."""

    every: float = 0.1
    """Seconds."""
    fsync: bool = False
    """Whether they must outlast the machine's end, and not only the runner's."""
    at_once: bool = False
    """Whether the first is written before the run has done anything; else only where the run is not over soon."""

    @property
    def first(self) -> float:
        """Seconds until the first can be expected to be written."""
        return 0.0 if self.at_once else max(self.every, _FIRST)

    def pause(self, cost: float) -> float:
        """Return the seconds between two cuts that each cost so many."""
        return min(max(self.every, _SHARE * cost), max(self.every, LONGEST_PAUSE))

    def least_pause(self, cost: float) -> float:
        """Return the seconds between them where somebody waits for the next."""
        return min(max(_QUICKEST, _SHARE * cost), LONGEST_PAUSE)


@dataclass(slots=True)
class _Known:
    """What the recorder has, or is being sent."""

    frames: set[int] = field(default_factory=set)
    unplaced: dict[int, int] = field(default_factory=dict)
    """Frames that may be given another place yet, with that which was told."""
    small: dict[_Key, object] = field(default_factory=dict)
    """Accounts, writers and states."""
    told: dict[str, Any] = field(default_factory=dict)
    """What stands in each cut anew."""


class CutEncoder:
    """Knows what the recorder has."""

    def __init__(self, cut: Cut | None = None) -> None:
        """`cut` is the one that the run goes on from: its frames are in the record."""
        frames = [] if cut is None else [f for queue in cut.queues for f in queue.frames().values()]
        self._written = _Known({frame.number for frame in frames} - {0})
        self._sent = _Known()
        self._last = max(self._written.frames, default=0)
        """The number that was given last."""
        self._first: int | None = self._last
        """Until the first is written: frames with greater numbers in the record belong to no cut, and are to go."""
        self._frames: dict[int, Frame] = {}
        """Those of the cut that is being encoded."""

    def encode(self, cut: Cut) -> EncodedCut:
        """Return what the recorder does not have of a cut. What becomes of it is told by `committed` or `failed`.

        Where that is much, only some of the new frames go ahead: the rest is for the cuts that follow.
        """
        queues = {queue.queue: self._queue(queue) for queue in cut.queues}
        frames, self._frames = self._frames, {}
        new = [frames[number] for number in sorted(frames.keys() - self._written.frames)]
        ahead = _as_many_as_fit(new)
        unplaced = _unplaced(cut)
        if len(ahead) < len(new):
            numbers = {frame.number for frame in ahead}
            told = {number: first for number, first in unplaced.items() if number in numbers}
            self._sent = replace(
                self._written, frames=self._written.frames | numbers, unplaced=self._written.unplaced | told
            )
            return _encoded({"ahead": True, "upto": self._first}, ahead)
        self._sent = _Known(set(frames), unplaced, _small(cut, queues), _told(cut))
        fresh = {key: value for key, value in self._sent.small.items() if self._is_fresh(key, value)}
        states = {key: value for key, value in fresh.items() if isinstance(value, bytes)}
        gone = array("q", sorted(self._written.frames - self._sent.frames))
        head = {
            **_sums(cut),
            "upto": self._first,
            "told": self._sent.told,
            "queues": [[name, text if (QUEUE, name) in fresh else None] for name, text in queues.items()],
            "writers": [_writer(each, fresh=(WRITER, each.worker) in fresh) for each in cut.writers],
            "kept": [[kind, name] for kind, name in self._sent.small if kind in (STATE, INPUT)],
            "states": [[*key, len(value)] for key, value in states.items()],
            "places": [
                [number, frames[number].first]
                for number, told in self._written.unplaced.items()
                if number in frames and frames[number].first != told
            ],
        }
        return replace(_encoded(head, new, gone, states.values()), is_news=self._sent != self._written)

    def committed(self) -> None:
        """The recorder has the last one."""
        self._written, self._sent = self._sent, _Known()
        self._first = None

    def failed(self) -> None:
        """It has not, and is where it was; of what is small it is told all once more."""
        self._written.small = {}

    def _is_fresh(self, key: _Key, value: object) -> bool:
        known = self._written.small.get(key)
        return known is not value and known != value

    def _queue(self, queue: QueueSnapshot) -> str:
        told = {
            "offered": queue.offered,
            "turned_away": queue.turned_away,
            "dead_at_once": queue.dead_at_once,
            "in_hand": queue.in_hand,
            "expected": queue.expected,
            "partitions": [self._partition(each) for each in queue.partitions],
            "parked": self._parked(queue.parked),
            "held": [[each.first, each.next, self._parked(each.outputs)] for each in queue.held],
        }
        return json.dumps(told)

    def _partition(self, partition: PartitionSnapshot) -> dict[str, Any]:
        return {
            "waiting": self._ranges(partition.waiting),
            "delayed": [[each.seconds, *self._ranges([each.item_range])] for each in partition.delayed],
            "put": partition.put,
            "done": partition.done,
            "dropped": partition.dropped,
            "dead_lettered": partition.dead_lettered,
        }

    def _parked(self, parked: Iterable[ParkedItems]) -> list[Any]:
        return [[each.writer, each.owed, each.shard, *self._ranges([each.item_range])] for each in parked]

    def _ranges(self, ranges: Iterable[ItemRange]) -> list[list[Any]]:
        """Write ranges: `[n, k]` for frames n to n + k that wait whole, any other with all that is known of it.

        There may be 100,000, ten times a second.
        """
        written: list[list[Any]] = []
        frames, expected = self._frames, -1
        for each in ranges:
            frame = each.frame
            number = frame.number or self._give_number(frame)
            frames[number] = frame
            if each.stop - each.start != frame.count or each.attempt != 1 or each.partial or each.history:
                written.append(_range(each))
                expected = -1
            elif number == expected:
                expected += 1
                written[-1][1] += 1
            else:
                written.append([number, 1])
                expected = number + 1
        return written

    def _give_number(self, frame: Frame) -> int:
        self._last += 1
        frame.number = self._last
        return frame.number


def _as_many_as_fit(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Return the first of them that are not too much at once."""
    ends = list(accumulate(size_in_record(frame.payload) for frame in frames))
    return (
        frames
        if not ends or ends[-1] <= _MOST_AT_ONCE
        else frames[: max(1, bisect_right(ends, _MOST_AT_ONCE))]
    )


def _encoded(
    head: Mapping[str, Any],
    new: Sequence[Frame],
    gone: array[int] | None = None,
    states: Iterable[bytes] = (),
) -> EncodedCut:
    """Put the parts one behind the other."""
    big = [frame for frame in new if isinstance(frame.payload, SharedFrame)]
    gone = gone or array("q")
    told = {
        **head,
        "frames": len(new),
        "gone": len(gone),
        "bulk": _by_memory(big),
    }
    bodies = [frame.payload for frame in new]
    columns = [array("q", map(column, new)).tobytes() for column in _COLUMNS]
    lengths = array("q", map(len, bodies)).tobytes()
    text = json.dumps(told).encode()
    parts = (text, *columns, lengths, gone.tobytes(), *states, *bodies)
    return EncodedCut(parts, big, is_whole="ahead" not in head)


def _by_memory(frames: Iterable[Frame]) -> list[tuple[list[int], list[int]]]:
    """Name the memory that big items lie in, and the frames that have some in it."""
    found: dict[int, list[int]] = {}
    for frame in frames:
        found.setdefault(frame.payload.file.fileno(), []).append(frame.number)
    return [(named_memory(descriptor), numbers) for descriptor, numbers in found.items()]


def _range(each: ItemRange) -> list[Any]:
    return [
        each.frame.number,
        each.start,
        each.stop,
        each.attempt,
        each.partial,
        list(map(_attempt, each.history)),
    ]


def _unplaced(cut: Cut) -> dict[int, int]:
    """Name the frames that are in no queue yet, where they will get their places."""
    outside = chain.from_iterable(
        chain(queue.parked, *(stretch.outputs for stretch in queue.held)) for queue in cut.queues
    )
    return {each.item_range.frame.number: each.item_range.frame.first for each in outside}


def _small(cut: Cut, queues: Mapping[str, str]) -> dict[_Key, object]:
    found: dict[_Key, object] = {
        (QUEUE, name): (place, text) for place, (name, text) in enumerate(queues.items())
    }
    found |= {(WRITER, each.worker): (place, each) for place, each in enumerate(cut.writers)}
    found |= {(STATE, name): state for name, state in cut.states.items()}
    found |= {(INPUT, name): files for name, files in cut.inputs.items()}
    return found


def _sums(cut: Cut) -> dict[str, int]:
    """Say how much is left, by the accounts: to look at each range once more would cost as much as all the rest."""
    accounts = [each for queue in cut.queues for each in queue.partitions]
    left = sum(each.put - each.done - each.dropped - each.dead_lettered for each in accounts)
    outside = chain.from_iterable(
        chain(queue.parked, *(stretch.outputs for stretch in queue.held)) for queue in cut.queues
    )
    return {"unfinished": left + sum(len(each.item_range) for each in outside), "in_hand": cut.in_hand}


def _told(cut: Cut) -> dict[str, Any]:
    return {
        "ended": sorted(cut.ended),
        "closed": sorted(cut.closed),
        "added": dict(cut.added),
        "letters": dict(cut.letters),
    }


def _writer(writer: WriterCut, *, fresh: bool) -> list[Any]:
    if not fresh:
        return [writer.worker]
    samples = [[each.index, each.pickled.hex(), each.shown] for each in writer.samples]
    return [writer.worker, writer.put, writer.start, writer.place.hex(), samples]


class CutBuffer:
    """Memory in which a cut lies for the recorder, which opens it by our pid and its number."""

    def __init__(self) -> None:
        """Raises OSError where there is no descriptor left."""
        self._fd = os.memfd_create("mprun-cut", os.MFD_CLOEXEC)

    def write(self, parts: Sequence[Any]) -> dict[str, Any]:
        """Put the parts there, one behind the other; return where that is. Raises OSError where memory is short."""
        at = 0
        for begin in range(0, len(parts), _MOST_PARTS):
            at += _write_all(self._fd, parts[begin : begin + _MOST_PARTS], at)
        return {"memory": named_memory(self._fd), "bytes": at, "head": len(parts[0])}

    def shrink(self) -> None:
        """Give back what a big one took."""
        if os.fstat(self._fd).st_size > _KEPT_BUFFER:
            os.ftruncate(self._fd, _KEPT_BUFFER)

    def close(self) -> None:
        """Nobody reads it any more."""
        os.close(self._fd)


def named_memory(descriptor: int) -> list[int]:
    """Say how another process of ours finds shared memory, and that it is the same: a number is soon another file's."""
    return [os.getpid(), descriptor, os.fstat(descriptor).st_ino]


def _write_all(descriptor: int, parts: Sequence[Any], at: int) -> int:
    size = sum(map(len, parts))
    done = os.pwritev(descriptor, parts, at)
    if done < size:  # more than 2 GiB at once
        rest = memoryview(b"".join(parts))[done:]
        while rest:
            written = os.pwrite(descriptor, rest, at + done)
            done, rest = done + written, rest[written:]
    return size


class CutSender:
    """When the next cut is due, and which is on its way: one at a time, so that a recorder that is slow, or stopped,
    makes them rarer and holds up nothing."""

    def __init__(self, send: Callable[[Mapping[str, Any]], None], pace: CutPace, cut: Cut | None) -> None:
        """`send` says a line to the recorder; `cut` is the one that the run goes on from."""
        self._send = send
        self._pace = pace
        self._encoder = CutEncoder(cut)
        self._buffer: CutBuffer | None = None
        self._superseded: CutBuffer | None = None
        self._number = 0
        self._held: Sequence[Frame] = ()
        self._cost = 0.0
        """Seconds that the one under way has cost so far, with what has gone ahead of it."""
        self._sent_whole = True
        self._began = time.monotonic()
        self._first = self._began + pace.first
        self.due = max(self._first, self._began + pace.every)
        """When the next one is wanted, or the answer to the last one is to be looked for."""
        self.soon = self._began
        """The same where somebody waits for it."""
        self.kept: Sequence[WriterCut] = () if cut is None else cut.writers
        """How far producers are by the last one that is kept."""
        self.kept_at: float | None = None
        """When that was sent, in seconds since the epoch; None where it was an earlier runner's."""
        self.is_under_way = False
        self.trouble: str | None = None
        """Why the last one could not be kept."""
        self.reached = None if cut is None else cut.reached
        """How far the run was at the cut that somebody could go on from, be it an old one; None where there is none."""
        self._now: tuple[Reached | None, Sequence[WriterCut], float | None] = self.reached, self.kept, None
        """All three, of the one under way."""

    def cut(self, cut: Cut, began: float) -> bool:
        """Send one; `began` is when it was begun to be taken. None may be under way.

        What the recorder has already is sent once more only when the one that it has looks old. Return whether all of
        it is there or on its way: else frames have gone ahead, or nothing could.
        """
        encoded = self._encoder.encode(cut)
        if not encoded.is_news and began < self._began + LONGEST_PAUSE:
            self.due = began + self._pace.every
            self.soon = began + self._pace.least_pause(time.monotonic() - began)
            return True
        self._number += 1
        try:
            self._buffer = self._buffer or CutBuffer()
            place = self._buffer.write(encoded.parts)
        except OSError as error:
            self._failed(f"there is no memory for it: {error.strerror or error}")
            return False
        self._held, self.is_under_way, self._began = encoded.held, True, began
        at = time.time()
        self._now = cut.reached, cut.writers, at
        self._send({"cut": {**place, "number": self._number, "at": at, "fsync": self._pace.fsync}})
        self._sent_whole = encoded.is_whole
        self._count_cost(time.monotonic() - began)
        return encoded.is_whole

    def _count_cost(self, seconds: float) -> None:
        """What goes ahead of a cut is part of its cost, and the pause comes behind the cut."""
        self._cost += seconds
        pause = self._pace.pause(self._cost) if self._sent_whole else self._pace.every
        self.due = max(self.due, self._began + pause)
        least = self._pace.least_pause(self._cost if self._sent_whole else 0.0)
        self.soon = max(self.soon, self._began + least)

    def heard(self, answer: Mapping[str, Any]) -> None:
        """The recorder says what became of the one under way."""
        self.is_under_way, self._held = False, ()
        if self._buffer is not None:
            self._buffer.shrink()
        if "committed" in answer:
            self._encoder.committed()
            self._count_cost(answer["seconds"])
            self.trouble = None
            if self._sent_whole:
                self._cost = 0.0
                if answer["committed"] == self._number:  # else it was superseded, and this one may yet fail
                    self.reached, self.kept, self.kept_at = self._now
        else:
            self._failed(str(answer["why"]))

    @property
    def has_begun(self) -> bool:
        """Whether the database is there by now, or should be."""
        return time.monotonic() >= self._first

    def look_again(self, now: float) -> None:
        """There is no answer yet."""
        self.soon = now + _LOOK
        if now >= self.due:
            self.due = now + self._pace.every / 2

    def supersede(self) -> None:
        """
        Take back the one under way, of which nothing is written: another takes its place.

        Only the first can be taken back. Should the recorder be about to write it all the same, then from memory that
        stays as it was, and with the next one it removes what came of it.
        """
        if self.is_under_way:
            self._superseded, self._buffer = self._buffer, None
            self.is_under_way = False
            self._encoder.failed()

    def close(self) -> None:
        """No more are kept."""
        self.is_under_way, self._held = False, ()
        self.due = self.soon = math.inf
        for buffer in filter(None, (self._buffer, self._superseded)):
            buffer.close()
        self._buffer = self._superseded = None

    def _failed(self, why: str) -> None:
        self._encoder.failed()
        self.trouble = why
        self.due = self.soon = time.monotonic() + LONGEST_PAUSE
