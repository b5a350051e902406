"""The kind `serve`: from options to a server at work, in this process; and what its two shapes of handlers get."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.errors import HandlerError
from runner.handlers.kinds import LISTENER, Address, Task, WorkerContext
from runner.handlers.listeners import ListenerResource
from runner.handlers.server import SERVE, build, by_line
from runner.process.resources.base import ReadyResource

PATIENCE = 20.0

HANDLERS = """
def talk(conn, address, board, greeting="hello"):
    board["met"] = address[0]
    conn.sendall(f"{greeting} {conn.recv(100).decode()}".encode())

def hear(conn):
    conn.sendall(conn.recv(100)[::-1])

def answer(line, suffix=""):
    return line.strip().upper() + suffix.encode()

class Counter:
    def __init__(self, start=0):
        self.count = start
    def __call__(self, line):
        self.count += 1
        return str(self.count).encode()
    def close(self):
        from pathlib import Path
        Path(__file__).with_name("closed").write_text(str(self.count))

def drive(queue): ...
"""

Ask = Callable[..., bytes]


@pytest.fixture
def board() -> dict[str, str]:
    return {}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one that comes late must not end the tests
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def ask(tmp_path: Path, listener: socket.socket, board: dict[str, str]) -> Ask:
    """Serve one client in this process, and return what it was answered."""
    (tmp_path / "door.py").write_text(HANDLERS)

    def ask(handler: str, text: bytes, **arguments: Any) -> bytes:
        context = WorkerContext(
            name="door-1",
            stage="door",
            pid=1,
            ppid=0,
            beside=str(tmp_path),
            arguments=arguments,
            resources={LISTENER: ListenerResource(listener), "board": ReadyResource(board)},
        )
        task = build({"handler": f"door:{handler}", "idle_timeout": PATIENCE}, context)
        assert isinstance(task, Task)
        address, answers = listener.getsockname(), []

        def come() -> None:
            with socket.create_connection(address, timeout=PATIENCE) as client:
                client.sendall(text)
                answers.append(client.recv(100))
            os.kill(os.getpid(), signal.SIGTERM)

        client = threading.Thread(target=come)
        client.start()
        task.call()
        task.close()
        client.join()
        return answers[0]

    return ask


@pytest.mark.parametrize(
    ("handler", "arguments", "text", "answer"),
    [
        ("talk", {}, b"neo", b"hello neo"),
        ("talk", {"greeting": "你好"}, b"neo", "你好 neo".encode()),
        ("hear", {}, b"abc", b"cba"),
        ("answer", {}, b"bun\n", b"BUN"),
        ("answer", {"suffix": "!"}, b"bun\n", b"BUN!"),
        ("Counter", {"start": 6}, b"bun\n", b"7"),
    ],
)
def test_each_shape_of_handler_answers(
    ask: Ask, handler: str, arguments: dict[str, Any], text: bytes, answer: bytes
) -> None:
    assert answer == ask(handler, text, **arguments)


def test_a_conversation_gets_what_the_file_declares_and_where_its_client_is(
    ask: Ask, board: dict[str, str]
) -> None:
    ask("talk", b"neo")

    assert {"met": "127.0.0.1"} == board


def test_a_class_that_answers_lines_is_closed_at_the_end(ask: Ask, tmp_path: Path) -> None:
    ask("Counter", b"bun\n", start=6)

    assert "7" == (tmp_path / "closed").read_text()


def test_a_handler_that_wants_a_queue_is_refused(ask: Ask) -> None:
    with pytest.raises(HandlerError, match="'door:drive' asks for a queue, and a server has none"):
        ask("drive", b"")


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, Address("127.0.0.1", 0, 1024)),
        ({"host": "::1", "port": 80, "backlog": 5}, Address("::1", 80, 5)),
    ],
)
def test_where_it_listens_is_read_from_the_options(options: dict[str, Any], address: Address) -> None:
    assert SERVE.listens is not None
    assert address == SERVE.listens({"handler": "m:f", **options})


@pytest.mark.parametrize(
    ("answer", "sent", "received"),
    [
        (lambda line: line.upper(), b"a\nb\nc", b"A\nB\nC"),
        (lambda _line: None, b"a\n", b""),
        (lambda line: memoryview(line)[:1], b"xyz\n", b"x"),
    ],
)
def test_a_function_of_a_line_is_called_with_each(
    answer: Callable[[object], object], sent: bytes, received: bytes
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        by_line(answer)(theirs, None)
        theirs.shutdown(socket.SHUT_WR)

        assert received == ours.recv(1024)


def test_what_is_sent_back_has_to_be_bytes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"bun\n")

        with pytest.raises(TypeError, match="what is sent back has to be bytes, or None; got str"):
            by_line(lambda _line: "bun")(theirs, None)


@pytest.mark.parametrize("patience", [0.3, 5.0])
@pytest.mark.quick("0.3")
def test_a_line_has_its_time_however_many_bytes_of_it_come(patience: float) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(patience)
    theirs.sendall(b"first\n")
    got: list[bytes] = []
    over = threading.Event()

    def drip() -> None:
        for number in range(20):
            if over.wait(0.05):
                return
            theirs.send(b"\n" if number == 19 else b"x")
        theirs.close()

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        by_line(got.append)(ours, None)
        timed_out = False
    except TimeoutError:
        timed_out = True
    over.set()
    dripping.join()
    ours.close()
    theirs.close()

    expected = ([b"first\n"], True) if patience < 1 else ([b"first\n", b"x" * 19 + b"\n"], False)
    assert expected == (got, timed_out)


def test_a_conversation_is_hung_up_on_when_its_time_is_up(tmp_path: Path, listener: socket.socket) -> None:
    (tmp_path / "door.py").write_text("def talk(conn):\n    while conn.recv(1):\n        pass\n")
    resources = {LISTENER: ListenerResource(listener)}
    context = WorkerContext(name="d", stage="d", pid=1, ppid=0, beside=str(tmp_path), resources=resources)
    options = {"handler": "door:talk", "connections": 1, "conversation_timeout": 0.2}
    task = build(options, context)
    assert isinstance(task, Task)
    ends: list[bytes] = []

    def come() -> None:
        for _ in range(2):  # the second waits for the place of the first
            with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
                client.sendall(b"I talk")
                ends.append(client.recv(1))
        os.kill(os.getpid(), signal.SIGTERM)

    client = threading.Thread(target=come)
    client.start()
    task.call()
    task.close()
    client.join()

    assert [b"", b""] == ends
