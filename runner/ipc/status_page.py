"""The status page: one page of shared memory per worker, where each word has exactly one writer, so nothing is locked.

    worker writes      received sent done failed retried busy starved blocked item…  supervisor reads, also after a kill
                       how many items of which length, and the slowest
    supervisor writes  stop end revoked recalled committed                            worker reads at each item
                       how many items to show                                         worker reads at each frame

A store of one aligned 64-bit word is not torn on the machines Python runs on. The pages of all workers lie in one file
(`ipc/status_pages.py`). The stacks of a worker that overruns `faulthandler` leaves in a file of the worker's own.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import IntEnum
from functools import partial
from itertools import compress
from typing import Any, Final, NamedTuple, TypedDict

from runner.events.item_times import BUCKETS, NO_TIMES, ItemTimes, bucket_of
from runner.facts import dataclass
from runner.ipc.descriptors import by_duplicate
from runner.ipc.mappings import map_over

PAGE = 4096
STACKS_SIGNAL = signal.SIGUSR2
_AT_WORK = 1 << 62
"""What the word BUSY holds beside nanoseconds while its worker is at work: see `StatusPage.begin_work`."""
_RUNNING = _AT_WORK >> 1
"""More than any time that was counted, and less than what the word holds then."""
_ITEM_AT = 256
_ITEM_ROOM = 512
_PLACE = 32
"""Bits of the word ITEM that say how long the text is; those above them, where in its room it begins."""
_SLOWEST_AT = _ITEM_AT + _ITEM_ROOM
"""Where the name of the slowest item is, which has as much room."""
_TIMES = PAGE // 8 - BUCKETS
"""The first of the words that count items by how long they took."""
_STACKS = "mprun-stacks"
_NO_ITEM = (1 << 64) - 1
"""Stands in the mark for no item at all."""
_STACKS_MOST = 65536
_PID_AT = 32
STRETCH = 1_000_000
"""Nanoseconds of quick items that are counted together."""


class Word:
    """Where each 64-bit word is in the page. No enumeration: to look a member up takes three times as long."""

    STOP: Final = 0
    END: Final = 1
    RECEIVED: Final = 2
    SENT: Final = 3
    DONE: Final = 4
    FAILED: Final = 5
    BUSY: Final = 6
    STARVED: Final = 7
    BLOCKED: Final = 8
    ITEM: Final = 9
    MARK: Final = 10
    ATTEMPT: Final = 11
    WAITING: Final = 12
    WAITING_SINCE: Final = 13
    LEASE: Final = 14
    REVOKED: Final = 15
    IN_HAND: Final = 16
    """Items of the batch in hand, or those that a handler which drives its queue has taken and not acknowledged."""
    SPLIT: Final = 17
    HOLDS: Final = 18
    RETRIED: Final = 19
    READ: Final = 20
    TO_READ: Final = 21
    SLOWEST: Final = 22
    SLOWEST_ITEM: Final = 23
    COMMITTED: Final = 24
    """Items of a producer that are in a kept cut, once it has asked."""
    AWAITED: Final = 25
    """How many of them it waits for; 0 for none."""
    STACKS: Final = 26
    """Where `faulthandler` leaves stacks: the number of the worker's process, and below it that of its descriptor."""
    HEEDS: Final = 27
    """Whether a reader says what it begins, and begins nothing that is recalled: the three words below."""
    ENDED: Final = 28
    """So many of the items that it was handed, in the order in which it was, are out of its hands."""
    BEGUN: Final = 29
    """So many of them it has begun, or will once it has seen that they are not recalled."""
    RECALLED: Final = 30
    """From the supervisor: of so many of them, it is to begin no more than it has."""
    OLDEST: Final = 31
    """In a worker that has several items in hand, each done by itself: when the oldest was begun; 0 for none."""
    # Behind the texts, as there is no room before them.
    SHOW_TAKEN: Final = 160
    """From the supervisor: so many of the items that it takes it may have shown in all; 0: none, nobody looks."""
    SHOW_MADE: Final = 161
    """And so many of those that it makes."""
    SHOWN_TAKEN: Final = 162
    """So many it has shown."""
    SHOWN_MADE: Final = 163


A_BATCH = "a batch of"
"""What the text begins with that a worker shows of its items in hand, where these are several."""


class StopRequest(IntEnum):
    """What the word STOP asks of a worker."""

    NOTHING = 0
    PRODUCING = 1
    """A producer ends at its next put."""
    WAITING = 2
    """And no worker takes another item, or waits for room or for a queue to be joined: its readers close too."""


class Wait(IntEnum):
    """What a worker waits for at a queue, or at a lock, while it does; `NOTHING` is being at work."""

    NOTHING = 0
    ITEM = 1
    ROOM = 2
    JOIN = 3
    LOCK = 4
    RATE = 5
    """The stage has had as many items as its `rate` allows."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a page shows of how far its worker is. Two that are equal: nothing has moved between them. Seconds."""

    received: int = 0
    sent: int = 0
    done: int = 0
    failed: int = 0
    """Attempts that failed, whether or not the item is tried again."""
    mark: int = 0
    waiting: Wait = Wait.NOTHING
    waiting_since: float = 0.0
    """By `time.monotonic`, which all processes share."""
    waited: float = 0.0
    """Time spent waiting, without the wait that goes on."""
    read: int = 0
    """How far a source has come in what there is for it: bytes, or items."""
    to_read: int = 0
    """How much that is; 0 where it is not known."""
    oldest: float | None = None
    """When the oldest of several items was begun that are in hand side by side, by `time.monotonic`."""


class ItemCounts(NamedTuple):
    """What a worker has done, in items alone."""

    received: int
    sent: int
    done: int
    failed: int
    """Items that have failed for good."""


class Sighting(NamedTuple):
    """What a page shows somebody who looks on: what was counted, but for how long items took, and what it is at."""

    received: int = 0
    sent: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    busy: float = 0.0
    starved: float = 0.0
    blocked: float = 0.0
    """Seconds, as in `Counters`, with what goes on."""
    at_work: bool = False
    waiting: Wait = Wait.NOTHING
    hand: tuple[int, ...] = ()
    """Tells items in hand apart: two that are equal are of one item."""
    item: str = ""
    """What is in hand, where it has a name; else empty."""
    oldest: float | None = None
    """As in `Pulse`."""

    @property
    def counted(self) -> tuple[float, ...]:
        """What was counted, in the order of the fields of `CounterFields`."""
        counted: tuple[Any, ...] = self[:_COUNTED]
        return counted

    def with_counted(self, counted: Iterable[float]) -> Sighting:
        """Return the same with other counts, in the same order."""
        whole: tuple[Any, ...] = (*counted, *self[_COUNTED:])
        return Sighting(*whole)


_COUNTED = 8


class CounterFields(TypedDict):
    """`Counters` as events have them."""

    received: int
    sent: int
    done: int
    failed: int
    retried: int
    busy: float
    starved: float
    blocked: float


@dataclass(frozen=True, slots=True)
class Counters:
    """A snapshot of what a worker has done. Times in seconds."""

    received: int = 0
    sent: int = 0
    done: int = 0
    failed: int = 0
    """Items that have failed for good."""
    retried: int = 0
    """Attempts that failed and are followed by another."""
    busy: float = 0.0
    starved: float = 0.0
    blocked: float = 0.0
    times: ItemTimes = NO_TIMES
    """How long items took."""

    @property
    def unacknowledged(self) -> int:
        """Items that were taken, and of which nothing was said."""
        return self.received - self.done - self.failed - self.retried

    @classmethod
    def total(cls, several: Iterable[Counters]) -> Counters:
        """Add up the counters of several workers."""
        all_ = list(several)
        names = [name for name in cls.__slots__ if name != "times"]
        sums: dict[str, Any] = {name: sum(getattr(each, name) for each in all_) for name in names}
        return cls(**sums, times=ItemTimes.total(each.times for each in all_))

    @classmethod
    def summed(cls, counted: Iterable[tuple[float, ...]], times: ItemTimes = NO_TIMES) -> Counters:
        """Add up what several workers have counted, each in the order of the fields."""
        sums: list[Any] = [*map(sum, zip(*counted, strict=True))]
        return replace(cls(*sums), times=times)

    def as_fields(self) -> CounterFields:
        """The counters under the names that events use."""
        return CounterFields(
            received=self.received,
            sent=self.sent,
            done=self.done,
            failed=self.failed,
            retried=self.retried,
            busy=self.busy,
            starved=self.starved,
            blocked=self.blocked,
        )


class StatusPage:
    """One worker's page. Made by the supervisor; the worker gets it by fork, or by its descriptor under spawn."""

    def __init__(self, descriptor: int, offset: int = 0, among: memoryview | None = None) -> None:
        """
        Map the page at `offset` of the file behind `descriptor`, which is owned from now on; -1 is a page that nobody
        else can have. `among` is where it is mapped already: that, and the descriptor, are somebody else's then.
        """
        self._fd, self.offset = descriptor, offset
        self._own = None
        if among is None:
            self._own = mmap.mmap(descriptor, PAGE, offset=offset)
            among = memoryview(self._own)
        self._memory = among
        self._stopped = 0
        """When the worker was found dead, by the clock of `show_wait`; 0 while it lives. Only its supervisor knows."""
        self._counted = 0
        """Nanoseconds that were busy before the work that goes on; only the worker knows, as also what follows."""
        self._is_paused = False
        """Whether that work goes on once a wait is over."""
        self._name = ""
        """The item that was named last and has not been counted; only the worker knows, as also what follows."""
        self._slowest = 0
        self._quick = self._quick_nanos = 0
        """Quick items that have not been counted yet, and what they took."""
        self.words = self._memory.cast("Q")

    @classmethod
    def shared(cls) -> StatusPage:
        """Make a page for a worker in another process. Raises OSError if there is no descriptor left."""
        descriptor = os.memfd_create("mprun-status", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, PAGE)
            return cls(descriptor)
        except OSError:  # mapping it takes one more descriptor
            os.close(descriptor)
            raise

    @classmethod
    def private(cls) -> StatusPage:
        """Make a page for a worker in this process."""
        return cls(-1)

    def __reduce__(self) -> tuple[Callable[..., StatusPage], tuple[Any, ...]]:
        return by_duplicate(partial(StatusPage, offset=self.offset), self._fd)

    def add(self, word: int, amount: int = 1) -> None:
        """Raise a word that this process alone writes."""
        self.words[word] += amount

    def mark(self, lease: int, index: int) -> None:
        """Mark which item is in hand. In this order: in between the page names none, whatever lease it names."""
        self.unmark()
        self.words[Word.LEASE] = lease
        self.words[Word.MARK] = index

    def unmark(self) -> None:
        """Mark that none is."""
        self.words[Word.MARK] = _NO_ITEM

    def set_item(self, text: str) -> None:
        """Note the item in hand, so that its name survives the worker; an empty text means none."""
        words = self.words
        words[Word.ITEM] = 0
        if text:
            self._name = text
            raw = text.encode("utf-8", "replace")[:_ITEM_ROOM]
            size = len(raw)
            self._memory[_ITEM_AT : _ITEM_AT + size] = raw
            words[Word.ITEM] = size

    def set_items(self, texts: Sequence[str]) -> list[int]:
        """Note items that will be in hand one after the other, as many as there is room for, one at the least.

        Returns what to write into the word ITEM for each while it is in hand. None is until then.
        """
        self.words[Word.ITEM] = 0
        shown, parts, at = [], [], 0
        for text in texts:
            raw = text.encode("utf-8", "replace")[:_ITEM_ROOM]
            if at + len(raw) > _ITEM_ROOM:
                break
            shown.append(at << _PLACE | len(raw))
            parts.append(raw)
            at += len(raw)
        self._memory[_ITEM_AT : _ITEM_AT + at] = b"".join(parts)
        return shown

    @property
    def item(self) -> str:
        """The item in hand; empty if none."""
        word = self.words[Word.ITEM]
        return self._read(_ITEM_AT + (word >> _PLACE), word & (1 << _PLACE) - 1)

    def _write(self, text: str, at: int) -> int:
        raw = text.encode("utf-8", "replace")[:_ITEM_ROOM]
        self._memory[at : at + len(raw)] = raw
        return len(raw)

    def _read(self, at: int, length: int) -> str:
        # A long text was cut at a byte, perhaps in the middle of a character.
        return bytes(self._memory[at : at + min(length, _ITEM_ROOM)]).decode("utf-8", "ignore")

    def count_items(self, count: int, nanos: int) -> None:
        """Count items that took so long together, as if each had taken as long as the others."""
        if count > 0:
            self.words[_TIMES + bucket_of(nanos // count)] += count
            if count == 1:
                name, self._name = self._name, ""
                if nanos > self._slowest:
                    self._note_slowest(nanos, name)

    def _note_slowest(self, nanos: int, name: str) -> None:
        self._slowest = nanos
        self.words[Word.SLOWEST_ITEM] = 0
        self.words[Word.SLOWEST] = nanos
        self.words[Word.SLOWEST_ITEM] = self._write(name, _SLOWEST_AT)

    def count_each(self, times: Sequence[int], names: Sequence[str]) -> None:
        """Count items by what each took. The others of `names`, which are in the same order, are not counted yet."""
        words = self.words
        for nanos in times:
            words[_TIMES + bucket_of(nanos)] += 1
        slowest = max(times)
        if slowest > self._slowest:
            self._note_slowest(slowest, names[times.index(slowest)])
        if len(names) == len(times):
            self._name = ""

    def count_item(self, nanos: int) -> None:
        """Count one item, a quick one together with others: for loops that measure each."""
        if nanos >= STRETCH:
            self.count_items(1, nanos)
            return
        self._quick += 1
        self._quick_nanos += nanos
        if self._quick_nanos >= STRETCH:
            self.count_quick()

    def count_stretch(self, count: int, nanos: int, last: int) -> None:
        """Count items that took `nanos` together, and the last of them `last`: a slow one by itself."""
        if last < STRETCH:
            self.count_items(count, nanos)
            return
        self.count_items(count - 1, nanos - last)
        self.count_items(1, last)

    def count_quick(self) -> None:
        """Count the quick items that have gathered: there are no more."""
        count, nanos = self._quick, self._quick_nanos
        self._quick = self._quick_nanos = 0
        self.count_items(count, nanos)

    def _times(self) -> ItemTimes:
        counts = self.words[_TIMES : _TIMES + BUCKETS].tolist()
        # A thousand pages may be read several times a second, and most of these words hold nothing.
        some = dict(zip(compress(range(BUCKETS), counts), filter(None, counts), strict=True))
        name = self._read(_SLOWEST_AT, self.words[Word.SLOWEST_ITEM])
        return ItemTimes(some, self.words[Word.SLOWEST] / 1e9, name)

    def counters(self) -> Counters:
        """Read what the worker has done so far. Work or a wait that goes on counts up to now, or up to its death."""
        return Counters.summed([self.sighting().counted], self._times())

    def sighting(self) -> Sighting:
        """Read what the worker has done and is at: a third of what `counters` costs."""
        words = self.words
        now = self._stopped or time.perf_counter_ns()
        waiting, since = words[Word.WAITING], words[Word.WAITING_SINCE]
        received, sent, done, failed, busy, starved, blocked, named, mark = words[
            Word.RECEIVED : Word.ATTEMPT
        ]
        at_work = busy >= _RUNNING
        if at_work:
            busy = max(0, busy - _AT_WORK + now)
        elif waiting == Wait.ITEM:
            starved += max(0, now - since)
        elif waiting != Wait.NOTHING:
            blocked += max(0, now - since)
        retried = words[Word.RETRIED]
        return Sighting(
            *(received, sent, done, failed, retried),
            *(busy / 1e9, starved / 1e9, blocked / 1e9),
            at_work,
            _WAITS.get(waiting, Wait.NOTHING),
            (words[Word.LEASE], mark, named, received, done + failed + retried),
            self.item if named else "",
            words[Word.OLDEST] / 1e9 or None,
        )

    def counts(self) -> ItemCounts:
        """Read how many items there were: a small part of `counters`, for who looks often."""
        return ItemCounts(*self.words[Word.RECEIVED : Word.BUSY])

    def busy_at(self, now: int) -> int:
        """Return the nanoseconds that were busy up to `now`, by `perf_counter_ns`. For the worker itself."""
        busy: int = self.words[Word.BUSY]
        return busy - _AT_WORK + now if busy >= _RUNNING else busy

    def begin_work(self) -> None:
        """Count the time from now on as busy, but for what the worker waits, until `end_work`.

        Meanwhile the word holds what was counted before, less the moment: a single store, which is never torn.
        """
        self._counted = self.words[Word.BUSY]
        self._is_paused = True
        self.resume_work()

    def end_work(self) -> int:
        """Count what has begun, up to now; return it in nanoseconds."""
        self.pause_work()
        self._is_paused = False
        nanos: int = self.words[Word.BUSY] - self._counted
        return nanos

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count what is done meanwhile as busy."""
        self.begin_work()
        try:
            yield
        finally:
            self.end_work()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Count nothing of what passes meanwhile as busy: a wait that is not shown."""
        self.pause_work()
        try:
            yield
        finally:
            self.resume_work()

    def stop_clock(self) -> None:
        """Called once the worker is dead: whatever it was at has ended now."""
        self._stopped = time.perf_counter_ns()
        if self.words[Word.BUSY] >= _RUNNING:
            self.words[Word.BUSY] += self._stopped - _AT_WORK

    def pause_work(self) -> None:
        """Count as busy what has begun, and nothing until `resume_work`; where nothing has, neither does anything."""
        if self.words[Word.BUSY] >= _RUNNING:
            self.words[Word.BUSY] += time.perf_counter_ns() - _AT_WORK
            self._is_paused = True

    def resume_work(self) -> None:
        """Go on counting what was paused."""
        if self._is_paused:
            self._is_paused = False
            self.words[Word.BUSY] += _AT_WORK - time.perf_counter_ns()

    def show_wait(self, why: Wait) -> int:
        """Show that the worker waits from now on, or that it no longer does; return now, in nanoseconds.

        It is not busy meanwhile.
        A wait that is over is counted before it is shown to be over: read the other way round, the time would seem to
        have been spent at work.
        """
        now = time.perf_counter_ns()
        self.words[Word.WAITING_SINCE] = now
        self.words[Word.WAITING] = why
        if why is Wait.NOTHING:
            self.resume_work()
        else:
            self.pause_work()
        return now

    def pulse(self) -> Pulse:
        """Read how far the worker is. What it waits for is read first: see `show_wait`."""
        words = self.words
        waiting, since = words[Word.WAITING], words[Word.WAITING_SINCE]
        received, sent, done, failed, _, starved, blocked, _, mark = words[Word.RECEIVED : Word.ATTEMPT]
        return Pulse(
            received,
            sent,
            done,
            failed + words[Word.RETRIED],
            mark,
            _WAITS.get(waiting, Wait.NOTHING),
            since / 1e9,
            (starved + blocked) / 1e9,
            words[Word.READ],
            words[Word.TO_READ],
            words[Word.OLDEST] / 1e9 or None,
        )

    def become_private(self) -> None:
        """Called in a process that the worker forked: what it writes from now on, nobody else sees."""
        map_over(self._memory, mmap.MAP_PRIVATE, self._fd, self.offset)

    def dump_stacks_on_signal(self) -> None:
        """Called in the worker: leave the stacks of all threads in a file of its own when `STACKS_SIGNAL` comes.

        Raises OSError if there is no descriptor left.
        """
        file = os.memfd_create(_STACKS, os.MFD_CLOEXEC)
        faulthandler.register(STACKS_SIGNAL, file=file, all_threads=True)
        self.words[Word.STACKS] = os.getpid() << _PID_AT | file

    def open_stacks(self) -> int | None:
        """Open what the worker's `faulthandler` writes to, for `read_stacks`; None where there is no such file.

        The worker may end then, and what it has left can still be read.
        """
        pid, descriptor = divmod(self.words[Word.STACKS], 1 << _PID_AT)
        path = f"/proc/{pid}/fd/{descriptor}"
        try:
            # If it is another file by now, the handler has closed what it had not opened.
            is_it = _STACKS in os.readlink(path)  # noqa: PTH115 - pathlib is slow to import
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC) if is_it else None
        except OSError:  # it has not come so far
            return None

    def fileno(self) -> int:
        """The descriptor behind the page."""
        return self._fd

    def close(self) -> None:
        """Give the page back. Counters must not be read after this."""
        self.words.release()
        self._memory.release()
        if self._own is not None:
            self._own.close()
            if self._fd >= 0:
                os.close(self._fd)


def read_stacks(descriptor: int) -> str:
    """Return what a worker's `faulthandler` has left so far."""
    return os.pread(descriptor, _STACKS_MOST, 0).decode("utf-8", "replace")


_WAITS = {wait.value: wait for wait in Wait}
