"""A line that a service is to print, looked for in its log as that grows: each byte is read once, little is kept.

log ──► Tail ── chunk ──► kept + chunk ── found? ──► the end of it is kept: the line that may go on
"""

from __future__ import annotations

import re

from runner.jobs.tail import CHUNK, Tail

_MOST_KEPT = 64 * 1024
"""Bytes in which a match may begin that ends in what is printed next."""
_CHUNKS = 16
"""Read in one look: who prints without end must not keep the caller from looking at the clock."""


class AwaitedLine:
    """Looks for one regular expression in one log. Holds a descriptor until it is found, or to `close`."""

    def __init__(self, log: str, pattern: str) -> None:
        self._tail = Tail(log)
        self._pattern = re.compile(pattern, re.MULTILINE)
        self._kept = b""
        self._is_found = False
        self.has_more = False
        """Whether there was more to read than one look takes: the next may follow at once."""

    def look(self) -> bool:
        """Look at what has come since the last time. What was found once stays found."""
        self.has_more = False
        for _ in range(0 if self._is_found else _CHUNKS):
            chunk = self._tail.read()
            self._is_found = bool(chunk) and self._is_in(chunk)
            self.has_more = len(chunk) == CHUNK and not self._is_found
            if not self.has_more:
                break
        if self._is_found:
            self.close()
        return self._is_found

    def close(self) -> None:
        """Look no further. May be called twice."""
        self._tail.close()

    def _is_in(self, chunk: bytes) -> bool:
        printed = self._kept + chunk
        self._kept = _end_of(printed)
        text = printed.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        return self._pattern.search(text) is not None


def _end_of(printed: bytes) -> bytes:
    """The last bytes that are kept, from the beginning of a line if one begins there."""
    if len(printed) <= _MOST_KEPT:
        return printed
    first = printed.find(b"\n", len(printed) - _MOST_KEPT - 1, -1) + 1
    return printed[first or len(printed) - _MOST_KEPT :]
