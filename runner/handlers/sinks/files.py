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
import json
import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import crc32

from runner.facts import dataclass
from runner.handlers.kinds import WorkerContext
from runner.handlers.outputs import OutputRefused
from runner.handlers.sinks.hidden import status
from runner.handlers.sinks.renames import sync_folder

STDOUT = "-"
"""The path that is the run's standard output, as it is for programs."""
_PIPE_WHOLE = 4096
"""What a pipe takes from several writers without mixing it: PIPE_BUF."""
_KNOWN_BY = 64
"""Bytes before a place in a file by which it is known that they are those that were written."""
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
        self._sync = context.fsync
        self._is_named = False
        self._end: bytes | None = None
        """Its last bytes, by which whoever takes over knows it again; None where they can't be read."""
        if self._is_regular:
            self._cut_back(state.get("end"))

    def _open(self) -> tuple[int, bool]:
        if self.path == STDOUT:
            return 1, False
        found = status(Path(self.path))
        is_regular = found is None or stat.S_ISREG(found.st_mode)
        flags = os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            # Who opens a pipe to read as well would never hear that its reader has gone.
            return os.open(self.path, flags | (os.O_RDWR if is_regular else os.O_WRONLY), 0o666), is_regular
        except PermissionError:  # it can't be read, which only helps to end a last line that has no end
            return os.open(self.path, flags | os.O_WRONLY, 0o666), is_regular
        except OSError as error:
            raise advised(self.name, error) from error

    def _cut_back(self, end: int | None) -> None:
        found = os.fstat(self._descriptor)
        if self._identity not in (None, (found.st_dev, found.st_ino)):
            raise OSError(f"{self.name}: it was moved away while the run wrote to it")
        if found.st_size < self.length:
            raise self._changed(found.st_size)
        self._end = _read_end(self._descriptor, self.length)
        if not _are_same(end, self._end):
            raise OSError(f"{self.name}: {_overwritten(self.length)}")
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
        if self._end is not None:
            self._end = (self._end + data)[-_KNOWN_BY:] if len(data) < _KNOWN_BY else data[-_KNOWN_BY:]

    def sync(self) -> None:
        """Wait until what was written is on the disk, where that is asked for. Raises OSError, which names the file."""
        if not self._sync or not self._is_regular:
            return
        try:
            os.fsync(self._descriptor)
            if not self._is_named:
                folder = os.path.dirname(os.path.abspath(self.path))  # noqa: PTH100, PTH120
                sync_folder(folder)
                sync_folder(os.path.dirname(folder))  # noqa: PTH120 - it may have been made for this run
                self._is_named = True
        except OSError as error:
            raise advised(self.name, error) from error

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
        end = {} if self._end is None else {"end": crc32(self._end)}
        return json.dumps({"length": self.length, **end, **({"kept": kept} if kept else {})}).encode()

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


def acknowledged_length(state: bytes) -> int:
    """Return the length that an `AppendedFile` has captured; 0 where it never has."""
    return int(json.loads(state)["length"]) if state else 0


def check_kept(path: Path, shown: str, begins: bytes, states: Iterable[bytes]) -> int:
    """
    See to it that a file has what was acknowledged of it: what was there, and what workers have captured.

    Return how many bytes are behind that. `begins` is what `captured` returned before any worker had written.

    Raises:
        OutputRefused: it has not, so that nobody can go on in it.
    """
    longest = max([begins, *(state for state in states if state)], key=acknowledged_length)
    written, found = acknowledged_length(longest), status(path)
    if found is None and not written:
        return 0
    if found is None:
        raise OutputRefused(f"{shown} is gone, and {written:,} bytes were written")
    if found.st_size < written:
        raise OutputRefused(
            f"{shown}: somebody else has changed it since: it has {found.st_size:,} bytes, and {written:,} were written"
        )
    if written and not _are_same(json.loads(longest).get("end"), _end_of(path, written)):
        raise OutputRefused(f"{shown}: {_overwritten(written)}")
    return found.st_size - written


def captured(path: Path, length: int) -> bytes:
    """Return what a worker would have captured that had written so much of a file."""
    end = _end_of(path, length)
    return json.dumps({"length": length, **({} if end is None else {"end": crc32(end)})}).encode()


def _end_of(path: Path, length: int) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it can't be read
        return None
    try:
        return _read_end(descriptor, length)
    finally:
        os.close(descriptor)


def _read_end(descriptor: int, length: int) -> bytes | None:
    """Return the last bytes before a place in a file; None where it can't be read."""
    try:
        return os.pread(descriptor, min(length, _KNOWN_BY), max(0, length - _KNOWN_BY))
    except OSError:
        return None


def _are_same(known: int | None, end: bytes | None) -> bool:
    return known is None or end is None or known == crc32(end)


def _overwritten(length: int) -> str:
    return f"somebody else has changed it: what ends at byte {length:,} is not what was written there"
