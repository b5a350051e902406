"""The supervisor's hand on a folder of files, and what workers note of those that they make.

    pages/.mprun/d5fc/writer-1         the file that is being written
    pages/.mprun/d5fc/writer-1.made    place, inode, time and name of each, where a run can be resumed

Places of items that were put after the last cut are given again, to others perhaps. So whoever goes on with the run
takes away the files that were made of those.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.facts import dataclass
from runner.handlers.outputs import HiddenOutput, KeptOutput, Opening, OutputRefused, WriteMode, remedy
from runner.handlers.sinks.hidden import hidden, inode, status
from runner.handlers.sinks.holds import refuse_others, refuse_writers, take
from runner.handlers.sinks.renames import exchange

PARTIAL = ".mprun"
"""Where files are that are being written, within the folder."""
_MADE = ".made"
_REMEMBERED = 60.0
"""Seconds for which it is noted at least who made a file. A cut is some ten seconds old, at most."""


@dataclass(frozen=True, slots=True)
class PreparedFolder:
    """A folder as its workers find it."""

    folder: str
    partial: str
    """Where files are made before they have their names."""
    is_noted: bool = False
    """Whether it is noted of which item each is made."""


class FileNotes:
    """Which files a worker has made of what, of the last minute."""

    def __init__(self, partial: str) -> None:
        """Go on with those beside the file that is being written. Raises OSError."""
        self._path = f"{partial}{_MADE}"
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o666)
        self._began = time.monotonic()

    def add(self, place: int, made: os.stat_result, name: str) -> None:
        """The item at this place becomes this file. Said before it has its name. Raises OSError."""
        if time.monotonic() > self._began + _REMEMBERED:
            os.close(self._descriptor)
            os.replace(self._path, f"{self._path}-old")  # noqa: PTH105
            self._open()
        os.write(self._descriptor, os.fsencode(f"{place} {made.st_ino} {made.st_mtime_ns} {name}\0"))


def _noted(partial: Path) -> Iterator[tuple[int, int, int, str]]:
    """Yield what workers have noted. What has no end is torn: no file of that name is there yet."""
    for notes in partial.glob(f"*{_MADE}*"):
        for note in notes.read_bytes().split(b"\0")[:-1]:
            place, number, written_at, name = note.split(b" ", 3)
            yield int(place), int(number), int(written_at), os.fsdecode(name)


class FolderOutput:
    """Made before the first worker begins, finished after the last."""

    def __init__(self, path: str, mode: WriteMode, opening: Opening) -> None:
        """See to it that it may be written to. Raises `OutputRefused`, OSError."""
        self._path = Path(os.path.realpath(path))
        self._run, self._shares = opening.run, mode is WriteMode.APPEND
        self._new = hidden(self._path, opening.run) if mode is WriteMode.REPLACE else None
        folder = self._new or self._path
        self._partial = folder / PARTIAL / opening.run
        self.prepared = PreparedFolder(str(folder), str(self._partial), opening.resumable)
        self._is_placed = False
        self._locks: list[int] = []
        self._is_new = not self._path.exists()
        self._old = inode(self._path)
        """The inode of what is to be replaced."""
        if opening.before is None:
            self._check(path, mode)
        else:
            self._go_on(path, opening.before)
        if not self._is_placed:
            self._begin(path, folder, stays=opening.before is not None)

    def _check(self, path: str, mode: WriteMode) -> None:
        if not self._is_new and not self._path.is_dir():
            raise OutputRefused(f"{path}: it is a file, and a folder is to be written")
        self._refuse_others(path)
        if (
            mode is WriteMode.FAIL
            and not self._is_new
            and any(each.name != PARTIAL for each in self._path.iterdir())
        ):
            runs = [each.name for each in self._path.glob(f"{PARTIAL}/*")]
            raise OutputRefused(f"{path}: the folder is there already, and not empty; {remedy(runs)}")

    def _refuse_others(self, path: str, *, removes: bool = False) -> None:
        refuse_writers(self._path, self._run, path, shares=self._shares, removes=removes)
        within = [each for each in self._path.glob(f"{PARTIAL}/*") if each.name != self._run]
        refuse_others(path, within, shares=self._shares, removes=removes)

    def _begin(self, path: str, folder: Path, *, stays: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            self.finish(complete=False, states=None, stays=stays)
            raise OutputRefused(f"{path}: permission denied: it can't be written to")
        try:
            if self._new is not None:
                self._locks.append(take(self._new, path, mode=0o777))
            self._locks.append(take(self._partial, path, shares=self._shares))
            self._refuse_others(path, removes=not stays)
        except OutputRefused:
            self.finish(complete=False, states=None, stays=stays)
            raise

    # Another runner had it before.

    def kept(self) -> bytes:
        """Return what it takes to open it once more."""
        return json.dumps({"new": self._is_new, "old": self._old}).encode()

    def _go_on(self, path: str, before: KeptOutput) -> None:
        known = json.loads(before.data)
        self._is_new, self._old = known["new"], known["old"]
        if self._partial.is_dir():
            self._take_back(before)
            return
        if before.over and self._new is not None and inode(self._new) not in (None, self._old):
            return  # all that is left to do is to put it in its place
        # The last runner may have been killed when all was there.
        there = inode(self._path)
        self._is_placed = before.over and there is not None and (self._new is None or there != self._old)
        if not self._is_placed:
            where = (
                "what the run had written" if self._new is not None else "what the run had noted of its files"
            )
            raise OutputRefused(
                f"{path}: {where} is gone: it was in '{self._partial}'; another run that writes it takes it away"
            )
        if self._new is not None:  # it is the old one, if they were exchanged
            shutil.rmtree(self._new, ignore_errors=True)

    def _take_back(self, before: KeptOutput) -> None:
        offered = 0 if before.queue is None else before.queue.offered
        for place, number, written_at, name in _noted(self._partial):
            made = Path(self.prepared.folder, name)
            found = status(made) if place >= offered else None
            # A file that was made since may have the inode of one that was removed.
            if found is not None and (found.st_ino, found.st_mtime_ns) == (number, written_at):
                made.unlink()
        for left in self._partial.iterdir():
            left.unlink()

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None, stays: bool = False) -> None:  # noqa: ARG002 - nothing is kept
        """Take away what is not whole; put a new folder in the place of the old one. Raises OSError."""
        if self._is_placed:
            return
        try:
            self._finish(complete=complete, stays=stays)
        finally:  # not before: who comes now takes a folder that nobody has locked for abandoned
            for lock in self._locks:
                os.close(lock)

    def _finish(self, *, complete: bool, stays: bool) -> None:
        if complete or not stays:
            self._remove_partial()
        if complete:
            if self._new is not None:
                exchange(self._new, self._path)
        elif stays:
            return
        elif self._new is not None:
            shutil.rmtree(self._new, ignore_errors=True)
        elif self._is_new:
            with contextlib.suppress(OSError):  # something is in it
                self._path.rmdir()

    def _remove_partial(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run is at work here
            self._partial.parent.rmdir()


def hidden_beside(path: str, run: str) -> list[HiddenOutput]:
    """Say what may be left in a folder, and beside it. See `Writes.hides`."""
    there = Path(os.path.realpath(path))
    return [HiddenOutput(str(each), run) for each in (there / PARTIAL / run, hidden(there, run))]
