"""`lock: NAME` of a stage: its handler works while the lock is held, and never waits at a queue while it does.

    Task     lock ─ run ─ free
    Mapper   lock ─ item ─ free ─► what it made is put ─► lock ─ item …
    Source   lock ─ make one ─ free ─► put ─► lock ─ make the next …

A worker that waited for room while it held the lock could wait for ever for a reader that wants the same lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import GeneratorType

from runner.errors import HandlerError
from runner.handlers.base import Driver, Handler, Mapper, Source, Task
from runner.locks import HandlerLock


def under_lock(handler: Handler, lock: HandlerLock) -> Handler:
    """Return a handler that does the same while it holds the lock. Raises `HandlerError` for one that drives queues."""
    match handler:
        case Task():
            return replace(handler, call=_held(lock, handler.call))
        case Mapper():
            return replace(handler, call=_held_for_each(lock, handler.call))
        case Source():
            return replace(handler, items=lambda: _made_in_turns(lock, handler.items))
        case Driver():
            raise HandlerError(
                "`lock`: the handler drives its queue, and would hold the lock while it waits there"
            )


def _held(lock: HandlerLock, call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with lock:
            return call()

    return run


def _held_for_each(lock: HandlerLock, call: Callable[[object], object]) -> Callable[[object], object]:
    def handle(item: object) -> object:
        with lock:
            value = call(item)
            if not isinstance(value, GeneratorType):
                return value
            made = list(value)  # its body is the handler's work, and runs only while it is asked for more
        return (each for each in made)

    return handle


def _made_in_turns(lock: HandlerLock, make: Callable[[], Iterable[object]]) -> Iterator[object]:
    with lock:
        iterator = iter(make())
    try:
        while True:
            with lock:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
    finally:
        if isinstance(iterator, GeneratorType):
            iterator.close()
