"""A fresh worker from inside: what it still has of its parent, and what it has not."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.ipc.descriptors import close_all_but
from runner.process.bootstrap import bootstrap_worker
from runner.process.child import ChildProcess
from runner.spec.failures import OnError
from runner.spec.model import HandlerRef, Role
from runner.spec.plan import WorkerPlan


def plan(**changes: Any) -> WorkerPlan:
    facts: dict[str, Any] = {
        "name": "neo",
        "stage": "chef",
        "role": Role.PLAIN,
        "handler": HandlerRef("python", "baozi:steam"),
        "arguments": {},
        "receives": None,
        "sends": None,
        "daemon": False,
        "on_error": OnError.FAIL,
        "start_method": "fork",
        "env": {},
        "cwd": None,
        "nice": 0,
        "beside": ".",
    }
    return WorkerPlan(**facts | changes)


def ask(question: Callable[[], object], settled: WorkerPlan, *held: int) -> Any:
    """Return what `question` answers in a worker that has settled in. It keeps `held` besides its way to answer."""
    reading, writing = os.pipe()
    arguments = (question, settled, os.getpid(), writing, held)
    child = ChildProcess(_answer, arguments, name="neo", daemon=False, method="fork")
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.read()
    assert reap(child) == 0, "the worker could not answer"
    return json.loads(answer)


def reap(child: ChildProcess) -> int:
    readable, _, _ = select.select([child], [], [], 20)
    assert readable, "it did not die"
    return child.reap()


def _answer(
    question: Callable[[], object], settled: WorkerPlan, parent: int, writing: int, held: tuple[int, ...]
) -> None:
    bootstrap_worker(settled, parent, (writing, *held))
    os.write(writing, json.dumps(question()).encode())


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_worker_leads_its_own_session() -> None:
    answer = ask(lambda: [os.getpid(), os.getsid(0), os.getpgid(0)], plan())

    assert 1 == len(set(answer))
    assert os.getsid(0) not in answer


def test_a_worker_keeps_the_standard_streams_and_what_it_needs_and_no_more() -> None:
    kept, stray = os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)

    answer = ask(lambda: [_is_open(fd) for fd in (0, 1, 2, kept, stray)], plan(), kept)
    os.close(kept)
    os.close(stray)

    assert [True, True, True, True, False] == answer


def test_signals_are_what_they_were_before_the_supervisor_heeded_them() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    reading, writing = os.pipe2(os.O_NONBLOCK)
    before = [signal.signal(number, _heed) for number in numbers]
    woken = signal.set_wakeup_fd(writing)
    try:
        answer = ask(lambda: [_name_of(signal.getsignal(number)) for number in numbers], plan())
        wakeup = ask(lambda: signal.set_wakeup_fd(-1), plan())
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)

    assert ["default_int_handler", "SIG_DFL", "SIG_DFL", "SIG_DFL"] == answer
    assert -1 == wakeup


def _heed(_number: int, _frame: object) -> None:
    """What a supervisor's own handler stands for."""


def _name_of(handler: Any) -> str:
    name: str = getattr(handler, "name", None) or handler.__name__
    return name


def test_the_surroundings_are_those_of_the_plan(tmp_path: Path) -> None:
    settled = plan(env={"DOUGH": "面团"}, cwd=str(tmp_path), nice=1)
    nice = os.nice(0)

    answer = ask(lambda: [os.environ["DOUGH"], str(Path.cwd()), os.nice(0)], settled)

    assert ["面团", str(tmp_path), min(nice + 1, 19)] == answer
    assert "DOUGH" not in os.environ


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    def settle() -> str:
        try:
            bootstrap_worker(plan(cwd=str(tmp_path / "gone")), os.getppid(), None)
        except OSError as error:
            return type(error).__name__
        return "settled in"

    assert "FileNotFoundError" == ask(settle, plan())


def test_a_worker_whose_parent_is_gone_ends_at_once() -> None:
    arguments = (plan(), os.getppid(), ())
    child = ChildProcess(bootstrap_worker, arguments, name="neo", daemon=False, method="fork")

    assert 1 == reap(child)


def test_a_session_leader_can_be_bootstrapped_too() -> None:
    def settle() -> bool:
        bootstrap_worker(plan(), os.getppid(), None)
        return os.getsid(0) == os.getpid()

    assert ask(settle, plan())


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_both_streams_speak_utf8_whatever_the_locale(locale: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM, encoding="utf-8")
    environ = {
        key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))
    }
    settings = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, program],
        env={**environ, **settings},
        capture_output=True,
        check=False,
        timeout=60,
    )

    expected = "neo 生产了 neo的包子0\nhalf \\ud83e\n".encode()
    assert (expected, expected, 0) == (done.stdout, done.stderr, done.returncode)


_PROGRAM = """
import os, sys
from runner.process.bootstrap import bootstrap_worker
from runner.spec.plan import WorkerPlan
from runner.spec.model import HandlerRef, OnError, Role

handler = HandlerRef("python", "baozi:steam")
plan = WorkerPlan("neo", "chef", Role.PLAIN, handler, {}, None, None, False, OnError.FAIL, "fork", {}, None, 0, ".")
bootstrap_worker(plan, os.getppid(), ())
for stream in (sys.stdout, sys.stderr):
    print("neo 生产了 neo的包子0", file=stream)
    print("half \\ud83e", file=stream)
os._exit(0)  # with nothing flushed: each line has left when it was whole
"""


@pytest.mark.parametrize("kept", [(0, 1, 2), (5, 7), (0, 9), (3,), (4, 5, 6), ()])
def test_only_what_is_kept_stays_open(kept: tuple[int, ...]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            for descriptor in range(10):
                os.dup2(2, descriptor)
            close_all_but(kept)
            os._exit(0 if tuple(filter(_is_open, range(100))) == kept else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(pid, 0)

    assert 0 == status
