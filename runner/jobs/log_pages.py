"""The log of a job in pieces: so many lines before or behind a byte of it, so that a log of gigabytes is never read.

read_log_page(log, before=1_048_576) ──► 200 lines that end there, and from which byte to which they are
read_log_page(log, words="Error")    ──► the last 200 lines with that word, of the last 16 MB
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from runner.facts import dataclass
from runner.jobs.ansi import clean

MOST_LINES = 200
MOST_BYTES = 256 * 1024
"""Of one piece: lines may be long."""
MOST_SEARCHED = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines of a log, without colours, and the bytes that they stand in."""

    lines: tuple[str, ...]
    begin: int
    end: int
    size: int
    """Of the whole log."""


NO_LOG = LogPage((), 0, 0, 0)


def read_log_page(
    log: Path, *, before: int | None = None, after: int | None = None, words: str = "", most: int = MOST_LINES
) -> LogPage:
    """
    Return the lines that end before a byte, or begin behind one, or the last ones; only those with `words` in them.

    A log that can't be read is empty.
    """
    try:
        with log.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            room = MOST_SEARCHED if words else MOST_BYTES
            begin = min(after, size) if after is not None else max(_end(before, size) - room, 0)
            end = min(begin + room, size) if after is not None else _end(before, size)
            file.seek(begin)
            raw = file.read(end - begin)
    except OSError:
        return NO_LOG
    if after is not None:
        return _first_lines(raw, begin, size, words, most)
    return _last_lines(raw, begin, size, words, most)


def _end(before: int | None, size: int) -> int:
    return size if before is None else min(before, size)


def _first_lines(raw: bytes, begin: int, size: int, words: str, most: int) -> LogPage:
    """Take lines from the beginning. A last one that is not whole waits for the next page, if it is not all."""
    if begin + len(raw) < size and b"\n" in raw:
        raw = raw[: raw.rindex(b"\n") + 1]
    lines: list[str] = []
    end = begin
    for line in BytesIO(raw).readlines():
        if len(lines) == most:
            break
        end += len(line)
        if words.lower() in (shown := _shown(line)).lower():
            lines.append(shown)
    return LogPage(tuple(lines), begin, end, size)


def _last_lines(raw: bytes, begin: int, size: int, words: str, most: int) -> LogPage:
    end = begin + len(raw)
    if begin and b"\n" in raw:  # the first line is cut
        cut = raw.index(b"\n") + 1
        raw, begin = raw[cut:], begin + cut
    lines: list[str] = []
    at = end
    for line in reversed(BytesIO(raw).readlines()):
        if len(lines) == most:
            break
        at -= len(line)
        if words.lower() in (shown := _shown(line)).lower():
            lines.append(shown)
    return LogPage(tuple(reversed(lines)), at if len(lines) == most else begin, end, size)


def _shown(line: bytes) -> str:
    """Return a line as a terminal would leave it."""
    return clean(line.rstrip(b"\r\n") + b"\n", colors=False).decode("utf-8", "replace").rstrip("\n")
