"""The control socket: asked by its owner, answered without waiting, harmed by nobody."""

from __future__ import annotations

import json
import os
import selectors
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.store.control_socket import SOCKET, ControlSocket, ask


class Loop:
    """Waits in a thread of its own, as a transport does in the supervisor's."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._stop, self._stopper = os.pipe()
        self._selector.register(self._stop, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run)

    def watch(self, end: Any, ready: Callable[[], None]) -> None:
        self._selector.register(end, selectors.EVENT_READ, ready)

    def unwatch(self, end: Any) -> None:
        self._selector.unregister(end)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        os.write(self._stopper, b".")
        self._thread.join()

    def close(self) -> None:
        self._selector.close()
        os.close(self._stop)
        os.close(self._stopper)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()


def echo(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"error": "你不行"} if request.get("do") == "fail" else {"heard": dict(request)}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which a control socket answers, deeper than the address of a socket is long."""
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    deep.mkdir(parents=True)
    loop = Loop()
    control = ControlSocket(deep, loop, echo)
    loop.start()
    yield deep
    loop.stop()
    control.close()
    loop.close()


def test_a_question_gets_its_answer_however_deep_the_folder(folder: Path) -> None:
    assert {"heard": {"do": "状态"}} == ask(folder, {"do": "状态"})


def test_a_refusal_comes_back_in_the_runs_own_words(folder: Path) -> None:
    with pytest.raises(UsageError, match="你不行"):
        ask(folder, {"do": "fail"})


def test_only_the_owner_may_use_the_socket(folder: Path) -> None:
    assert 0o600 == stat.S_IMODE((folder / SOCKET).stat().st_mode)


def test_a_caller_that_says_nothing_keeps_nobody_waiting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as broken:
        silent.connect(SOCKET)
        broken.connect(SOCKET)
        broken.sendall(b"{")
        broken.close()

        assert {"heard": {"do": "x"}} == ask(folder, {"do": "x"})


@pytest.mark.parametrize("said", [b"nonsense\n", b"[]\n", b"\xff\xfe\n", b"null\n", b"[" * 60_000 + b"\n"])
def test_what_is_no_request_is_answered_as_such(
    folder: Path, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(SOCKET)
        caller.sendall(said)

        assert {"error": "that is no request"} == json.loads(caller.makefile().readline())


def test_an_answer_that_has_no_utf_8_is_an_answer(folder: Path) -> None:
    assert {"heard": {"do": "\ud800"}} == ask(folder, {"do": "\ud800"})


def test_a_run_that_has_ended_is_said_to_have_ended(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not answer: it has ended, or is stopped"):
        ask(tmp_path, {"do": "status"})


def test_closing_takes_the_socket_away(tmp_path: Path) -> None:
    loop = Loop()
    ControlSocket(tmp_path, loop, echo).close()
    loop.close()

    assert [] == list(tmp_path.iterdir())
