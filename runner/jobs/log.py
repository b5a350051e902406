"""The log file of a job: written by its worker, read by others while it grows.

    no secrets   command ══ stdout, stderr ══► log file     nobody between: as quick as the disk, whole up to a kill
    secrets      command ══► pipe ══► worker: masker ══► log file

    log file ◄── Tail.read ── whoever shows it, in chunks, from where one has come
             ◄── last_lines ── whoever reports its end

The file is the buffer: a job whose output is held back costs no memory, and whoever reads slowly holds nobody up.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runner.jobs.ansi import LineCleaner
from runner.jobs.masking import MaskedStream, Masker
from runner.text import visible

CHUNK = 64 * 1024
"""Bytes read at a time: enough for hundreds of MB/s, and little enough for many jobs to take turns."""
_MOST_CHUNKS = 16
_END_BYTES = 64 * 1024


class LogWriter:
    """One log file, appended to. Made anew for each attempt."""

    def __init__(self, path: str, secrets: Sequence[str] = ()) -> None:
        """Open it, for its owner alone. Raises OSError."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._masker = Masker(secrets)
        self._pumps: dict[int, MaskedStream] = {}

    @property
    def size(self) -> int:
        """Bytes so far: what it is that grows while the job is not silent."""
        return os.fstat(self._fd).st_size

    @property
    def age(self) -> float:
        """Seconds since it last grew, by the clock of its file system."""
        return time.time() - os.fstat(self._fd).st_mtime

    def say(self, text: str) -> None:
        """Add a line of our own. Raises OSError."""
        os.write(self._fd, f"mprun: {visible(self._masker.text(text))}\n".encode(errors="backslashreplace"))

    def open_output(self) -> int:
        """Return a descriptor for a command to print to. `close_output` gives it back once the command has it."""
        if not self._masker:
            return self._fd
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        self._pumps[reading] = self._masker.stream()
        return writing

    def close_output(self, descriptor: int) -> None:
        """The command has its own copy."""
        if descriptor != self._fd:
            os.close(descriptor)

    @property
    def pipes(self) -> list[int]:
        """Descriptors to poll: `pump` when one is readable."""
        return list(self._pumps)

    def pump(self) -> None:
        """Pass on what commands have printed."""
        for pipe in list(self._pumps):
            with suppress(BlockingIOError):
                self._pump_some(pipe)

    def _pump_some(self, pipe: int) -> None:
        # Who prints without end must not keep the caller from looking at the clock.
        for _ in range(_MOST_CHUNKS):
            chunk = os.read(pipe, CHUNK)
            if not chunk:
                self._end(pipe)
                return
            os.write(self._fd, self._pumps[pipe].feed(chunk))

    def finish(self, patience: float = 1.0) -> None:
        """Every command has ended: pass on the rest. Whoever still holds a pipe is not waited for for long."""
        end = time.monotonic() + patience
        while self._pumps and select.select(self.pipes, [], [], max(end - time.monotonic(), 0.0))[0]:
            self.pump()
            if time.monotonic() > end:
                break
        for pipe in self.pipes:
            self._end(pipe)

    def close(self) -> None:
        """Finish, and give everything back."""
        self.finish()
        os.close(self._fd)

    def _end(self, pipe: int) -> None:
        os.write(self._fd, self._pumps.pop(pipe).flush())
        os.close(pipe)


class Tail:
    """One reader of one log, which need not exist yet. Holds a descriptor from its first read to `close`."""

    def __init__(self, path: str, start: int = 0) -> None:
        self.path = path
        self._position = start
        self._limit: int | None = None
        self._fd: int | None = None

    @property
    def left(self) -> int:
        """Bytes that are there and have not been read."""
        return max(self._end() - self._position, 0)

    @property
    def is_over(self) -> bool:
        """Whether the log has ended and all of it was read."""
        return self._limit is not None and self._position >= self._limit

    def end(self) -> int:
        """The job is over: the log ends where it ends now, even if somebody writes on. Return where that is."""
        self._limit = self._end()
        return self._limit

    def read(self) -> bytes:
        """Return the next chunk; nothing if there is none yet. A log that can't be read counts as ended."""
        try:
            if self._fd is None:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            room = CHUNK if self._limit is None else min(CHUNK, self._limit - self._position)
            chunk = os.pread(self._fd, max(room, 0), self._position)
        except OSError:
            chunk = b""
        self._position += len(chunk)
        if not chunk and self._limit is not None:
            self._limit = min(self._limit, self._position)  # it is gone, or shorter than it was
        return chunk

    def close(self) -> None:
        """Give the descriptor back. May be called twice."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _end(self) -> int:
        return log_size(self.path) if self._limit is None else self._limit


def log_size(path: str) -> int:
    """Return how long a log is now; one that is not there is empty."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - asked for each live job, many times a second
    except OSError:
        return 0


def last_lines(path: str | None, most: int) -> list[str]:
    """Return the last lines of a log, without colours or empty lines at its end; none if there is no log."""
    try:
        with Path(path or os.devnull).open("rb") as log:
            log.seek(0, os.SEEK_END)
            begin = max(log.tell() - _END_BYTES, 0)
            log.seek(begin)
            end = log.read(_END_BYTES)
    except OSError:
        return []
    if begin:
        end = end.partition(b"\n")[2] or end  # the first line is cut, unless it is all there is
    lines = LineCleaner(colors=False)
    text = (lines.feed(end) + lines.rest()).decode().rstrip()
    return text.split("\n")[-most:] if text and most else []
