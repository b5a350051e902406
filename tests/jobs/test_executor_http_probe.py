"""One GET, whoever answers and however."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from runner.jobs.executor.http_probe import HttpProbe, url_address


def answer_to(answer: bytes, path: str = "/x?y=1", *, cut_short: bool = False) -> tuple[str, bytes]:
    """Ask a server that answers this, once; return what is wrong with it, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            connection = server.accept()[0]
            asked.append(connection.recv(10_000))
            connection.sendall(answer)
            if not answer.endswith(b"\n"):
                done.wait(20)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}{path}"
        found = HttpProbe(url, time.monotonic() + 0.5, lambda: cut_short).get()
        done.set()
        thread.join()
    return found.problem, asked[0]


@pytest.mark.parametrize("status", [200, 204, 301, 307, 399])
def test_a_good_status_is_ready_and_a_redirect_is_not_followed(status: int) -> None:
    problem, asked = answer_to(b"HTTP/1.1 %d Fine\r\nLocation: http://127.0.0.1:1/\r\n" % status)

    assert ("", b"GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:") == (problem, asked[:37])


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 503 Not yet\r\n", "was answered with 503"),
        (b"HTTP/1.0 404\r\n", "was answered with 404"),
        (b"220 smtp ready\r\n", "was not answered as HTTP is"),
        (b"HTTP/1.1 2000\r\n", "was not answered as HTTP is"),
        (b"\n", "was not answered as HTTP is"),
    ],
)
def test_anything_else_is_told(answer: bytes, problem: str) -> None:
    assert problem == answer_to(answer)[0]


def test_one_that_never_comes_to_the_end_of_its_line_is_given_up() -> None:
    assert "was not answered in time" == answer_to(b"HTTP/1.1 2")[0]


def test_nobody_is_waited_for_any_more_once_it_is_cut_short() -> None:
    assert "was not answered in time" == answer_to(b"HTTP/1.1 2", cut_short=True)[0]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://a/b", ("a", 80)),
        ("https://a", ("a", 443)),
        ("http://[::1]:8080/", ("::1", 8080)),
        ("ftp://a", None),
        ("http://a:99999", None),
        ("http://", None),
        ("http://[::1", None),
    ],
)
def test_the_address_of_a_url(url: str, address: tuple[str, int] | None) -> None:
    assert address == url_address(url)
