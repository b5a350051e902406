"""Pages that go on: drawn once for all who look, and each is sent what has changed since it looked last."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from runner.web.streams import Seen, SharedView, SharedViews, stream_event

ENOUGH = 20.0


class Pen:
    """Draws what it is told to, and counts how often it was asked."""

    def __init__(self, **fragments: str) -> None:
        self.fragments = dict(fragments)
        self.drawn = 0
        self._lock = threading.Lock()

    def __call__(self) -> dict[str, str]:
        with self._lock:
            self.drawn += 1
            return dict(self.fragments)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, ENOUGH))


def test_who_comes_first_gets_all_and_then_what_has_changed() -> None:
    async def look() -> tuple[Any, Any]:
        pen = Pen(a="1", b="1")
        changes = SharedView(pen).changes(Seen(), 0.01)
        first, _ = await anext(changes)
        pen.fragments["b"] = "2"
        second, _ = await anext(changes)
        await changes.aclose()
        return first, second

    assert ({"a": "1", "b": "1"}, {"b": "2"}) == run(look())


def test_who_comes_again_is_sent_what_was_missed() -> None:
    async def look() -> tuple[Any, Any]:
        pen = Pen(a="1", b="1")
        view = SharedView(pen)
        _, seen = await view.look()
        pen.fragments["a"] = "2"
        await view.look()
        again = view.changes(seen, 0.01)
        stranger = view.changes(Seen("another", 99), 0.01)
        found = (await anext(again))[0], (await anext(stranger))[0]
        await again.aclose()
        await stranger.aclose()
        return found

    assert ({"a": "2"}, {"a": "2", "b": "1"}) == run(look())


def test_a_page_is_drawn_once_for_all_who_look_and_not_at_all_for_nobody() -> None:
    async def look() -> tuple[int, int, int]:
        pen = Pen(a="0")
        view = SharedView(pen)
        lookers = [view.changes(Seen(), 0.01) for _ in range(20)]
        for number in range(1, 6):
            pen.fragments["a"] = str(number)
            for each in lookers:
                while (await anext(each))[0].get("a") != str(number):
                    pass
        drawn = pen.drawn
        for each in lookers:
            await each.aclose()
        await asyncio.sleep(0.1)
        after = pen.drawn
        await asyncio.sleep(0.2)
        return drawn, after, pen.drawn

    drawn, after, later = run(look())

    assert drawn < 20 * 5
    assert after == later


def test_a_page_that_nobody_looks_at_is_drawn_anew_for_whoever_asks() -> None:
    async def look() -> Any:
        pen = Pen(a="1")
        view = SharedView(pen)
        await view.look()
        pen.fragments["a"] = "2"
        return (await view.look())[0]

    assert {"a": "2"} == run(look())


def test_views_are_shared_and_those_that_nobody_looks_at_go_in_the_end() -> None:
    views = SharedViews(most=3)

    first = views.of("first", Pen())

    assert first is views.of("first", Pen())
    for number in range(10):
        views.of(number, Pen())
    assert first is not views.of("first", Pen())


@pytest.mark.parametrize("text", ["", None, ".", "x", "x.", "x.-1", "x.٣", ".5.x", "x.1e3"])
def test_what_is_no_version_is_none(text: str | None) -> None:
    assert 0 == Seen.parse(text).version


def test_a_version_is_read_as_it_was_written() -> None:
    assert Seen("ab12", 7) == Seen.parse(str(Seen("ab12", 7)))


def test_an_event_is_one_line_of_data_whatever_is_in_it() -> None:
    lines = stream_event({"a": "<p>\n\nid: 9\r</p> 包子"}, Seen("e", 3)).decode().split("\n")

    assert ["id: e.3", "event: fragments"] == lines[:2]
    assert lines[2].startswith("data: {") and ["", ""] == lines[3:]
    assert "\r" not in lines[2]
