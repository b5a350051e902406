"""Pages that go on: each is drawn once for all who look at it, and each of them is sent what has changed for it.

    Drawing ──► SharedView: {id: fragment}, each with the version at which it changed last ──┬──► browser, at version 41
                  4 times a second, and not at all while nobody looks                  └──► browser, at version 38

A browser says which version it has, when it comes and when it comes again. One that reads slowly is not kept a queue
for: it gets, when it is ready, what has changed since. One that does not read at all is dropped.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import field

from runner.facts import dataclass

QUICK, SLOW = 0.25, 1.0
"""Seconds between two looks of somebody who looks, and of a page behind another."""
MOST_SHARE = 0.1
"""Of the time; what takes longer to draw is drawn less often, so that a run has the machine."""
SILENCE = 10.0
"""Seconds after which something is sent in any case: by it a browser, and we, see that the other is there."""
LONGEST_SEND = 20.0
"""Seconds that a browser may take to read what it was sent."""

Fragments = Mapping[str, str]
Draw = Callable[[], Fragments]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a browser has: the version of a view, as long as that is the one that it began with."""

    epoch: str = ""
    version: int = 0

    @classmethod
    def parse(cls, text: str | None) -> Seen:
        """Read what `str` has written; what is nothing of the kind is nothing."""
        epoch, _, version = (text or "").rpartition(".")
        return cls(epoch, int(version)) if version.isascii() and version.isdigit() else cls()

    def __str__(self) -> str:
        return f"{self.epoch}.{self.version}"


class SharedView:
    """One page as all see it who look at it. Drawn in a thread, at the pace of whoever wants it quickest."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self.epoch = secrets.token_hex(4)
        self.version = 0
        self.lookers: dict[object, float] = {}
        """Who looks, and how often each wants to."""
        self._fragments: dict[str, tuple[int, str]] = {}
        self._changed = asyncio.Condition()
        self._drawing = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None
        self._is_dated = True

    async def look(self) -> tuple[Fragments, Seen]:
        """Return all of it as it is now."""
        if self._is_dated:
            await self._redraw()
        return self._all(), Seen(self.epoch, self.version)

    def _all(self) -> Fragments:
        return {name: html for name, (_, html) in self._fragments.items()}

    async def changes(self, seen: Seen, pace: float) -> AsyncIterator[tuple[Fragments, Seen]]:
        """Yield what has changed since, again and again; nothing, now and then, where nothing has."""
        looker = object()
        self.lookers[looker] = pace
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._go_on())
        known = seen.version if seen.epoch == self.epoch else 0
        try:
            if not self.version:
                await self._redraw()
            while True:
                news = {name: html for name, (at, html) in self._fragments.items() if at > known}
                known = self.version
                yield news, Seen(self.epoch, known)
                began = time.monotonic()
                await self._wait_for_more_than(known)
                await asyncio.sleep(max(pace - (time.monotonic() - began) - 0.05, 0))
        finally:
            del self.lookers[looker]

    async def _wait_for_more_than(self, known: int) -> None:
        async def changed() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: self.version > known)

        try:
            await asyncio.wait_for(changed(), SILENCE)
        except TimeoutError:
            return

    async def _go_on(self) -> None:
        while self.lookers:
            took = await self._redraw()
            await asyncio.sleep(max(min(self.lookers.values(), default=QUICK), took / MOST_SHARE))
        self._is_dated = True

    async def _redraw(self) -> float:
        """Draw it; return the seconds of a processor that this took."""
        async with self._drawing:
            fragments, took = await asyncio.to_thread(self._timed)
            await self._take(fragments)
        return took

    async def _take(self, fragments: Fragments) -> None:
        version = self.version + 1
        changed = {
            name: (version, html)
            for name, html in fragments.items()
            if name not in self._fragments or self._fragments[name][1] != html
        }
        if changed:
            async with self._changed:
                self._fragments.update(changed)
                self.version = version
                self._changed.notify_all()
        self._is_dated = not self.lookers

    def _timed(self) -> tuple[Fragments, float]:
        began = time.thread_time()
        return self._draw(), time.thread_time() - began


@dataclass(slots=True)
class SharedViews:
    """The pages that somebody looks at, or has looked at lately."""

    most: int = 64
    views: dict[object, SharedView] = field(default_factory=dict)

    def of(self, key: object, draw: Draw) -> SharedView:
        """Return the view of a page, made if there is none; the oldest that nobody looks at go."""
        view = self.views.pop(key, None) or SharedView(draw)
        self.views[key] = view
        for each in [key for key, view in self.views.items() if not view.lookers][: -self.most]:
            del self.views[each]
        return view


def stream_event(news: Fragments, seen: Seen) -> bytes:
    """Return fragments as one server-sent event; where there are none, one that says that we are there."""
    if not news:
        return b"event: alive\ndata:\n\n"
    return f"id: {seen}\nevent: fragments\ndata: {json.dumps(news, ensure_ascii=False)}\n\n".encode()


def first_lines(retry: float) -> bytes:
    """Return what a stream begins with: how soon to come back, in seconds, once it has broken off."""
    return f"retry: {int(retry * 1000)}\n\n".encode()
