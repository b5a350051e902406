"""A producer that can't go on by itself begins again: what it makes is left out as far as earlier generations put it.

items ──► pass_over ──► the rest is put          handler ──► put ──► RepeatedOutbox ──► put
              └── compared with samples of what they had put ──┘
                             └── something else ──► NotRepeated: the run can't go on, and ends with exit code 6
"""

from __future__ import annotations

import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from runner.errors import NotRepeated
from runner.facts import dataclass
from runner.handlers.kinds import Malformed, QueueEnd, Route
from runner.handlers.wrappers import WrappedEnd
from runner.ipc.frames import Resumed, is_safe, pickle_alone
from runner.text import safe_repr
from runner.transports.cut import SampledItem

_ADDRESS = " at 0x"
"""In the repr of an object that does not say what is in it."""
_SET = r"\{(?!\})(?:(?!: ).)*?[,}]"
"""In the repr of a set, whose members come in another order in each process; not in that of a dict."""
_CHUNK_SECONDS = 0.01
"""How long a producer may make items that are left out, before it is seen whether it is to end."""
_END = object()
_REMEDY = {
    True: (
        "`deterministic: true` says that it gives the same each time; give its handler a parameter `resume` or "
        "`offset`, so that it goes on by itself"
    ),
    False: (
        "what it gave then is in the run, so the run can't go on; begin a new one, and give its handler a parameter "
        "`resume` or `offset`, so that it goes on by itself"
    ),
}


@dataclass(frozen=True, slots=True)
class Repetition:
    """What a producer's earlier generations have put, of all that it makes again."""

    stage: str
    start: int
    """The number of the first item that it makes now."""
    offset: int
    """The number of the first that is to be put."""
    samples: Sequence[SampledItem] = ()
    declared: bool = False
    """Whether its stage says that it is deterministic."""

    @property
    def due(self) -> Sequence[SampledItem]:
        """What can be compared, in order."""
        return [sample for sample in self.samples if self.start <= sample.index < self.offset]

    def check(self, sample: SampledItem, item: object) -> None:
        """Raise `NotRepeated` if an item is not what it was."""
        item = item.item if isinstance(item, Resumed | Route) else item  # which way it went is not kept
        if (before := seen_before(sample, item)) is not None:
            raise NotRepeated(
                f"stage '{self.stage}' gave something else at item {sample.index:,} than before: then {before}, "
                f"now {_shown(item)}; {_REMEDY[self.declared]}"
            )

    def ended_at(self, at: int) -> NotRepeated:
        """Return what is to be raised where it ended before it had made what is to be left out."""
        return NotRepeated(
            f"stage '{self.stage}' gave fewer items than before: then {self.offset:,}, now {at:,}; "
            f"{_REMEDY[self.declared]}"
        )


def seen_before(sample: SampledItem, item: object) -> str | None:
    """Return what an item looked like before, if it is sure that it is another now; else None."""
    if sample.pickled:
        try:
            if pickle_alone(item) == sample.pickled:
                return None
            before = pickle.loads(sample.pickled)
            if bool(before == item):
                return None
            shown, now = repr(before), repr(item)
        except Exception:  # whatever they raise at being looked at
            return None
        return None if _may_be_the_same(shown, now) else safe_repr(before)
    shown, now = sample.shown, safe_repr(item)
    # Too long to be shown whole: what is left out may say that something in braces is a set, in another order now.
    return None if shown == now or _ADDRESS in shown or "{" in shown else shown


def _may_be_the_same(shown: str, now: str) -> bool:
    if shown == now or _ADDRESS in shown:
        return True
    return re.search(_SET, shown) is not None and sorted(shown) == sorted(now)


def _shown(item: object) -> str:
    return f"nothing but an error, {item.error}" if type(item) is Malformed else safe_repr(item)


def pass_over(items: Iterator[object], repeated: Repetition, is_stopping: Callable[[], bool]) -> bool:
    """
    Let the items be made that are in already; False if the producer is to end meanwhile.

    Raises:
        NotRepeated: they are not what they were, or fewer.
    """
    at = repeated.start
    for sample in repeated.due:
        if (at := _advance(items, at, sample.index, is_stopping)) < sample.index:
            break
        item = next(items, _END)
        if item is _END:
            break
        repeated.check(sample, item)
        at += 1
    else:
        at = _advance(items, at, repeated.offset, is_stopping)
    if is_stopping():
        return False
    if at < repeated.offset:
        raise repeated.ended_at(at)
    return True


def _advance(items: Iterator[object], at: int, upto: int, is_stopping: Callable[[], bool]) -> int:
    """Have items made up to a number, a chunk at a time; return how far that came."""
    chunk = 1
    while at < upto and not is_stopping():
        began, wanted = time.perf_counter(), min(chunk, upto - at)
        made = sum(1 for _ in islice(items, wanted))
        at += made
        if made < wanted:
            break
        chunk = chunk * 2 if time.perf_counter() - began < _CHUNK_SECONDS else max(1, chunk // 2)
    return at


class RepeatedOutbox(WrappedEnd):
    """The outbox of a handler that puts by itself: what is in already is not put again."""

    def __init__(self, outbox: QueueEnd, repeated: Repetition, passed: Callable[[], object]) -> None:
        """`passed` is called once all that is in has been made again."""
        super().__init__(outbox)
        self._passed = passed
        self._repeated = repeated
        self._due = {sample.index: sample for sample in repeated.due}
        self._at = repeated.start
        self._lock = threading.Lock()

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, unless it is in. Raises `NotRepeated` where another is, else what the queue raises."""
        if self._at >= self._repeated.offset or not self._is_in(item):
            self.end.put(item, block, timeout)

    def check_ended(self) -> None:
        """The handler has put all that it will. Raises `NotRepeated` where that is less than is in."""
        if self._at < self._repeated.offset:
            raise self._repeated.ended_at(self._at)

    def _is_in(self, item: object) -> bool:
        if not is_safe(item):
            pickle_alone(item)  # what its put raised is raised again, and it did not count
        with self._lock:
            if self._at >= self._repeated.offset:
                return False
            if (sample := self._due.get(self._at)) is not None:
                self._repeated.check(sample, item)
            self._at += 1
            if self._at == self._repeated.offset:
                self._passed()
            return True
