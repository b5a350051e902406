"""One whole process, from its start to its end: time, processor time of all that it started, memory, idleness.

command ──► run_once ──► Reading       a glance at /proc every now and then only where memory or idleness is asked for
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_GLANCE = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE_FROM, _IDLE_TO = 1.5, 3.5


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run came to. Seconds; bytes; `idle_share` is of one core."""

    seconds: float
    cpu: float
    peak: int = 0
    idle_share: float = 0.0
    said: dict[str, float] = field(default_factory=dict)
    """The JSON object in the last line that a handler wrote, if there was one."""


class ContenderError(Exception):
    """A contender did not do its work; the message says what it said."""


def run_once(command: Sequence[str | Path], *, timeout: float, watch: bool = False) -> Reading:
    """Run a command to its end. `watch` looks at its processes meanwhile, which costs a little time.

    Raises:
        ContenderError: it ended with an error, or was still running after `timeout` seconds and was killed.
    """
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
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        for stream in (out, err):
            stream.seek(0)
        if process.returncode:
            raise ContenderError(err.read().decode(errors="replace").strip() or f"exit {process.returncode}")
        return Reading(
            seconds,
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            max((memory for _, memory, _ in glances), default=0),
            _idle_share(glances),
            _last_object(out.read().decode(errors="replace")),
        )


Glance = tuple[float, int, float]
"""Seconds since the start, bytes in memory, processor seconds used: of all processes together."""


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
        glances.append((time.perf_counter() - began, sum(map(_memory, pids)), sum(map(_used, pids))))
        time.sleep(_GLANCE)
    return glances


def _kill(process: subprocess.Popen[bytes]) -> None:
    family = list(_family(process.pid))
    for pid in family:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue
    process.wait()


def _family(pid: int) -> Iterable[int]:
    """A process and all that it and its own have started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _memory(pid: int) -> int:
    """What a process adds to the memory in use: pages that it shares count in proportion."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _used(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _idle_share(glances: Sequence[Glance]) -> float:
    """Processor time per second while all that is to be started has started, and all wait."""
    idle = [(at, used) for at, _, used in glances if _IDLE_FROM <= at <= _IDLE_TO]
    if len(idle) < 2:
        return 0.0
    return (idle[-1][1] - idle[0][1]) / (idle[-1][0] - idle[0][0])


def _last_object(text: str) -> dict[str, float]:
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            found: dict[str, float] = json.loads(line)
            return found
    return {}


def python(*arguments: str | Path) -> list[str | Path]:
    """The command that runs a script here with the interpreter that runs this."""
    return [sys.executable, *arguments]
