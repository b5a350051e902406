"""One worker of a server, in this process: clients talk from another thread, and end it by a signal as mprun does."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from runner.handlers.kinds import WorkerLog
from runner.handlers.server import Converse, Server

PATIENCE = 20.0

Said = list[tuple[str, str, Mapping[str, Any]]]


def upper(conn: socket.socket, _address: Any) -> None:
    while data := conn.recv(1024):
        conn.sendall(data.upper())


class Scarce:
    """A listener for which the system has no descriptor at first."""

    def __init__(self, listener: socket.socket, seconds: float) -> None:
        self.refused = 0
        self._listener = listener
        self._until = time.monotonic() + seconds

    def accept(self) -> tuple[socket.socket, Any]:
        """Refuse for a while."""
        if time.monotonic() < self._until:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._listener.accept()

    def fileno(self) -> int:
        """For a poll."""
        return self._listener.fileno()

    def close(self) -> None:
        """Close it."""
        self._listener.close()


class Desk:
    """A server to be, and what it says."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.said: Said = []
        self.idle = PATIENCE
        self.most = 8

    def serve(self, converse: Converse, clients: Callable[[], None], listener: Any = None) -> None:
        """Serve in this thread while `clients` talk in another; they end it by `stop` once they have been answered."""
        wrong: list[BaseException] = []

        def talk() -> None:
            try:
                clients()
            except BaseException as error:
                wrong.append(error)
                stop()
                stop()

        log = WorkerLog(lambda level, event, fields: self.said.append((level, event, fields)))
        server = Server(listener or self.listener, converse, self.most, self.idle, log)
        thread = threading.Thread(target=talk)
        thread.start()
        server.run()
        thread.join()
        server.close()
        assert [] == wrong

    def connect(self) -> socket.socket:
        """Come as a client."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def heard(self, event: str) -> list[Mapping[str, Any]]:
        """What was said of one kind."""
        return [fields for _, name, fields in self.said if name == event]


def stop() -> None:
    """Only after an answer: before that nobody would heed the signal but this very test."""
    os.kill(os.getpid(), signal.SIGTERM)


def ask(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return client.recv(1024)


def wait_until_refused(desk: Desk) -> None:
    """The listener is closed in the server's own time; who is in by then is served too."""
    while True:
        try:
            desk.connect().close()
        except ConnectionError:
            return


@pytest.fixture
def desk() -> Iterator[Desk]:
    # Should a signal come when the server has ended, it must not end the tests.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    desk = Desk()
    yield desk
    desk.listener.close()
    signal.signal(signal.SIGTERM, before)


def test_every_client_is_answered_however_many_talk_at_once(desk: Desk) -> None:
    answers: list[bytes] = []

    def clients() -> None:
        guests = [desk.connect() for _ in range(5)]
        for number, guest in enumerate(guests):
            answers.append(ask(guest, b"bun %d" % number))
            answers.append(ask(guest, b"more"))
        for guest in guests:
            guest.close()
        stop()

    desk.serve(upper, clients)

    assert [text for n in range(5) for text in (b"BUN %d" % n, b"MORE")] == answers
    assert [{"served": 5}] == desk.heard("server.closed")


def test_one_that_says_nothing_is_hung_up_on_and_makes_room_for_the_next(desk: Desk) -> None:
    desk.most, desk.idle = 1, 0.1

    def clients() -> None:
        with desk.connect() as silent, desk.connect() as next_one:
            assert b"" == silent.recv(1024)
            assert b"BUN" == ask(next_one, b"bun")
            stop()

    desk.serve(upper, clients)

    assert 0.1 == desk.heard("connection.idle")[0]["seconds"]


def test_one_that_breaks_off_ends_its_own_conversation_only(desk: Desk) -> None:
    def clients() -> None:
        rude, polite = desk.connect(), desk.connect()
        assert b"BUN" == ask(rude, b"bun")
        rude.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )  # a reset instead of a farewell
        rude.close()
        assert b"BUN" == ask(polite, b"bun")
        polite.close()
        stop()

    desk.serve(upper, clients)

    (broken,) = desk.heard("connection.broken")
    assert "ConnectionResetError: [Errno 104] Connection reset by peer" == broken["error"]
    assert broken["client"].startswith("127.0.0.1:")


def test_a_handler_that_raises_ends_one_conversation_and_is_told_with_its_traceback(desk: Desk) -> None:
    def picky(conn: socket.socket, _address: Any) -> None:
        conn.sendall(b"%d" % (1 // int(conn.recv(10))))

    def clients() -> None:
        with desk.connect() as wrong, desk.connect() as right:
            assert b"" == ask(wrong, b"0")
            assert b"1" == ask(right, b"1")
            stop()

    desk.serve(picky, clients)

    (failed,) = desk.heard("connection.failed")
    assert failed["error"].startswith("ZeroDivisionError")
    assert "in picky" in failed["traceback"]


def test_after_the_first_signal_those_who_talk_may_finish_and_nobody_else_may_begin(desk: Desk) -> None:
    def clients() -> None:
        guest = desk.connect()
        assert b"BUN" == ask(guest, b"bun")
        stop()
        wait_until_refused(desk)
        assert b"MORE" == ask(guest, b"more")
        guest.close()

    desk.serve(upper, clients)

    assert 1 == len(desk.heard("server.closed"))


@pytest.mark.slow
def test_the_second_signal_hangs_up_on_everybody(desk: Desk) -> None:
    def clients() -> None:
        with desk.connect() as guest:
            assert b"BUN" == ask(guest, b"bun")
            stop()
            wait_until_refused(desk)  # two signals that come at once are one
            stop()
            assert b"" == guest.recv(1024)

    desk.serve(upper, clients)

    assert 1 == len(desk.heard("server.closed"))


def test_without_descriptors_it_pauses_instead_of_spinning(desk: Desk) -> None:
    scarce = Scarce(desk.listener, seconds=0.5)

    def clients() -> None:
        with desk.connect() as guest:
            assert b"BUN" == ask(guest, b"bun")
        stop()

    desk.serve(upper, clients, scarce)

    assert [{"error": "OSError: [Errno 24] Too many open files"}] == desk.heard("accept.paused")
    assert 0 < scarce.refused <= 3
