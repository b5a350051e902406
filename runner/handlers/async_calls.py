"""`async def` handlers: the event loop that a worker runs them on, one for all its life.

    handler(item) ──► coroutine, or asynchronous generator ──► run(…) ──► what it returns, or all that it yields

A transport that handles several items at once takes the coroutines and the loop; all others call `run` for each item.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Iterator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any


class SeveralOutputs(list[object]):
    """What an item became, several of it: each is put."""


class EventLoop:
    """A worker's event loop. One thread only; made at its first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop itself."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def run(self, awaited: Awaitable[Any]) -> Any:
        """Run the loop until this is done. Raises what it raises."""
        value, error = self.loop.run_until_complete(_outcome(awaited))
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """End what was left running on it. Raises nothing that that raises."""
        if self._loop is None:
            return
        loop, self._loop = self._loop, None
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(_ended(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def _outcome(awaited: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """What it raises is returned, so that its traceback has no frame of the loop's in it."""
    try:
        return await awaited, None
    except BaseException as error:
        return None, error


async def result_of(value: object) -> object:
    """Await what an `async` handler has returned; what a generator yields, of either kind, becomes `SeveralOutputs`."""
    if isinstance(value, CoroutineType):
        value = await value
    if isinstance(value, AsyncGeneratorType):
        return SeveralOutputs([each async for each in value])
    return SeveralOutputs(value) if isinstance(value, GeneratorType) else value


def each_of(value: object) -> object:
    """Return `SeveralOutputs` as what a loop over items takes for several: a generator."""
    return _each(value) if isinstance(value, SeveralOutputs) else value


def _each(outputs: SeveralOutputs) -> Generator[object, None, None]:
    yield from outputs


def call_on(loop: EventLoop, handler: Callable[..., object]) -> Callable[..., object]:
    """Return a function that calls an `async` handler and waits until it is done."""
    return lambda *args, **given: each_of(loop.run(result_of(handler(*args, **given))))


def closing_on(loop: EventLoop, close: Callable[[], object] | None) -> Callable[[], None]:
    """Return what closes a handler, by its own `close()`, which may be async, and then the loop."""

    def close_both() -> None:
        try:
            if close is not None:
                loop.run(result_of(close()))
        finally:
            loop.close()

    return close_both


def items_on(loop: EventLoop, make: Callable[..., Any]) -> Callable[..., Iterator[object]]:
    """Return what makes the items of an `async` producer, one after the other."""

    def items(**given: Any) -> Iterator[object]:
        made = make(**given)
        if not isinstance(made, AsyncIterator):
            made = loop.run(made)
        if not isinstance(made, AsyncIterator):
            yield from () if made is None else made
            return
        try:
            while True:
                try:
                    item = loop.run(anext(made))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if isinstance(made, AsyncGeneratorType):
                loop.run(made.aclose())

    return items
