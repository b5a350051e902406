"""The lock of a run: its runner holds it from before its first word to its last, and the kernel lets go of it.

    runner ── flock ──► runs/<id>/lock         held: it lives · free: it was killed · not there: it has ended, or has
                                               no record, or the file system has no locks

No heartbeat. The pid in it is for whoever is refused: it may be another program's by the time that somebody looks. What
a run came to stands in `ended.json` beside its record, which may be damaged some day: it was not killed then. A run
whose record could not be kept to its end says there all that it knows of it, if it can, and takes its lock away, which
needs no room on a full disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.text import write_atomically

LOCK = "lock"
ENDED = "ended.json"
_LOOK_SECONDS = 0.5
"""For which somebody may look whether a run is held, before that counts as holding it."""
_LOOK_AGAIN = 0.005


class RunLock:
    """The runner's hold on its run. No process that it forks may keep a copy of it."""

    def __init__(self, folder: Path, *, is_new: bool = True) -> None:
        """Take it, in the folder of a run that is new, or whose runner is gone.

        Raises:
            RunHeld: it is not gone, or another goes on with the run already.
            OSError: there are no locks.
        """
        self._path = folder / LOCK
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(self._fd, None if is_new else _LOOK_SECONDS)
            if not os.path.samestat(os.fstat(self._fd), self._path.stat()):
                raise BlockingIOError  # its last holder took it away: whoever comes now makes another
        except BlockingIOError as error:
            holder = _holder(self._fd)
            self.release()
            raise RunHeld(holder) from error
        except OSError:
            if is_new:
                self.remove()
            self.release()
            raise
        with contextlib.suppress(OSError):  # on a full disk nobody is named
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def remove(self) -> None:
        """Take the file away, so that its being free says nothing."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let go: what is to be known of the run's end is written."""
        os.close(self._fd)


class RunHeld(Exception):
    """Somebody else runs it."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}" if pid is not None else "held")
        self.pid = pid
        """Who; None where nobody could write it down."""


class WriterHold:
    """The recorder's hold on the folder of its run, so that two never write one record. The kernel lets go of it.

    It outlives the runner's: a recorder writes what is left when that is killed. The folder itself is what is locked:
    closing a database that is opened once more lets go of SQLite's own locks.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        """Wait for another's end, so long at most. Raises TimeoutError. Where there are no locks nothing is held."""
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(self._fd, seconds)
        except BlockingIOError as error:
            os.close(self._fd)
            raise TimeoutError("the process that kept its record before still writes") from error
        except OSError:
            pass

    def release(self) -> None:
        """Let another write."""
        os.close(self._fd)


def _lock(descriptor: int, seconds: float | None) -> None:
    """Take a lock. Raises BlockingIOError where another has it for longer than so many seconds; OSError if none can."""
    if seconds is None:
        # Waits for whoever is looking at this moment whether it is held, which takes microseconds.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_AGAIN)
        else:
            return


def _holder(descriptor: int) -> int | None:
    try:
        return int(os.pread(descriptor, 20, 0))
    except (OSError, ValueError):
        return None


def is_held(folder: Path) -> bool | None:
    """Say whether somebody holds the lock of a run; None where there is no lock to tell by."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def write_ended(folder: Path, ended: Mapping[str, Any]) -> None:
    """Say what a run came to. Raises OSError, as on a disk that is full."""
    write_atomically(folder / ENDED, json.dumps(ended, default=repr).encode(), mode=0o600)


def read_ended(folder: Path) -> dict[str, Any] | None:
    """Read what a run came to; None where nothing sensible is written, as while it runs, or where it was killed."""
    try:
        ended = json.loads((folder / ENDED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return ended if isinstance(ended, dict) else None


def forget_ended(folder: Path) -> None:
    """The run goes on. Raises nothing."""
    with contextlib.suppress(OSError):
        (folder / ENDED).unlink(missing_ok=True)


def process_start(pid: int) -> int | None:
    """Return when a process began, in ticks since the machine did: with its pid it is one process for good."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def boot_id() -> str | None:
    """Return what names the time since the machine was switched on."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
