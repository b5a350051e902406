"""A request for each item: what is sent, that the key stays the same, and what an answer means."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from sink_handlers import built

from runner.errors import HandlerError
from runner.handlers.sinks.http import RequestFailed

Request = tuple[str, str, dict[str, str], bytes]


class Service:
    """A service that remembers what it was sent, and answers as told."""

    def __init__(self) -> None:
        service = self
        self.requests: list[Request] = []
        self.answers: list[int] = []
        self.hangs_up = False
        """Whether it closes each connection without a word of that."""

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.requests.append((self.command, self.path, dict(self.headers), body))
                self.send_response(service.answers.pop(0) if service.answers else 200)
                text = b"no bun is left"
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                self.close_connection |= service.hangs_up

            do_PUT = do_POST  # noqa: N815 - the names are the library's

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    """A service of its own for each test."""
    found = Service()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("options", "item", "path", "kind", "body"),
    [
        ({}, {"包": 1}, "/", "application/json", '{"包": 1}'.encode()),
        ({}, "text", "/", "text/plain; charset=utf-8", b"text"),
        ({}, b"\x00", "/", "application/octet-stream", b"\x00"),
        (
            {"body": "${{ item.page }}", "more": "/buns/${{ item.id }}?a=1"},
            {"id": 7, "page": "x"},
            "/buns/7?a=1",
            "text/plain; charset=utf-8",
            b"x",
        ),
        ({"headers": {"content-type": "a/b", "X-Name": "${{ item }}"}}, "n", "/", "a/b", b"n"),
    ],
)
def test_an_item_is_sent(
    service: Service, options: dict[str, Any], item: object, path: str, kind: str, body: bytes
) -> None:
    url = service.url + options.pop("more", "")
    sink = built("http", {"url": url, **options}, ids=lambda: ["r/q/7"])
    sink.call(item)
    sink.close()

    ((method, found, headers, sent),) = service.requests
    lower = {name.lower(): value for name, value in headers.items()}
    assert ("POST", path, kind, '"r/q/7"', body) == (
        method,
        found,
        lower["content-type"],
        lower["idempotency-key"],
        sent,
    )


def test_a_connection_is_kept_and_made_anew_where_the_service_has_hung_up(service: Service) -> None:
    sink = built("http", {"url": service.url, "method": "PUT"})
    service.hangs_up = True
    for item in "abc":
        sink.call(item)
    sink.close()

    assert [b"a", b"b", b"c"] == [body for *_, body in service.requests]


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (503, "Service Unavailable")])
def test_another_answer_fails_the_item(service: Service, status: int, reason: str) -> None:
    service.answers = [status]
    sink = built("http", {"url": service.url})

    with pytest.raises(RequestFailed) as raised:
        sink.call("a")

    sink.close()
    assert f"POST {service.url}: {status} {reason}: no bun is left" == str(raised.value)


def test_nobody_who_answers_fails_the_item(service: Service) -> None:
    service.close()
    sink = built("http", {"url": service.url})

    with pytest.raises(ConnectionRefusedError, match=f"POST {service.url}: Connection refused"):
        sink.call("a")


def test_what_is_no_url_fails_the_item() -> None:
    with pytest.raises(ValueError, match="'ftp://x' is no URL that begins with http:// or https://"):
        built("http", {"url": "ftp://x"}).call("a")


@pytest.mark.parametrize("odd", ["\n", "\t", " ", "\x7f", "a#b", "a?b", "a/../b", "a%2fb", "包"])
def test_a_value_within_a_url_asks_for_nothing_else(service: Service, odd: str) -> None:
    sink = built("http", {"url": service.url + "/${{ item }}/buns"})
    sink.call(odd)
    sink.close()

    ((_, path, _, _),) = service.requests
    assert ["", quote(odd, safe=""), "buns"] == path.split("/")


@pytest.mark.parametrize("url", ["${{ item }}", "${{ item }}/a%20b?c=d"])
def test_a_value_that_is_an_address_is_taken_as_it_is(service: Service, url: str) -> None:
    sink = built("http", {"url": url})
    sink.call(service.url)
    sink.close()

    assert [url.removeprefix("${{ item }}") or "/"] == [path for _, path, _, _ in service.requests]


@pytest.mark.parametrize(("odd", "written"), [("\n", "%0A"), ("\t", "%09"), (" ", "%20"), ("\x7f", "%7F")])
def test_what_no_url_has_in_it_is_not_left_out(service: Service, odd: str, written: str) -> None:
    sink = built("http", {"url": "${{ item }}"})

    with pytest.raises(ValueError, match=f"is no URL: it has .* in it, which is written '{written}' there"):
        sink.call(f"{service.url}/a{odd}b")
    assert [] == service.requests


def test_there_is_no_key_where_nobody_counts(service: Service) -> None:
    def uncounted() -> list[str]:
        raise HandlerError("nobody counts")

    sink = built("http", {"url": service.url}, ids=uncounted)
    sink.call("a")
    sink.close()

    ((_, _, headers, _),) = service.requests
    assert "Idempotency-Key" not in headers
