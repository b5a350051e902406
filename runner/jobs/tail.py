"""The log file of a job, read as it grows: in chunks, from where one has come, never held.

    the job ── writes ──► log file ◄── Tail.read ── whoever shows it        last_lines: only the end, for the end

The file is the buffer: a job whose output is held back costs no memory, and whoever reads slowly holds nobody up.
"""

from __future__ import annotations

import os
from pathlib import Path

from runner.jobs.printed import Lines

CHUNK = 64 * 1024
"""Bytes read at a time: enough for hundreds of MB/s, and little enough for many jobs to take turns."""
_END_BYTES = 64 * 1024


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
        return size_of(self.path) if self._limit is None else self._limit


def size_of(path: str) -> int:
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
    lines = Lines(colors=False)
    text = (lines.feed(end) + lines.rest()).decode().rstrip()
    return text.split("\n")[-most:] if text and most else []
