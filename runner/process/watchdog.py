"""The watchdog: a small process that outlives the supervisor by a moment, to end whatever a SIGKILL of it left behind.

    supervisor ── each worker's pid, in a table that both have in memory; "." at an orderly end ──► watchdog
                  end of file without the "." : kill every session in the table, then whatever belongs to the run

The kernel ends the workers themselves (PR_SET_PDEATHSIG); this is for what they had started. A process is ours if it
is in a worker's session, if its environment has `MPRUN_RUN=<id>`, as that of every program does which a worker
started, or if it has the run's tag, which survives fork, exec, a session of its own and an emptied environment:

    worker ── apply_tag ──► RLIMIT_MSGQUEUE and RLIMIT_SIGPENDING a little below what they were, by the run's number
       └── whatever it starts inherits them (getrlimit(2)) ──► has_tag, read from /proc/PID/limits

Nothing else that is inherited so surely can be read from outside without privileges. Both limits stay high enough for
whoever needs them: at least half of what there was. Each run has a number of its own among some billions.
"""

from __future__ import annotations

import binascii
import contextlib
import mmap
import os
import resource
import signal
import time
from pathlib import Path
from typing import NoReturn

from runner.errors import MprunInternalError
from runner.ipc.descriptors import stand_apart
from runner.process.child import TRACKER_SECONDS, is_resource_tracker

RUN_VARIABLE = "MPRUN_RUN"
_FAREWELL = b"."
_MOST_SESSIONS = 1 << 16
_PID_BYTES = 4
_SWEEPS = 20
_PAUSE = 0.05
_SESSION_FIELD = 3  # counted after the name: state, ppid, pgrp, session (proc_pid_stat(5))


class PidRegistry:
    """Knows which workers exist, to end them if the supervisor is killed. This one forgets: they are no processes."""

    def register(self, pid: int) -> None:
        """A worker exists, and leads session `pid`."""

    def unregister(self, pid: int) -> None:
        """Worker `pid` was reaped, so that its number may be used again."""


class SessionTable(PidRegistry):
    """The sessions of workers, in memory that whoever is forked by its maker right then sees too; nobody is woken.

    Of more workers than there are places the last are not in it: what they leave is known by its mark and its tag.
    """

    def __init__(self, places: int = _MOST_SESSIONS) -> None:
        """Make an empty one."""
        self._memory = mmap.mmap(-1, places * _PID_BYTES)
        self._pids = memoryview(self._memory).cast("I")
        self._free = iter(range(places))
        self._given_back: list[int] = []
        self._places: dict[int, int] = {}

    def register(self, pid: int) -> None:
        """Note it."""
        place = self._given_back.pop() if self._given_back else next(self._free, None)
        if place is not None:
            self._places[pid] = place
            self._pids[place] = pid

    def unregister(self, pid: int) -> None:
        """Forget it; one that is not in it is no error."""
        if (place := self._places.pop(pid, None)) is not None:
            self._pids[place] = 0
            self._given_back.append(place)

    def sessions(self) -> frozenset[int]:
        """Return those that are open."""
        return frozenset(self._pids) - {0}

    def keep_here(self) -> None:
        """Let no process have it that is forked from now on."""
        self._memory.madvise(mmap.MADV_DONTFORK)

    def close(self) -> None:
        """Give the memory back."""
        self._pids.release()
        self._memory.close()


class Watchdog(PidRegistry):
    """The supervisor's handle on its watchdog."""

    def __init__(self, run: str) -> None:
        """Fork the watchdog. Called before any worker exists, and while this process has one thread.

        Raises:
            OSError: the system has no process or descriptor left to give.
        """
        listening, self._fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self._table = SessionTable()
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _watch(listening, self._table, run)
        except OSError:
            os.close(self._fd)
            self._table.close()
            raise
        finally:
            os.close(listening)
        self._table.keep_here()

    def register(self, pid: int) -> None:
        """Note it; never blocks."""
        self._table.register(pid)

    def unregister(self, pid: int) -> None:
        """Forget it; never blocks."""
        self._table.unregister(pid)

    def fileno(self) -> int:
        """The descriptor that no worker may inherit: as long as one holds it, the watchdog sees no end."""
        return self._fd

    def close(self) -> None:
        """The run has ended in order: let the watchdog exit, and wait for that; it has nothing else to do."""
        # One that was killed must not stop the run.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._fd, _FAREWELL)
        os.close(self._fd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self._table.close()


def _watch(listening: int, table: SessionTable, run: str) -> NoReturn:
    """The watchdog's whole life, in the forked child."""
    try:
        listening = stand_apart(listening)
        # Once it is said there is no more to hear, even if somebody's child still holds the other end.
        if os.read(listening, 1) != _FAREWELL:
            end_left_behind(table.sessions(), run)
    finally:
        os._exit(0)  # whatever went wrong, this copy of the supervisor must not go on as one


def end_left_behind(sessions: frozenset[int], run: str) -> None:
    """
    Kill what belongs to the run until a sweep finds nothing; bounded, since a process may be stuck in the kernel.

    A resource tracker ends by itself once those are gone that it cleans up after, and has a moment for it.
    """
    tag = tag_of(run)
    trackers_until = time.monotonic() + TRACKER_SECONDS
    for _ in range(_SWEEPS + int(TRACKER_SECONDS / _PAUSE)):
        found = [pid for pid in _processes() if _belongs(pid, sessions, run, tag)]
        if not found:
            return
        for pid in found:
            if time.monotonic() < trackers_until and is_resource_tracker(pid):
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def left_behind(run: str) -> list[int]:
    """
    Name the processes of a run that is dead and its watchdog too: by what they inherited, as nobody knows its sessions.

    Nothing where this process is one of them, as in a shell that a handler has left: it would end itself.
    """
    tag = tag_of(run)
    if os.environ.get(RUN_VARIABLE) == run or has_tag(Path("/proc/self"), tag):
        return []
    return [pid for pid in _processes() if _belongs(pid, frozenset(), run, tag)]


def _belongs(pid: int, sessions: frozenset[int], run: str, tag: Tag) -> bool:
    folder = Path("/proc", str(pid))
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        if fields[0] == "Z" or pid == os.getpid():
            return False
        if int(fields[_SESSION_FIELD]) in sessions:
            return True
        carries = f"{RUN_VARIABLE}={run}".encode() in (folder / "environ").read_bytes().split(b"\0")
        return carries or has_tag(folder, tag)
    except (OSError, IndexError):  # gone meanwhile, or somebody else's
        return False


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


_LIMITS = (
    (resource.RLIMIT_MSGQUEUE, b"Max msgqueue size"),
    (resource.RLIMIT_SIGPENDING, b"Max pending signals"),
)
_LARGEST = 1 << 20

Tag = tuple[int, ...]
"""The soft limits of whoever belongs to a run."""


def tag_of(run: str) -> Tag:
    """Work out a run's tag from its id and the hard limits of this process."""
    number, tag = binascii.crc32(run.encode()), []
    for limit, _ in _LIMITS:
        _, hard = resource.getrlimit(limit)
        top = _LARGEST if hard == resource.RLIM_INFINITY else min(hard, _LARGEST)
        number, below = divmod(number, max(1, top // 2))
        tag.append(top - below)
    return tuple(tag)


def apply_tag(tag: Tag) -> None:
    """Called in a fresh worker: tag it, and so all that comes from it."""
    for (limit, _), soft in zip(_LIMITS, tag, strict=True):
        with contextlib.suppress(ValueError, OSError):  # the other ways to know it are left
            resource.setrlimit(limit, (soft, soft))  # so that whoever raises what it may raise keeps it


def has_tag(process: Path, tag: Tag) -> bool:
    """Whether a process, given by its folder in /proc, has_tag a tag. Raises OSError if it is gone or out of reach."""
    lines = (process / "limits").read_bytes().splitlines()
    return all(_soft_limit(lines, name) == soft for (_, name), soft in zip(_LIMITS, tag, strict=True))


def _soft_limit(lines: list[bytes], name: bytes) -> int | None:
    for line in lines:
        if line.startswith(name):
            soft = line[len(name) :].split()[0]
            return int(soft) if soft.isdigit() else None
    raise MprunInternalError(f"/proc has no line '{name.decode()}'")
