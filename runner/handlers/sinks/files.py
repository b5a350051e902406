"""Files that sinks append to: exactly what counts as done is in them, whoever was killed.

    supervisor                        worker                                     whoever takes its place
    FileOutput ── PreparedFile ─────► AppendedFile: lines ──► write ──► length
       │                                 └─ capture: the length ── with the acknowledgement ──► cut back to it, go on
       └─ finish: cut back what nobody acknowledged; `replace`: join the parts, and put them in place by rename

The acknowledgement and the length are one message, so what is behind the last acknowledged length is of items that are
handed out again. What is no regular file, such as a pipe, can't be cut back.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runner.handlers.kinds import WorkerContext
from runner.handlers.outputs import REMEDY, OutputRefused, WriteMode, write_mode

STDOUT = "-"
"""The path that is the run's standard output, as it is for programs."""
_PIPE_WHOLE = 4096
"""What a pipe takes from several writers without mixing it: PIPE_BUF."""
_ADVICE = {
    errno.ENOSPC: "no space is left on the device: make room",
    errno.EDQUOT: "the quota is used up: make room",
    errno.EFBIG: "a file can't be bigger here",
    errno.EROFS: "it is on a file system that is read-only",
    errno.EPIPE: "whoever read it has gone",
    errno.EACCES: "permission denied",
    errno.EISDIR: "it is a folder",
}


def advised(path: str, error: OSError) -> OSError:
    """Return an error that says what happened to which file, in words."""
    why = _ADVICE.get(error.errno or 0) or error.strerror or str(error)
    return OSError(f"{_shown(path)}: {why}")


def _shown(path: str) -> str:
    return "standard output" if path == STDOUT else path


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A file as it is when the run begins."""

    path: str
    length: int = 0
    """How much of it was there before."""
    identity: tuple[int, int] | None = None
    """Its device and inode; None where its worker makes it."""
    parts: bool = False
    """Whether `path` is a folder in which each worker makes a file of its own name."""

    def of(self, worker: str) -> PreparedFile:
        """Return the file that one worker writes."""
        return (
            replace(self, path=f"{self.path}/{quote(worker, safe=' ')}", parts=False) if self.parts else self
        )


class AppendedFile:
    """A worker's end of a file. Made anew it goes on where what is acknowledged ends."""

    def __init__(self, path: str, context: WorkerContext) -> None:
        """
        Open it, and cut back what nobody has acknowledged.

        Raises:
            OSError: it can't be opened, or somebody else has changed it.
        """
        state: dict[str, Any] = json.loads(context.state) if context.state else {}
        prepared = context.prepared or _prepared_by_hand(path)
        assert isinstance(prepared, PreparedFile)
        found = prepared.of(context.name)
        self.name, self.path = path, found.path
        self.kept: Mapping[str, Any] = state.get("kept", {})
        """What the sink itself wants to know again in whoever takes its place."""
        self.length = int(state.get("length", found.length))
        self._identity = found.identity
        self._descriptor, self._is_regular = self._open()
        if self._is_regular:
            self._cut_back()

    def _open(self) -> tuple[int, bool]:
        if self.path == STDOUT:
            return 1, False
        found = _status(Path(self.path))
        is_regular = found is None or stat.S_ISREG(found.st_mode)
        flags = os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            # Who opens a pipe to read as well would never hear that its reader has gone.
            return os.open(self.path, flags | (os.O_RDWR if is_regular else os.O_WRONLY), 0o666), is_regular
        except PermissionError:  # it can't be read, which only helps to end a last line that has no end
            return os.open(self.path, flags | os.O_WRONLY, 0o666), is_regular
        except OSError as error:
            raise advised(self.name, error) from error

    def _cut_back(self) -> None:
        found = os.fstat(self._descriptor)
        if self._identity not in (None, (found.st_dev, found.st_ino)):
            raise OSError(f"{self.name}: it was moved away while the run wrote to it")
        if found.st_size < self.length:
            raise self._changed(found.st_size)
        if found.st_size > self.length:
            os.ftruncate(self._descriptor, self.length)

    def _changed(self, size: int) -> OSError:
        return OSError(
            f"{self.name}: somebody else has changed it while the run wrote to it: it has {size:,} bytes, and "
            f"{self.length:,} were written"
        )

    def write(self, data: bytes) -> None:
        """Write all of it. Raises OSError, which names the file; some of it may be there then."""
        if not self._is_regular:
            self._write_on(data)
            return
        if (size := os.fstat(self._descriptor).st_size) != self.length:
            raise self._changed(size)
        self._write_all(data)
        self.length += len(data)

    def _write_on(self, data: bytes) -> None:
        """Write to what others may write to as well: pieces of whole lines, that a pipe does not mix with theirs."""
        if self.path == STDOUT and not _has_descriptor(sys.stdout):
            sys.stdout.write(data.decode("utf-8", "replace"))
            return
        if self.path == STDOUT:
            sys.stdout.flush()
        for piece in _in_pieces(data):
            self._write_all(piece)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # a pipe that somebody has set so
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
            except OSError as error:
                raise advised(self.name, error) from error

    def lacks_line_end(self) -> bool:
        """Say whether what is there ends in the middle of a line."""
        if not self._is_regular or not self.length:
            return False
        try:
            return os.pread(self._descriptor, 1, self.length - 1) != b"\n"
        except OSError:  # it can't be read
            return False

    def first_line(self) -> bytes:
        """Return the first line of what is there, or as much as a line may have; empty where nothing is."""
        if not self._is_regular or not self.length:
            return b""
        with contextlib.suppress(OSError):
            return os.pread(self._descriptor, min(self.length, 1 << 20), 0).partition(b"\n")[0]
        return b""

    def capture(self, kept: Mapping[str, Any]) -> bytes:
        """Return what whoever takes over has to know."""
        return json.dumps({"length": self.length, **({"kept": kept} if kept else {})}).encode()

    def close(self) -> None:
        """Close it. What a file system notices only now is told. Raises OSError."""
        if self.path == STDOUT or self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.close(descriptor)
        except OSError as error:
            raise advised(self.name, error) from error


def _has_descriptor(stream: Any) -> bool:
    """Whether it is what was there at the start: a notebook or a test has another."""
    try:
        return bool(stream.fileno() == 1)
    except (OSError, ValueError, AttributeError):
        return False


def _in_pieces(data: bytes) -> Iterator[bytes]:
    """Yield lines, as many at a time as a pipe takes as a whole."""
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + _PIPE_WHOLE) + 1 or data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end


def _prepared_by_hand(path: str) -> PreparedFile:
    """There is no supervisor: a handler is tried out in a test."""
    if path == STDOUT:
        return PreparedFile(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return PreparedFile(path, Path(path).stat().st_size if Path(path).exists() else 0)


class FileOutput:
    """The supervisor's hand on a file."""

    def __init__(self, path: str, mode: WriteMode, run: str, head: bytes = b"") -> None:
        """
        See to it that it can be written. `head` is what a file that is not empty begins with, once.

        Raises:
            OutputRefused: it is there, or another run writes it.
            OSError: it can't be had.
        """
        self._path = Path(path)
        self._head = head
        self._created = False
        self._descriptor = -1
        self._folder: Path | None = None
        self._folders: list[Path] = []
        try:
            self.prepared = self._prepare(mode, run)
        except BaseException:
            self._remove_made()
            raise

    def _prepare(self, mode: WriteMode, run: str) -> PreparedFile:
        self._make_folders()
        found = _status(self._path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise OutputRefused(f"{self._path}: it is a folder, and a file is to be written")
        if found is not None and not stat.S_ISREG(found.st_mode):
            return PreparedFile(str(self._path))  # a pipe, a terminal, /dev/null: nothing is kept there
        if mode is WriteMode.REPLACE:
            return self._prepare_parts(run)
        if found is not None and mode is WriteMode.FAIL:
            raise OutputRefused(f"{self._path}: it is there already; {REMEDY}")
        self._open()
        opened = os.fstat(self._descriptor)
        return PreparedFile(str(self._path), opened.st_size, (opened.st_dev, opened.st_ino))

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
        self._lock(self._descriptor)

    def _lock(self, descriptor: int) -> None:
        if not lock_alone(descriptor):
            raise OutputRefused(f"{self._path}: another run writes it")

    def _prepare_parts(self, run: str) -> PreparedFile:
        self._path = Path(os.path.realpath(self._path))  # a link stays one
        if self._path.exists() and not os.access(self._path, os.W_OK):
            raise OutputRefused(f"{self._path}: permission denied")
        remove_abandoned(self._path)
        self._folder = hidden(self._path, run)
        self._folder.mkdir(mode=0o700)
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock(self._descriptor)
        return PreparedFile(str(self._folder), parts=True)

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None) -> None:
        """Cut back what nobody has acknowledged; put in place what replaces. Raises OSError."""
        try:
            if self._folder is None:
                self._finish_in_place(complete, states)
            elif complete:
                self._put_in_place(self._folder, states)
        except OSError as error:
            raise advised(str(self._path), error) from error
        finally:
            self._remove_made(keep=complete)

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
        joined = _joined([each for each in parts if each.stat().st_size], folder / " joined", self._head)
        with contextlib.suppress(OSError):
            joined.chmod(stat.S_IMODE(self._path.stat().st_mode))
        joined.replace(self._path)

    def _remove_made(self, *, keep: bool = False) -> None:
        """Nothing is to be left but what the run was to leave."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._descriptor >= 0:
            if self._created and not keep and not os.fstat(self._descriptor).st_size:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1
        for each in () if keep else reversed(self._folders):
            with contextlib.suppress(OSError):  # something is in it
                each.rmdir()


def file_output(
    options: Mapping[str, Any], head: Callable[[], bytes] = lambda: b""
) -> Callable[[str, str], FileOutput] | None:
    """Return what opens the file of a sink with `path` and `mode`; None where that is standard output."""
    if options["path"] == STDOUT:
        return None
    mode = write_mode(options)
    return lambda folder, run: FileOutput(os.path.join(folder, options["path"]), mode, run, head())  # noqa: PTH118


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def lock_alone(descriptor: int) -> bool:
    """Lock what is open; False where another has. Some file systems know no locks, and then nobody has any."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def hidden(path: Path, run: str) -> Path:
    """Return the folder beside `path` in which a run makes what is to take its place."""
    return path.with_name(f".{path.name}.{run}.mprun")


def remove_abandoned(path: Path) -> list[Path]:
    """Take away what runs that were killed have left beside `path`. Return that of those that go on: it is locked."""
    in_use = []
    pattern = "".join(f"[{each}]" if each in "*?[" else each for each in path.name)
    for left in path.parent.glob(f".{pattern}.*.mprun"):
        try:
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        if lock_alone(descriptor):
            shutil.rmtree(left, ignore_errors=True)
        else:
            in_use.append(left)
        os.close(descriptor)
    return in_use


def acknowledged_length(state: bytes) -> int:
    """Return the length that an `AppendedFile` has captured; 0 where it never has."""
    return int(json.loads(state)["length"]) if state else 0


def _cut(descriptor: int, length: int) -> None:
    if os.fstat(descriptor).st_size > length:
        os.ftruncate(descriptor, length)


def _joined(parts: list[Path], target: Path, head: bytes) -> Path:
    """Make one file of the parts, each without the head that it begins with but for the first."""
    if len(parts) == 1:
        return parts[0]
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
