"""A process that watches folders, and tells of files that have changed in them.

    folders ──► FileChanges ── fork ──► watchfiles ── a line of JSON for a burst of changes ──► pipe ──► changed()

It has the threads that watching takes, so that whoever asks can go on forking, and it is killed with that.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from runner.errors import MprunError
from runner.process.child import die_with_parent

_BURST_MS = 400
"""How long changes that come one after the other are put together, at the most."""
_QUIET_MS = 50
_TURN_MS = 300
_NEVER = frozenset({".git", ".hg", ".svn", ".mprun"})
"""Folders in which no change matters to anybody."""


class FileChanges:
    """Changes in some folders and all below them. `fileno()` is readable once there are some."""

    def __init__(self, folders: Iterable[Path], without: Path) -> None:
        """Watch, leaving out what is below `without`. When this returns no change is missed any more.

        Raises:
            MprunError: they can't be watched.
        """
        self._reading, writing = os.pipe2(os.O_CLOEXEC)
        self._rest = b""
        self._found: set[str] = set()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.setsid()  # Ctrl-C is for whoever has started it
                die_with_parent(parent)
                os.close(self._reading)
                _watch(sorted(map(str, folders)), str(without), writing)
            finally:
                os._exit(1)
        os.close(writing)
        self._read()  # the first line says that it watches

    def fileno(self) -> int:
        """For a poll."""
        return self._reading

    def changed(self) -> set[str]:
        """Return the absolute paths that have changed since the last time. To be called when there are some."""
        if not self._found:
            self._read()
        found, self._found = self._found, set()
        return found

    def close(self) -> None:
        """Watch no more."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._reading)

    def _read(self) -> None:
        """Read one line at least. Raises MprunError."""
        while b"\n" not in self._rest:
            chunk = os.read(self._reading, 1 << 16)
            if not chunk:
                raise MprunError("the process that watches files has ended; is it out of memory?")
            self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            told = json.loads(line)
            if isinstance(told, str):
                raise MprunError(f"files can't be watched: {told}")
            self._found |= {os.fsdecode(bytes.fromhex(path)) for path in told}


def _watch(folders: list[str], without: str, writing: int) -> None:
    import watchfiles

    def matters(_change: watchfiles.Change, path: str) -> bool:
        parts = path.split("/")
        return not (path == without or path.startswith(f"{without}/") or _NEVER.intersection(parts))

    def tell(what: object) -> None:
        rest = json.dumps(what).encode() + b"\n"
        while rest:
            rest = rest[os.write(writing, rest) :]

    try:
        is_first = True
        for changes in watchfiles.watch(
            *folders,
            watch_filter=matters,
            debounce=_BURST_MS,
            step=_QUIET_MS,
            rust_timeout=_TURN_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            if changes or is_first:
                tell(sorted({os.fsencode(path).hex() for _, path in changes}))
            is_first = False
    except Exception as error:  # whatever it is, whoever waits for the first word has to hear of it
        tell(str(error) or type(error).__name__)
