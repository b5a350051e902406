"""Failpoints: where a worker under `leased` can be made to die or to stop, so that tests strike places and not moments.

    MPRUN_WORKER_HOOK=runner.testing.failpoints:arm ──► called first in each worker
    MPRUN_FAILPOINT=torn-half:SIGKILL:3:cook-1 ──► the method at that boundary is replaced, in this one process
    MPRUN_FAILPOINT_MARK=/tmp/…/struck         ──► made at the blow: where it is, nothing strikes, so a successor lives

A worker that is not armed runs the very methods that it would run if this module did not exist.

    born       its process is there, its handler is not
    idle       it waits for an item
    received   a lease is here, nothing of it is marked
    claimed    items are said to be begun, and were found not to be recalled
    leaving    what is left of a lease is recalled, and nothing of it was said
    left       that has been said
    marked     the first item of a lease is marked, the handler is not called
    handling   about to call the handler, or to ask it for the next item
    handled    the handler has returned, and nothing came of it yet
    taking     about to call a sink with many items at once
    taken      that has returned
    blocked    it waits for room
    flushing   about to make safe what it holds
    flushed    what it holds is safe, and nobody was told
    writing    half of what it writes to a file is there; of a transaction; of a file that is not in its place yet
    copying    half of a big item, or of a long frame, is in shared memory
    copied     all of it is, and no message names it
    sending    before a message about items
    torn-N     N bytes of that message have left; torn-half, half of it
    sent       after that message
    failing    before it says that an item failed
    failed     after it has said so
    closing    about to call `close()` of a handler that has one
    finishing  all is done and closed, and it has not said so
    finished   it has

Any other name is a place in a handler, which says by `reached` that it is there.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.errors import UsageError
from runner.facts import dataclass
from runner.handlers.sinks.files import AppendedFile
from runner.handlers.sinks.folder import WrittenFile
from runner.handlers.sinks.sqlite import SqliteTable
from runner.ipc.channel import Sender
from runner.ipc.shm.allocator import Slot
from runner.ipc.shm.arena import ArenaWriter
from runner.ipc.shm.handles import Packed
from runner.ipc.status_page import StatusPage, Wait
from runner.ipc.stream import CommitMessage, FailedMessage, Message, WorkerStream
from runner.transports.base import SafePoints
from runner.transports.leased.holding import HoldingLoop
from runner.transports.leased.loops import FrameLoops
from runner.transports.leased.reader import FrameInbox

HOOK_VARIABLE, HOOK = "MPRUN_WORKER_HOOK", f"{__name__}:arm"
VARIABLE = "MPRUN_FAILPOINT"
MARK_VARIABLE = "MPRUN_FAILPOINT_MARK"

Method = Callable[..., Any]
Act = Callable[[], object]


def _raise(number: signal.Signals) -> Act:
    # To this very thread: sent to the process, it may reach another one while this goes on.
    return lambda: signal.raise_signal(number)


ACTIONS: Mapping[str, Act] = {
    "SIGKILL": _raise(signal.SIGKILL),
    "SIGSTOP": _raise(signal.SIGSTOP),
    "SIGSEGV": _raise(signal.SIGSEGV),
    "exit-0": lambda: os._exit(0),
    "exit-3": lambda: os._exit(3),
}


@dataclass(frozen=True, slots=True)
class Failpoint:
    """What `MPRUN_FAILPOINT` asks for: `name:action[:nth[:worker]]`."""

    name: str
    action: str
    nth: int = 1
    """At which arrival it strikes."""
    worker: str | None = None
    """Whom it strikes; None is whoever comes first."""

    @classmethod
    def parse(cls, text: str) -> Failpoint:
        """Read the variable. Raises `UsageError`."""
        name, action, nth, worker = [*text.split(":"), "", "", ""][:4]
        if not name or action not in ACTIONS or not (nth or "1").isdecimal():
            expected = f"name:action[:nth[:worker]], where action is one of {', '.join(ACTIONS)}"
            raise UsageError(f"{VARIABLE} is {expected}; got '{text}'")
        return cls(name, action, int(nth or 1), worker or None)


class Trigger:
    """Counts arrivals at a place, and strikes once in a run."""

    def __init__(self, failpoint: Failpoint, mark: Path) -> None:
        """`mark` is a file that is not there yet."""
        self._left = failpoint.nth
        self._act = ACTIONS[failpoint.action]
        self._mark = mark

    def is_due(self) -> bool:
        """Count one arrival; say whether it is the one, which it is once in a run, whoever asks."""
        self._left -= 1
        if self._left:
            return False
        try:
            self._mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def strike(self) -> None:
        """Do it."""
        self._act()

    def arrive(self) -> None:
        """Count one arrival; strike if it is the one."""
        if self.is_due():
            self.strike()


def arm(worker: str) -> None:
    """Called in a fresh worker, before it has any queue end: put the failpoint in place that is meant for it."""
    if MARK_VARIABLE not in os.environ:
        raise UsageError(f"{VARIABLE} without {MARK_VARIABLE} would strike successors too, for ever")
    failpoint, mark = Failpoint.parse(os.environ[VARIABLE]), Path(os.environ[MARK_VARIABLE])
    if failpoint.worker not in (None, worker) or mark.exists():
        return
    trigger = Trigger(failpoint, mark)
    if failpoint.name == "born":
        trigger.arrive()
    elif failpoint.name.startswith("torn-"):
        _replace(WorkerStream, "send", _torn(failpoint.name.removeprefix("torn-")), trigger)
    elif failpoint.name in _PLACES:
        for owner, method, wrap in _PLACES[failpoint.name]:
            _replace(owner, method, wrap, trigger)
    else:
        _of_handlers[failpoint.name] = trigger


def reached(name: str) -> None:
    """Called by a handler: strike here if this place of its own is armed."""
    if name in _of_handlers:
        _of_handlers[name].arrive()


_of_handlers: dict[str, Trigger] = {}

Wrap = Callable[[Method, Trigger], Method]


def _replace(owner: type, method: str, wrap: Wrap, trigger: Trigger) -> None:
    setattr(owner, method, wrap(getattr(owner, method), trigger))


def _before(when: Callable[..., bool] = lambda *_: True) -> Wrap:
    """Strike before the method does anything, at calls whose arguments are as `when` says."""

    def wrap(method: Method, trigger: Trigger) -> Method:
        def struck(self: object, *arguments: Any, **named: Any) -> Any:
            if when(*arguments):
                trigger.arrive()
            return method(self, *arguments, **named)

        return struck

    return wrap


def _after(when: Callable[..., bool] = lambda *_: True) -> Wrap:
    """Strike when the method has done its work; `when` is asked about what it returns, then about its arguments."""

    def wrap(method: Method, trigger: Trigger) -> Method:
        def struck(self: object, *arguments: Any, **named: Any) -> Any:
            result = method(self, *arguments, **named)
            if when(result, *arguments):
                trigger.arrive()
            return result

        return struck

    return wrap


def _torn(how_far: str) -> Wrap:
    """Send so many bytes of a message and no more, or half of them."""
    if how_far != "half" and not how_far.isdecimal():
        raise UsageError(f"{VARIABLE}: torn-{how_far} is neither torn-half nor torn- with a number of bytes")

    turn = threading.Lock()  # the flusher must not go on where a message breaks off

    def wrap(method: Method, trigger: Trigger) -> Method:
        def send(self: WorkerStream, message: Message) -> None:
            with turn:
                if trigger.is_due():
                    raw = message.header() + message.body
                    most = len(raw) // 2 if how_far == "half" else min(int(how_far), len(raw) - 1)
                    _write(self.fileno(), raw[:most])
                    trigger.strike()
                method(self, message)

        return send

    return wrap


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _half_written(method: Method, trigger: Trigger) -> Method:
    def write(self: AppendedFile, data: bytes) -> Any:
        if trigger.is_due():
            method(self, data[: len(data) // 2])
            trigger.strike()
        return method(self, data)

    return write


def _half_copied(method: Method, trigger: Trigger) -> Method:
    def store(self: ArenaWriter, packed: Packed, slot: Slot) -> Any:
        if trigger.is_due():
            halves = tuple(buffer[: len(buffer) // 2] for buffer in packed.buffers)
            method(self, replace(packed, buffers=halves), slot)
            trigger.strike()
        return method(self, packed, slot)

    return store


def _half_a_frame_copied(method: Method, trigger: Trigger) -> Method:
    def store_frame(self: ArenaWriter, body: bytes, slot: Slot) -> Any:
        if trigger.is_due():
            method(self, body[: len(body) // 2], slot)
            trigger.strike()
        return method(self, body, slot)

    return store_frame


def _each_call(wrap: Wrap) -> Wrap:
    """For a loop: strike round the calls of the handler that it is given."""

    def wrap_loop(loop: Method, trigger: Trigger) -> Method:
        def consume(self: FrameLoops, call: Method, fail: Any, *points: SafePoints) -> None:
            around = wrap(lambda _self, item: call(item), trigger)
            loop(
                self,
                lambda item: around(None, item),
                fail,
                *(replace(each, call_many=None) for each in points),
            )

        return consume

    return wrap_loop


def _each_call_of_many(wrap: Wrap) -> Wrap:
    """For the loop that may call with many items: strike round those calls."""

    def wrap_loop(loop: Method, trigger: Trigger) -> Method:
        def consume(self: FrameLoops, call: Method, fail: Any, points: SafePoints) -> None:
            call_many = points.call_many
            if call_many is not None:
                around = wrap(lambda _self, items: call_many(items), trigger)
                points = replace(points, call_many=lambda items: bool(around(None, items)))
            loop(self, call, fail, points)

        return consume

    return wrap_loop


def _each_item(before: bool) -> Wrap:
    """For a loop: strike before or after each item that a producer makes."""

    def wrap_loop(loop: Method, trigger: Trigger) -> Method:
        def produce(self: FrameLoops, items: Iterable[object], fail: Any) -> None:
            loop(self, struck(items), fail)

        def struck(items: Iterable[object]) -> Iterator[object]:
            iterator = iter(items)
            while True:
                if before:
                    trigger.arrive()
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                if not before:
                    trigger.arrive()
                yield item

        return produce

    return wrap_loop


def _waits_for(why: Wait) -> Callable[..., bool]:
    return lambda _result, shown: shown is why


def _is_failure(message: Message) -> bool:
    if isinstance(message, CommitMessage):
        return any(each.failure for each in message.unpack()[0])
    return isinstance(message, FailedMessage)


def _is_last_word(*arguments: object) -> bool:
    return "finished" in arguments


def _is_word_of_closing(*arguments: object) -> bool:
    return "closes" in arguments


_PLACES: Mapping[str, tuple[tuple[type, str, Wrap], ...]] = {
    "idle": ((StatusPage, "show_wait", _after(_waits_for(Wait.ITEM))),),
    "blocked": ((StatusPage, "show_wait", _after(_waits_for(Wait.ROOM))),),
    "received": ((FrameInbox, "next_lease", _after(lambda lease: lease is not None)),),
    "claimed": ((FrameInbox, "claim", _after(lambda upto, _lease, at: upto > at)),),
    "leaving": ((FrameInbox, "leave", _before()),),
    "left": ((FrameInbox, "leave", _after()),),
    "marked": ((FrameInbox, "mark_in_hand", _after()),),
    "handling": (
        (FrameLoops, "consume", _each_call(_before())),
        (FrameLoops, "consume_holding", _each_call(_before())),
        (FrameLoops, "produce", _each_item(before=True)),
    ),
    "handled": (
        (FrameLoops, "consume", _each_call(_after())),
        (FrameLoops, "consume_holding", _each_call(_after())),
        (FrameLoops, "produce", _each_item(before=False)),
    ),
    "taking": ((FrameLoops, "consume_holding", _each_call_of_many(_before())),),
    "taken": ((FrameLoops, "consume_holding", _each_call_of_many(_after())),),
    "flushing": ((HoldingLoop, "flush", _before()),),
    "flushed": ((HoldingLoop, "flush", _after()),),
    "writing": (
        (AppendedFile, "write", _half_written),
        (SqliteTable, "note_done", _before()),
        (WrittenFile, "put_in_place", _before()),
    ),
    "sending": ((WorkerStream, "send", _before()),),
    "sent": ((WorkerStream, "send", _after()),),
    "failing": ((WorkerStream, "send", _before(_is_failure)),),
    "failed": ((WorkerStream, "send", _after(lambda _result, message: _is_failure(message))),),
    "copying": ((ArenaWriter, "store", _half_copied), (ArenaWriter, "store_frame", _half_a_frame_copied)),
    "copied": ((ArenaWriter, "store", _after()), (ArenaWriter, "store_frame", _after())),
    "closing": ((Sender, "send", _after(_is_word_of_closing)),),
    "finishing": ((Sender, "send", _before(_is_last_word)),),
    "finished": ((Sender, "send", _after(_is_last_word)),),
}
