"""Telling a program or a URL: the bounds of both."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from runner.spec.notify import NotifyOn, NotifySpec
from runner.watch.deliveries import Deliveries
from runner.watch.notifications import NotificationRules


def troubles(timeout: float = 10.0, **entry: object) -> list[str]:
    spec = NotifySpec(on=(NotifyOn.FINISHED,), **entry)  # type: ignore[arg-type]
    deliveries = Deliveries(timeout)
    deliveries.begin(0, spec, NotificationRules([spec]).facts(0.0))
    return deliveries.finish()


@pytest.fixture
def endless() -> Iterator[int]:
    """The port of a service that answers a byte at a time, for ever."""
    is_over = threading.Event()

    def answer() -> None:
        while not is_over.is_set():
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                client.sendall(b"HTTP/1.0 200 OK\r\nX: ")
                while not is_over.wait(0.05):
                    try:
                        client.sendall(b"a")
                    except OSError:
                        break

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        is_over.set()
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.slow
def test_an_answer_that_comes_and_comes_is_late_all_the_same(endless: int) -> None:
    (trouble,) = troubles(timeout=0.3, http=f"http://127.0.0.1:{endless}/")

    assert trouble.startswith(f"notify: http://127.0.0.1:{endless} did not answer within")


def test_of_all_that_a_program_says_the_last_line_is_told_and_nothing_is_kept_in_a_file() -> None:
    script = "ulimit -f 100; yes | head -c 2000000; echo last; exit 3"

    (trouble,) = troubles(run=("sh", "-c", script))

    assert trouble.endswith("exited with code 3: last")


@pytest.mark.slow
def test_who_left_the_group_of_a_program_and_holds_its_output_holds_nobody_up() -> None:
    script = "setsid sleep 6 & echo oh; exit 3"

    (trouble,) = troubles(run=("sh", "-c", script))

    assert trouble.endswith("exited with code 3: oh")
