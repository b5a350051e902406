"""The status pages of all workers of a run: one file, mapped a thousand pages at a time, a page for each.

    file  │ page │ page │ page │ …          supervisor: all of it
             └──────────────────────────── worker: its own page, at the same address; the others' are zeros of its own

A file and a mapping for each worker would have every fork copy all of them, a thousand of them a thousand times.
"""

from __future__ import annotations

import mmap
import os
from collections import deque

from runner.ipc.mappings import map_over
from runner.ipc.status_page import PAGE, StatusPage

_CHUNK = 1024 * PAGE


class StatusPages:
    """Gives out pages, and takes them back. The supervisor's."""

    def __init__(self) -> None:
        """Open the file. Raises OSError if there is no descriptor left."""
        self._fd = os.memfd_create("mprun-status", os.MFD_CLOEXEC)
        self._chunks: list[memoryview] = []
        self._maps: list[mmap.mmap] = []
        self._free: deque[int] = deque()

    def fileno(self) -> int:
        """The descriptor that every forked worker keeps, to give what it forks a page apart."""
        return self._fd

    def give(self) -> StatusPage:
        """Give out a page on which nothing is said. Raises OSError if there is no memory left for it."""
        if not self._free:
            self._grow()
        offset = self._free.popleft()
        return StatusPage(self._fd, offset, self._at(offset))

    def take_back(self, page: StatusPage) -> None:
        """Nobody reads or writes a page any more; one of a file of its own goes with that."""
        if page.fileno() == self._fd:
            self._at(page.offset)[:] = bytes(PAGE)
            self._free.append(page.offset)
        page.close()

    def keep_only(self, page: StatusPage) -> None:
        """Called in a fresh fork: from now on it has this page and no other's. Raises OSError."""
        for chunk in self._chunks:
            map_over(chunk, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        map_over(self._at(page.offset), mmap.MAP_SHARED, self._fd, page.offset)

    def close(self) -> None:
        """Give the file back. Every page was taken back."""
        for chunk in self._chunks:
            chunk.release()
        for each in self._maps:
            each.close()
        os.close(self._fd)

    def _at(self, offset: int) -> memoryview:
        chunk, at = divmod(offset, _CHUNK)
        return self._chunks[chunk][at : at + PAGE]

    def _grow(self) -> None:
        begin = len(self._chunks) * _CHUNK
        os.ftruncate(self._fd, begin + _CHUNK)
        self._maps.append(mmap.mmap(self._fd, _CHUNK, offset=begin))
        self._chunks.append(memoryview(self._maps[-1]))
        self._free.extend(range(begin, begin + _CHUNK, PAGE))
