"""Faults that a test asks for, put round the handler of a worker: the same under every transport.

    item ──► is a fault due at it? ──┬── kill: SIGKILL of this worker     restart: of the runner
                                     ├── raise: instead of the call
                                     └── delay ──► the handler

What strikes leaves a mark, a file: whoever takes the place of the dead knows by it, and so does the test, which fails
where a fault was never reached.
"""

from __future__ import annotations

import builtins
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import Driver, Handler, Mapper, QueueEnd, Source, WorkerContext, one_by_one
from runner.spec.file_tests.faults import FaultKind, PlannedFault

_UNTIL_KEPT = 0.3
"""Seconds in which a cut of the run is kept, before its runner is killed."""
_UNTIL_DEAD = 60.0


def with_faults(handler: Handler, faults: Sequence[PlannedFault], context: WorkerContext) -> Handler:
    """Return the handler with what is to go wrong in it."""
    injection = _Injection(faults, context)
    match handler:
        case Mapper():
            return replace(handler, call=injection.around(handler.call), call_many=None)
        case Source():
            return replace(handler, items=lambda: injection.among(handler.items()))
        case Driver():
            return replace(handler, call=lambda inbox, outbox: handler.call(injection.before(inbox), outbox))
    return handler


class _Injection:
    """The faults of one worker, and how many items it has had."""

    def __init__(self, faults: Sequence[PlannedFault], context: WorkerContext) -> None:
        self._faults = faults
        self._context = context
        self._count = 0

    def around(self, call: Callable[[object], object]) -> Callable[[object], object]:
        """Return a call of the handler that a fault comes before."""

        def faulty(item: object) -> object:
            size = len(item) if self._context.in_batches and isinstance(item, list) else 1
            self._strike(self._places_in_hand(size), self._counted(size))
            return call(item)

        return faulty

    def among(self, items: Any) -> Iterator[object]:
        """Yield what a producer makes, with faults before the items that they are at."""
        place = self._context.offset
        for item in one_by_one(items):
            place += 1
            self._strike([place], self._counted(1))
            yield item

    def before(self, inbox: QueueEnd | None) -> Any:
        """Return the end of a queue whose items faults come before."""
        return None if inbox is None else _FaultyEnd(inbox, lambda: self._strike(*[self._counted(1)] * 2))

    def _counted(self, size: int) -> list[int]:
        self._count += size
        return list(range(self._count - size + 1, self._count + 1))

    def _places_in_hand(self, size: int) -> list[int]:
        """Return the numbers of the items in hand among all of their queue; of a transport without, those it had."""
        try:
            return [place + 1 for place in self._context.places()]
        except HandlerError:
            return list(range(self._count + 1, self._count + size + 1))

    def _strike(self, places: Sequence[int], own: Sequence[int]) -> None:
        for each in self._faults:
            fault = each.fault
            numbers = places if fault.worker is None else own
            if fault.at_item is None or fault.at_item in numbers:
                _ACTIONS[fault.kind](each, self._context)


def _kill(planned: PlannedFault, _: WorkerContext) -> None:
    if _is_first(planned):
        os.kill(os.getpid(), signal.SIGKILL)


def _restart(planned: PlannedFault, context: WorkerContext) -> None:
    if _is_first(planned):
        time.sleep(_UNTIL_KEPT)
        os.kill(context.ppid, signal.SIGKILL)
        time.sleep(_UNTIL_DEAD)  # nothing of it is done: it dies with its runner


def _raise(planned: PlannedFault, context: WorkerContext) -> None:
    if planned.fault.times is None or context.attempt <= planned.fault.times:
        Path(f"{planned.marks}0").touch()
        raise _exception(planned.fault.error)


def _delay(planned: PlannedFault, context: WorkerContext) -> None:
    if planned.fault.times is None or context.attempt <= planned.fault.times:
        Path(f"{planned.marks}0").touch()
        time.sleep(planned.fault.seconds)


_ACTIONS = {
    FaultKind.KILL: _kill,
    FaultKind.RAISE: _raise,
    FaultKind.DELAY: _delay,
    FaultKind.RESTART: _restart,
}


def _is_first(planned: PlannedFault) -> bool:
    """Leave a mark; say whether there was still one to leave."""
    for number in range(planned.fault.times or 1):
        with suppress(FileExistsError):
            Path(f"{planned.marks}{number}").touch(exist_ok=False)
            return True
    return False


def _exception(written: str) -> BaseException:
    """Return the exception of `Type: message`: a built-in one, or one that only has the name of what it is for."""
    name, _, message = written.partition(":")
    module, _, last = name.strip().rpartition(".")
    stand_in: type[Exception] = type(last, (Exception,), {"__module__": module or "builtins"})
    found = None if module else getattr(builtins, last, None)
    kind: type[Exception] = found if isinstance(found, type) and issubclass(found, Exception) else stand_in
    try:
        return kind(*filter(None, [message.strip()]))
    except TypeError:  # one that takes more, as UnicodeDecodeError does
        return stand_in(message.strip())


class _FaultyEnd:
    """The end of a queue that somebody drives."""

    def __init__(self, end: QueueEnd, strike: Callable[[], None]) -> None:
        self._end = end
        self._strike = strike

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item; what goes wrong with it goes wrong here."""
        item = self._end.get(block, timeout)
        self._strike()
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end, name)
