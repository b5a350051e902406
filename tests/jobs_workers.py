"""A worker's place for tests: a child process of its own, that runs requests and tells what it reported."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from runner.jobs.executor.attempt import JobAttempt
from runner.jobs.executor.wait import WakeupPipe
from runner.jobs.outcomes import JobOutcome
from runner.jobs.requests import CommandRequest, JobRequest, StepRequest
from runner.process.child import adopt_orphans

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """Call `work` in a fork that adopts orphans, as a worker does, and return what it returns."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            os.setsid()
            adopt_orphans(True)
            answer: Any = (True, work())
        except BaseException as error:
            answer = (False, f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "wb") as out:
            pickle.dump(answer, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        worked, answer = pickle.loads(source.read())
    os.waitpid(pid, 0)
    assert worked, answer
    result: T = answer
    return result


def shell(text: str, **facts: Any) -> StepRequest:
    """A step that is a line for the shell."""
    return StepRequest(text, CommandRequest(("sh", "-ec", text)), **facts)


def request(folder: Path, *steps: StepRequest, **facts: Any) -> JobRequest:
    """A request for these steps, which works and logs in `folder`."""
    given = {"number": 1, "leg": "job", "attempt": 1, "grace": 0.5, **facts}
    return JobRequest(
        steps=steps,
        log=str(folder / "job.log"),
        output=str(folder / "job.out"),
        directory=str(folder),
        **given,
    )


def attempt(
    what: JobRequest, *, revoke_when: Callable[[str], bool] | None = None
) -> tuple[JobOutcome, list[tuple[str, dict[str, Any]]]]:
    """Run an attempt in a child. It is revoked at the first report whose name `revoke_when` likes."""

    def work() -> tuple[JobOutcome, list[tuple[str, dict[str, Any]]]]:
        told: list[tuple[str, dict[str, Any]]] = []
        revoked = [False]

        def report(name: str, /, **fields: Any) -> None:
            told.append((name, fields))
            if revoke_when is not None and revoke_when(name):
                revoked[0] = True
                os.kill(os.getpid(), signal.SIGUSR1)

        ended = JobAttempt(what, report, WakeupPipe(), lambda: revoked[0]).run()
        return ended, told

    return in_child(work)


def read_log(what: JobRequest) -> str:
    """What the job printed."""
    return Path(what.log).read_text(encoding="utf-8")


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for what must come true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
