"""The supervisor's hand on a file that a sink appends to: made ready, opened again by another runner, put in its place.

    fail, append   opened, locked ──► its worker appends ──► cut back to what is acknowledged
    replace        a hidden folder of parts, one a worker ──► cut back, joined ──► in its place by one rename

Of a run that can be resumed the folder stays until it has ended well; a file in its place has an empty one beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.handlers.outputs import (
    HiddenOutput,
    KeptOutput,
    Opening,
    OutputRefused,
    WriteMode,
    remedy,
    write_mode,
)
from runner.handlers.sinks.files import (
    STDOUT,
    PreparedFile,
    acknowledged_length,
    advised,
    captured,
    check_kept,
)
from runner.handlers.sinks.hidden import (
    begun_by,
    hidden,
    inode,
    lock_alone,
    remove_at_once,
    status,
)
from runner.handlers.sinks.holds import refuse_locked_file, refuse_writers, take, written_by_another
from runner.handlers.sinks.renames import sync_file, sync_folder

_JOINED = " joined"
"""What a folder of parts has while they are joined. No worker's name begins with a space."""


class FileOutput:
    """The supervisor's hand on a file."""

    def __init__(self, path: str, mode: WriteMode, opening: Opening, head: bytes = b"") -> None:
        """
        See to it that it can be written. `head` is what a file that is not empty begins with, once.

        Raises:
            OutputRefused: it is there, another run writes it, or it is not as the last runner of this run left it.
            OSError: it can't be had.
        """
        self._path = Path(path)
        self._head = head
        self._run = opening.run
        self._sync = opening.fsync
        self._created = False
        self._descriptor = -1
        self._mark = -1
        self._folder: Path | None = None
        self._begins = b""
        """What a worker would have captured that had written what was there before."""
        self._old: int | None = None
        """The inode of what is to be replaced."""
        self._folders: list[Path] = []
        try:
            if opening.before is None:
                self.prepared = self._prepare(mode, resumable=opening.resumable)
            else:
                self.prepared = self._prepare_again(opening.before, json.loads(opening.before.data))
        except BaseException:
            self._remove_made(stays=opening.before is not None)
            raise

    def _prepare(self, mode: WriteMode, *, resumable: bool) -> PreparedFile:
        self._make_folders()
        found = status(self._path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise OutputRefused(f"{self._path}: it is a folder, and a file is to be written")
        if found is not None and not stat.S_ISREG(found.st_mode):
            return PreparedFile(str(self._path))  # a pipe, a terminal, /dev/null: nothing is kept there
        if mode is WriteMode.REPLACE:
            return self._prepare_parts()
        self._refuse_others()
        if found is not None and mode is WriteMode.FAIL:
            refuse_locked_file(self._path)
            raise OutputRefused(f"{self._path}: it is there already; {remedy(begun_by(self._path))}")
        self._open()
        self._refuse_others(removes=True)
        if resumable:
            self._set_mark()
        opened = os.fstat(self._descriptor)
        if resumable:
            self._begins = captured(self._path, opened.st_size)
        return PreparedFile(str(self._path), opened.st_size, (opened.st_dev, opened.st_ino))

    def _refuse_others(self, *, removes: bool = False) -> None:
        """Whoever replaces what is behind a link has its folder beside that."""
        for each in dict.fromkeys((self._path, Path(os.path.realpath(self._path)))):
            refuse_writers(each, self._run, removes=removes)

    def _make_folders(self) -> None:
        missing = [each for each in self._path.parents if not each.exists()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            self._folders.append(each)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            self._created = True
        except FileExistsError:
            self._descriptor = os.open(self._path, flags)
        if not lock_alone(self._descriptor):
            raise OutputRefused(written_by_another(self._path, self._descriptor))

    def _set_mark(self) -> None:
        """
        Leave a folder beside it while the run can be resumed. The next run that writes the file takes it away.

        What that has added would else be cut off by a runner that goes on with this run. Where no folder can be made,
        beside a file that may be written, that goes unnoticed.
        """
        with contextlib.suppress(OSError):
            self._mark = take(hidden(self._path, self._run), str(self._path))

    def _prepare_parts(self) -> PreparedFile:
        self._path = Path(os.path.realpath(self._path))  # a link stays one
        if self._path.exists() and not os.access(self._path, os.W_OK):
            raise OutputRefused(f"{self._path}: permission denied")
        self._old = inode(self._path)
        self._refuse_others()
        prepared = self._open_parts(hidden(self._path, self._run))
        self._refuse_others(removes=True)
        return prepared

    def _open_parts(self, folder: Path) -> PreparedFile:
        self._descriptor = take(folder, str(self._path))
        self._folder = folder
        self._refuse_others()
        refuse_locked_file(self._path)
        return PreparedFile(str(folder), parts=True)

    # Another runner had it before.

    def kept(self) -> bytes:
        """Return what it takes to open it once more."""
        known = {
            "begins": self._begins.decode(),
            "inode": self.prepared.identity and self.prepared.identity[1],
            "created": self._created,
            "marked": self._mark >= 0,
            "parts": self._folder and str(self._folder),
            "old": self._old,
            "folders": [str(each) for each in self._folders],
        }
        return json.dumps(known).encode()

    def _prepare_again(self, before: KeptOutput, known: Mapping[str, Any]) -> PreparedFile:
        """Raises `OutputRefused` where there is nothing to go on in. Nothing is cut back here: that is its worker's."""
        self._folders = [Path(each) for each in known["folders"]]
        self._begins, self._old = known["begins"].encode(), known["old"]
        length = acknowledged_length(self._begins)
        is_placed = _behind(self._path, self._run, before) is None
        if known["parts"] is not None:
            self._path, folder = Path(os.path.realpath(self._path)), Path(known["parts"])
            if is_placed:
                remove_at_once(folder)
                return PreparedFile(str(folder), parts=True)
            (folder / _JOINED).unlink(missing_ok=True)
            return self._open_parts(folder)
        if known["inode"] is None or is_placed:
            return PreparedFile(str(self._path), length)
        self._make_folders()
        self._open()
        self._refuse_others()
        self._created = known["created"]
        if known["marked"]:
            self._set_mark()
        opened = os.fstat(self._descriptor)
        return PreparedFile(str(self._path), length, (opened.st_dev, opened.st_ino))

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None, stays: bool = False) -> None:
        """Cut back what nobody has acknowledged; put in place what replaces. Raises OSError."""
        is_whole = False
        try:
            if not self.prepared.parts:
                self._finish_in_place(complete, states)
            elif complete and self._folder is not None:
                self._put_in_place(self._folder, states)
            is_whole = complete
        except OSError as error:
            raise advised(str(self._path), error) from error
        finally:
            self._remove_made(keep=complete, stays=stays and not is_whole)

    def _finish_in_place(self, complete: bool, states: Mapping[str, bytes] | None) -> None:
        if self._descriptor < 0:
            return
        if states is not None:
            lengths = [acknowledged_length(state) for state in states.values() if state]
            _cut(self._descriptor, max([self.prepared.length, *lengths]))
        if complete and self._head and not os.fstat(self._descriptor).st_size:
            os.write(self._descriptor, self._head)

    def _put_in_place(self, folder: Path, states: Mapping[str, bytes] | None) -> None:
        parts = sorted((each for each in folder.iterdir()), key=lambda each: (len(each.name), each.name))
        if states is not None:
            lengths = {
                str(self.prepared.of(worker).path): acknowledged_length(state)
                for worker, state in states.items()
            }
            for part in parts:
                with part.open("r+b") as file:
                    _cut(file.fileno(), lengths.get(str(part), 0))
        joined = _joined([each for each in parts if each.stat().st_size], folder / _JOINED, self._head)
        with contextlib.suppress(OSError):
            joined.chmod(stat.S_IMODE(self._path.stat().st_mode))
        if self._sync:
            sync_file(joined)
        joined.replace(self._path)
        if self._sync:
            sync_folder(str(self._path.parent))

    def _remove_made(self, *, keep: bool = False, stays: bool = False) -> None:
        """Nothing is to be left but what the run was to leave, and what another runner may go on in."""
        if self._folder is not None and not stays:
            remove_at_once(self._folder)
        if self._mark >= 0:
            if not stays:
                with contextlib.suppress(OSError):
                    hidden(self._path, self._run).rmdir()
            os.close(self._mark)
            self._mark = -1
        if self._descriptor >= 0:
            if self._created and not keep and not stays and not os.fstat(self._descriptor).st_size:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1
        for each in () if keep or stays else reversed(self._folders):
            with contextlib.suppress(OSError):  # something is in it
                each.rmdir()


def _behind(path: Path, run: str, before: KeptOutput) -> list[tuple[str, int]] | None:
    """
    Return how many bytes there are behind what was acknowledged, of each file; None where all is in its place already.

    Raises:
        OutputRefused: what was acknowledged is not there, or somebody else's is.
    """
    known = json.loads(before.data)
    if known["parts"] is not None:
        return _behind_in_parts(Path(os.path.realpath(path)), Path(known["parts"]), known["old"], before)
    if known["inode"] is None:
        return []
    if known["marked"] and not hidden(path, run).is_dir():
        if before.over:  # the runner was killed right behind the end of the run
            return None
        raise OutputRefused(f"{path}: another run has written to it since")
    if inode(path) not in (None, known["inode"]):
        raise OutputRefused(f"{path}: another file has taken its place since")
    return [(str(path), check_kept(path, str(path), known["begins"].encode(), before.states.values()))]


def _behind_in_parts(
    path: Path, folder: Path, old: int | None, before: KeptOutput
) -> list[tuple[str, int]] | None:
    if not folder.is_dir():
        if before.over and inode(path) not in (None, old):  # the runner was killed right behind the rename
            return None
        raise OutputRefused(
            f"{path}: what the run had written is gone: '{folder}' was beside it; another run that writes it takes it "
            "away"
        )
    prepared = PreparedFile(str(folder), parts=True)
    return [
        (shown, check_kept(Path(prepared.of(worker).path), shown, b"", [state]))
        for worker, state in before.states.items()
        for shown in (f"{path}: the part of {worker}",)
    ]


def file_surplus(
    options: Mapping[str, Any],
) -> Callable[[Opening], Sequence[tuple[str, int]]] | None:
    """Return what says how much of the file of a sink with `path` would be cut off. See `Writes.surplus`."""
    if options["path"] == STDOUT:
        return None

    def found(opening: Opening) -> Sequence[tuple[str, int]]:
        path = Path(os.path.join(opening.folder, options["path"]))  # noqa: PTH118
        return (opening.before and _behind(path, opening.run, opening.before)) or ()

    return found


def file_hides(options: Mapping[str, Any]) -> Callable[[Opening], list[HiddenOutput]] | None:
    """Return what says what may be left beside the file of a sink with `path`. See `Writes.hides`."""
    if options["path"] == STDOUT:
        return None

    def found(opening: Opening) -> list[HiddenOutput]:
        path = Path(os.path.join(opening.folder, options["path"]))  # noqa: PTH118
        # Beside a link, or beside what it leads to.
        either = dict.fromkeys((path, Path(os.path.realpath(path))))
        return [HiddenOutput(str(hidden(each, opening.run)), opening.run) for each in either]

    return found


def file_output(
    options: Mapping[str, Any], head: Callable[[], bytes] = lambda: b""
) -> Callable[[Opening], FileOutput] | None:
    """Return what opens the file of a sink with `path` and `mode`; None where that is standard output."""
    if options["path"] == STDOUT:
        return None
    path, mode = options["path"], write_mode(options)
    return lambda opening: FileOutput(os.path.join(opening.folder, path), mode, opening, head())  # noqa: PTH118


def _cut(descriptor: int, length: int) -> None:
    if os.fstat(descriptor).st_size > length:
        os.ftruncate(descriptor, length)


def _joined(parts: list[Path], target: Path, head: bytes) -> Path:
    """
    Make one file of the parts, each without the head that it begins with but for the first.

    The parts stay: whoever is killed before the folder is gone can do it once more.
    """
    if len(parts) == 1:
        try:
            os.link(parts[0], target)
        except OSError:  # the file system has no links
            return parts[0]
        return target
    with target.open("wb") as whole:
        whole.write(head)
        whole.flush()
        for part in parts:
            with part.open("rb") as file:
                at = len(head) if head and file.read(len(head)) == head else 0
                _append(file.fileno(), at, whole.fileno())
    return target


def _append(source: int, at: int, target: int) -> None:
    left = os.fstat(source).st_size - at
    while left > 0 and (copied := os.sendfile(target, source, at, left)):
        at, left = at + copied, left - copied
