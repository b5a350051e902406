"""The lock of a run: its runner holds it from before its first word to its last, and the kernel lets go of it.

    runner ── flock ──► runs/<id>/lock         held: it lives · free: it was killed · not there: it has ended, or has
                                               no record, or the file system has no locks

No heartbeat, and no pid that may be another program's by now. A run whose record could not be kept to its end takes its
lock away, which needs no room on a full disk, and says in `ended.json`, if it can, what it came to.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.text import write_atomically

LOCK = "lock"
ENDED = "ended.json"


class RunLock:
    """The runner's hold on its run. No process that it forks may keep a copy of it."""

    def __init__(self, folder: Path) -> None:
        """Take it, in the folder of a run that is new. Raises OSError where there are no locks."""
        self._path = folder / LOCK
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Waits for whoever is looking at this moment whether it is held, which takes microseconds.
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError:
            self.remove()
            self.release()
            raise

    def remove(self) -> None:
        """Take the file away, so that its being free says nothing."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let go: what is to be known of the run's end is written."""
        os.close(self._fd)


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
    """Say what a run came to whose record is incomplete. Raises OSError, as on the disk that was full."""
    write_atomically(folder / ENDED, json.dumps(ended).encode(), mode=0o600)


def read_ended(folder: Path) -> dict[str, Any] | None:
    """Read what a run came to whose record is incomplete; None where nothing sensible is written."""
    try:
        ended = json.loads((folder / ENDED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return ended if isinstance(ended, dict) else None


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
