"""The warden: a small process that outlives the supervisor by a moment, to end whatever a SIGKILL of it left behind.

    supervisor ── "+pid" at each birth, "-pid" at each death, "." at an orderly end ──► warden
                  end of file without the "." : kill every session on the list, then whatever carries the run's mark

The kernel ends the workers themselves (PR_SET_PDEATHSIG); this is for what they had started. A process is ours if it
is in a worker's session, if its environment carries `MPRUN_RUN=<id>`, as that of every program does which a worker
started, or if it bears the run's brand (brand.py), which survives a session of its own and an emptied environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from runner.brand import Brand, bears, brand_of

MARK = "MPRUN_RUN"
_SWEEPS = 20
_PAUSE = 0.05
_SESSION_FIELD = 3  # counted after the name: state, ppid, pgrp, session (proc_pid_stat(5))


class Warden:
    """The supervisor's handle on its warden."""

    def __init__(self, run: str) -> None:
        """Fork the warden. Called before any worker exists, and while this process has one thread.

        Raises:
            OSError: the system has no process or descriptor left to give.
        """
        listening, self._fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _stand_watch(listening, run)
        except OSError:
            os.close(self._fd)
            raise
        finally:
            os.close(listening)

    def born(self, pid: int) -> None:
        """Note that a worker leads session `pid`."""
        self._tell(f"+{pid}\n")

    def died(self, pid: int) -> None:
        """Note that worker `pid` was reaped, so that its number may be used again."""
        self._tell(f"-{pid}\n")

    def fileno(self) -> int:
        """The descriptor that no worker may inherit: as long as one holds it, the warden sees no end."""
        return self._fd

    def dismiss(self) -> None:
        """The run has ended in order: send the warden home. Waits for it; it has nothing to do but leave."""
        self._tell(".")
        os.close(self._fd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _tell(self, word: str) -> None:
        # A warden that was killed, or is stopped with a full pipe, must not stop the run.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self._fd, word.encode())


def _stand_watch(listening: int, run: str) -> NoReturn:
    """The warden's whole life, in the forked child."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.setsid()
        # Above the standard three, which a supervisor may have been started without.
        listening = fcntl.fcntl(listening, fcntl.F_DUPFD_CLOEXEC, 3)
        _close_all_but(listening)
        words = _read_to_end(listening)
        if not words.endswith("."):
            end_left_behind(sessions_of(words), run)
    finally:
        os._exit(0)  # whatever went wrong, this copy of the supervisor must not go on as one


def sessions_of(words: str) -> frozenset[int]:
    """Fold what the supervisor told into the sessions that are still open."""
    open_sessions: set[int] = set()
    for word in words.split():
        if word[1:].isdecimal():
            (open_sessions.add if word[0] == "+" else open_sessions.discard)(int(word[1:]))
    return frozenset(open_sessions)


def end_left_behind(sessions: frozenset[int], run: str) -> None:
    """Kill what belongs to the run until a sweep finds nothing; bounded, since a process may be stuck in the kernel."""
    brand = brand_of(run)
    for _ in range(_SWEEPS):
        found = [pid for pid in _processes() if _belongs(pid, sessions, run, brand)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def _belongs(pid: int, sessions: frozenset[int], run: str, brand: Brand) -> bool:
    folder = Path("/proc", str(pid))
    try:
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        if fields[0] == "Z" or pid == os.getpid():
            return False
        if int(fields[_SESSION_FIELD]) in sessions:
            return True
        carries = f"{MARK}={run}".encode() in (folder / "environ").read_bytes().split(b"\0")
        return carries or bears(folder, brand)
    except (OSError, IndexError):  # gone meanwhile, or somebody else's
        return False


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read_to_end(descriptor: int) -> str:
    words = b""
    # After the full stop there is no more to hear, even if somebody's child still holds the other end.
    while not words.endswith(b".") and (chunk := os.read(descriptor, 65536)):
        words += chunk
    return words.decode(errors="replace")


def _close_all_but(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
