"""One whole process, from its start to its end: time, processor time of all that it started, memory, idleness.

command ──► run_once ──► Reading       a glance at /proc every now and then only where memory or idleness is asked for

Processor time is that of the whole tree: what its own parent has not waited for comes to us, and counts too.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_GLANCE = 0.05
_IDLE_FROM, _IDLE_TO = 12.0, 19.0
"""Seconds from the start: a run in which nothing moves looks ever more seldom whether anything does."""
_GRACE = 2.0
"""Seconds that what outlives the command has to end by itself."""
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run came to. Seconds; bytes; `idle_share` is of one core."""

    seconds: float
    cpu: float
    peak: int = 0
    shared: int = 0
    """The most that the processes had in common, as of memory that big items lie in."""
    idle_share: float = 0.0
    said: dict[str, float] = field(default_factory=dict)
    """What was said in JSON objects, one a line; of what several have said the largest."""


class ContenderError(Exception):
    """A contender did not do its work; the message says what it said."""


def run_once(command: Sequence[str | Path], *, timeout: float, watch: bool = False) -> Reading:
    """Run a command to its end. `watch` looks at its processes meanwhile, which costs a little time.

    Raises:
        ContenderError: it ended with an error, or was still running after `timeout` seconds and was killed.
    """
    _adopt_orphans()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start would compile what it imports, again
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,
        )
        try:
            glances = _look_on(process, began + timeout) if watch else _wait(process, timeout)
        except BaseException:  # also Ctrl-C and SIGTERM: nothing that was started goes on by itself
            _kill(process)
            raise
        seconds = time.perf_counter() - began
        _reap_orphans()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        for stream in (out, err):
            stream.seek(0)
        if process.returncode:
            raise ContenderError(err.read().decode(errors="replace").strip() or f"exit {process.returncode}")
        return Reading(
            seconds,
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            max((glance.private + glance.shared for glance in glances), default=0),
            max((glance.shared for glance in glances), default=0),
            _idle_share(glances),
            _said(out.read().decode(errors="replace")),
        )


@dataclass(frozen=True, slots=True)
class Glance:
    """Of all processes together, so many seconds after the start: bytes in memory, processor seconds used."""

    at: float
    private: int
    shared: int
    used: float


def _wait(process: subprocess.Popen[bytes], timeout: float) -> list[Glance]:
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise ContenderError("not done in time") from None
    return []


def _look_on(process: subprocess.Popen[bytes], deadline: float) -> list[Glance]:
    began, glances = time.perf_counter(), []
    while process.poll() is None:
        if time.perf_counter() > deadline:
            raise ContenderError("not done in time")
        pids = list(_family(process.pid))
        glances.append(Glance(time.perf_counter() - began, *_memory(pids), sum(map(_used, pids))))
        time.sleep(_GLANCE)
    return glances


def _kill(process: subprocess.Popen[bytes]) -> None:
    for pid in list(_family(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    _reap_orphans()


def _adopt_orphans() -> None:
    """Be the parent of what a command leaves behind."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap_orphans() -> None:
    """Wait for what the command has left behind, and kill what stays."""
    deadline = time.perf_counter() + _GRACE
    while children := _children(os.getpid()):
        for pid in children:
            if time.perf_counter() > deadline:
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.001)


def _family(pid: int) -> Iterable[int]:
    """A process and all that it and its own have started."""
    yield pid
    for child in _children(pid):
        yield from _family(child)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in _listed(Path(f"/proc/{pid}/task")):
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _listed(folder: Path) -> list[Path]:
    """What is in a folder of a process, or nothing if that has ended."""
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []


def _memory(pids: Iterable[int]) -> tuple[int, int]:
    """What processes have in memory, each its own, and together: shared pages and open files in memory, once."""
    private = shared = 0
    files: dict[tuple[int, int], int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes = {line.partition(":")[0]: 1024 * int(line.split()[1]) for line in lines[1:]}
            private += sizes["Pss"] - sizes["Pss_Shmem"]
            shared += sizes["Pss_Shmem"]
        files |= _memory_files(pid)
    return private, max(shared, sum(files.values()))


def _memory_files(pid: int) -> dict[tuple[int, int], int]:
    """The bytes of each file in memory that a process has open, whether anybody has mapped them or not."""
    found = {}
    for descriptor in _listed(Path(f"/proc/{pid}/fd")):
        with contextlib.suppress(OSError):
            if descriptor.readlink().as_posix().startswith(("/memfd:", "/dev/shm/")):
                status = descriptor.stat()
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return found


def _used(pid: int) -> float:
    """The processor seconds of a process that lives, by the scheduler's clock of nanoseconds."""
    used = 0.0
    for task in _listed(Path(f"/proc/{pid}/task")):
        with contextlib.suppress(OSError):
            used += int((task / "schedstat").read_text().split()[0]) / 1e9
    return used


def _idle_share(glances: Sequence[Glance]) -> float:
    """Processor time per second while all that is to be started has started, and all wait."""
    idle = [glance for glance in glances if _IDLE_FROM <= glance.at <= _IDLE_TO]
    if len(idle) < 2:
        return 0.0
    return (idle[-1].used - idle[0].used) / (idle[-1].at - idle[0].at)


def _said(text: str) -> dict[str, float]:
    said: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("{"):
            found: dict[str, float] = json.loads(line)
            said |= {name: max(value, said.get(name, value)) for name, value in found.items()}
    return said


def python(*arguments: str | Path) -> list[str | Path]:
    """The command that runs a script here with the interpreter that runs this."""
    return [sys.executable, *arguments]
