"""Pages of a JSON API, and lines over a connection, from servers of the tests' own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from json_api import Answer, Api
from sources import Bad, context, items_of

from runner.errors import HandlerError
from runner.handlers.kinds import Source
from runner.handlers.registry import find_kind


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[..., Answer]], Api]]:
    """Start servers, and close them at the end."""
    started: list[Api] = []

    def start(answer: Callable[..., Answer]) -> Api:
        started.append(Api(answer))
        return started[-1]

    yield start
    for each in started:
        each.close()


PAGES: dict[str, list[int]] = {"1": [1, 2], "2": [3], "3": [4, 5]}


def by_link(_path: str, query: dict[str, list[str]], _before: int) -> Answer:
    page = query.get("page", ["1"])[0]
    following = f"?page={int(page) + 1}" if page != "3" else None
    return 200, {"data": {"items": PAGES[page]}, "links": {"next": following}}, {}


def by_head(_path: str, query: dict[str, list[str]], _before: int) -> Answer:
    page = query.get("page", ["1"])[0]
    link = f'</?page={int(page) + 1}>; rel="next", </>; rel="first"' if page != "3" else '</>; rel="first"'
    return 200, PAGES[page], {"Link": link}


def by_number(_path: str, query: dict[str, list[str]], _before: int) -> Answer:
    assert ["bun"] == query["kind"]
    return 200, PAGES.get(query["page"][0], []), {}


@pytest.mark.parametrize(
    ("answer", "options", "path"),
    [
        (by_link, {"items": "data.items", "next": "links.next"}, ""),
        (by_head, {}, ""),
        (by_number, {"counter": {"name": "page"}}, "/?kind=bun&page=9"),
    ],
)
def test_page_after_page_is_asked_for(
    serve: Callable[..., Api], answer: Callable[..., Answer], options: dict[str, Any], path: str
) -> None:
    api = serve(answer)

    assert [1, 2, 3, 4, 5] == items_of("http", {"url": api.url + path, **options})


def test_so_many_pages_are_enough(serve: Callable[..., Api]) -> None:
    told: list[tuple[int, int]] = []
    options = {"url": serve(by_head).url, "pages": 2}

    assert [1, 2, 3] == items_of("http", options, context(progress=lambda *each: told.append(each)))
    assert [(1, 2), (2, 2)] == told


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.quick("503")
def test_a_page_that_may_come_later_is_asked_for_again(serve: Callable[..., Api], code: int) -> None:
    api = serve(lambda _path, _query, before: (200, [1], {}) if before else (code, [], {"Retry-After": "0"}))

    assert [1] == items_of("http", {"url": api.url})
    assert 2 == len(api.asked)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, [], {}), "/: 404 Not Found"),
        ((200, b"<html>", {}), "/: the page is not JSON: Expecting value: line 1 column 1"),
        ((200, {"data": []}, {}), "/: expected a list in the page, got a mapping; `items` says where it is"),
        (
            (200, [1], {"Link": '<file:///etc/passwd>; rel="next"'}),
            "expected http://… or https://…, got 'file:",
        ),
        ((200, [1], {"Link": '</>; rel="next"'}), "/: the pages go round in a circle: this one came before"),
        ((200, b"[1]", {"Content-Length": "99"}), "/: the answer is cut short: "),
    ],
)
def test_what_is_wrong_with_a_page_is_told_with_its_address(
    serve: Callable[..., Api], answer: Answer, words: str
) -> None:
    api = serve(lambda *_: answer)

    with pytest.raises(HandlerError) as caught:
        items_of("http", {"url": f"{api.url}/", "attempts": 1})

    assert words in str(caught.value)


def test_heads_go_to_the_server_that_they_are_for_and_no_other(serve: Callable[..., Api]) -> None:
    other = serve(lambda *_: (200, [2], {}))
    api = serve(lambda *_: (200, [1], {"Link": f'<{other.url}/>; rel="next"'}))

    assert [1, 2] == items_of("http", {"url": api.url, "headers": {"Authorization": "secret"}})
    assert ["secret", None] == [each.asked[0][1].get("Authorization") for each in (api, other)]


def test_an_address_that_is_none_is_not_asked_for_again(serve: Callable[..., Api]) -> None:
    api = serve(lambda *_: (200, [1], {}))

    with pytest.raises(HandlerError, match=r"/a b: URL can't contain control characters"):
        items_of("http", {"url": f"{api.url}/a b"})
    assert [] == api.asked


def test_a_server_that_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(HandlerError, match=rf"{url}: no answer within 50ms"):
            items_of("http", {"url": url, "timeout": "50ms", "attempts": 1})


def send(data: bytes, breaks_at: threading.Event | None = None) -> int:
    """Send some bytes to whoever connects, in small pieces, and close, or break once that is asked; return the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        with server, server.accept()[0] as connection:
            for at in range(0, len(data), 3):
                connection.sendall(data[at : at + 3])
            if breaks_at is not None:
                breaks_at.wait(10)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    threading.Thread(target=talk).start()
    return int(server.getsockname()[1])


def test_lines_come_over_a_connection() -> None:
    port = send("一\nb\xff\r\nlast".encode() + b"\n\xff\nend")

    items = items_of("tcp", {"host": "127.0.0.1", "port": port})

    name = f"tcp://127.0.0.1:{port}:4"
    why = "not utf-8: byte 0xff at byte 1 of the line: invalid start byte; `encoding` may say another"
    assert ["一", "bÿ", "last", Bad(b"\xff", f"ValueError: {name}: {why}", name), "end"] == items


def test_nobody_who_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(
        HandlerError, match=f"tcp://127.0.0.1:{port}: no connection: Connection refused, 2 times"
    ):
        items_of("tcp", {"host": "127.0.0.1", "port": port, "attempts": 2})


def test_a_connection_that_breaks_is_told_of_behind_the_last_line() -> None:
    breaks = threading.Event()
    port = send(b"a\nb\n", breaks)
    source = find_kind("tcp").build({"host": "127.0.0.1", "port": port}, context())
    assert isinstance(source, Source)
    got: list[object] = []

    with pytest.raises(
        HandlerError, match=rf"tcp://127.0.0.1:{port}: the connection broke behind line 2: Connec"
    ):
        for each in source.items():
            got += each  # type: ignore[call-overload]
            if len(got) == 2:
                breaks.set()

    assert ["a", "b"] == got


def test_a_connection_over_which_nothing_comes_is_told_of() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = {"host": "127.0.0.1", "port": server.getsockname()[1], "idle_timeout": "50ms"}

        with pytest.raises(HandlerError, match="nothing came for too long, behind line 0"):
            items_of("tcp", options)


def test_whoever_is_to_end_waits_for_no_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = {"host": "127.0.0.1", "port": server.getsockname()[1]}

        assert [] == items_of("tcp", options, context(stopping=lambda: True))


def test_whoever_takes_over_asks_for_the_page_that_was_being_put_and_no_other_before(
    serve: Callable[..., Api],
) -> None:
    api, noted = serve(by_link), list[tuple[int, bytes]]()
    options = {"url": api.url, "items": "data.items", "next": "links.next"}
    items_of("http", options, context(note_place=lambda *each: noted.append(each)))
    del api.asked[:]

    found = items_of("http", options, context(offset=4, state=noted[2][1]))

    assert ([0, 2, 3], [5], ["/?page=3"]) == (
        [start for start, _ in noted],
        found,
        [path for path, _ in api.asked],
    )


def test_whoever_takes_over_counts_on_where_the_pages_have_numbers(serve: Callable[..., Api]) -> None:
    api, noted = serve(by_number), list[tuple[int, bytes]]()
    options = {"url": f"{api.url}/?kind=bun", "counter": {"name": "page"}}
    items_of("http", options, context(note_place=lambda *each: noted.append(each)))

    assert [4, 5] == items_of("http", options, context(offset=3, state=noted[1][1]))
    assert [3] == items_of("http", {**options, "pages": 2}, context(offset=2, state=noted[1][1]))


@pytest.mark.parametrize("now", [[3, 9], []])
def test_a_page_that_has_changed_since_some_of_it_was_put_can_not_be_gone_on_with(
    serve: Callable[..., Api], now: list[int]
) -> None:
    changed = serve(lambda *_: (200, now, {}))
    state = {"start": 2, "page": 1, "url": f"{changed.url}/?page=2", "digest": "of what was"}
    worker = context(offset=3, state=json.dumps(state).encode())

    with pytest.raises(HandlerError, match="page=2: the page has changed since 1 of its items were put"):
        items_of("http", {"url": changed.url, "counter": {"name": "page"}}, worker)


def test_a_page_of_which_nothing_was_put_may_have_changed(serve: Callable[..., Api]) -> None:
    changed = serve(lambda *_: (200, [3, 9], {}))
    state = {"start": 2, "page": 1, "url": f"{changed.url}/?page=2", "digest": "of what was"}

    assert [3, 9] == items_of(
        "http", {"url": changed.url}, context(offset=2, state=json.dumps(state).encode())
    )
