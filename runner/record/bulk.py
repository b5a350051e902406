"""The bytes of big items that wait, in files beside the database of their run: SQLite would write each of them twice.

    arena ── BulkFolder, in the recorder ──► runs/<id>/bulk/<frame>          … the runner is killed …
                                                   └── BulkPayload, in the runner that goes on ──► another arena

One file a frame, from before the transaction that tells of the frame until after the one that tells of its end. What a
handle stands for begins with a page in it, as in an arena: readers map it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from runner.ipc.frames import handles_in, with_handles_moved
from runner.ipc.shm.allocator import PAGE
from runner.ipc.shm.handles import BufferHandle
from runner.record.schema import BULK
from runner.transports.cut import StoredPayload

_STEP = 8 << 20


class BulkFolder:
    """The recorder's side: it fills files from memory of the supervisor's, and removes them."""

    def __init__(self, run_folder: Path) -> None:
        """Make nothing yet."""
        self._folder = run_folder / BULK

    def fill(self, number: int, body: bytes | memoryview, memory: int, *, fsync: bool = False) -> int:
        """Copy what the handles in a frame stand for; return the bytes of its file, 0 where there are none.

        Raises OSError, and leaves no half of a file.
        """
        places = list(_placed(body))
        if not places:
            return 0
        self._folder.mkdir(mode=0o700, exist_ok=True)
        out = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for handle, at in places:
                _copy(memory, handle.at, out, at, handle.span)
            size = _end(places)
            os.ftruncate(out, size)
            if fsync:
                os.fsync(out)
        except OSError:
            self.remove([number])
            raise
        finally:
            os.close(out)
        return size

    def remove(self, numbers: Iterable[int]) -> None:
        """These are not needed any more. Raises nothing."""
        for number in numbers:
            with contextlib.suppress(OSError):
                self._path(number).unlink(missing_ok=True)

    def keep_only(self, numbers: Iterable[int]) -> None:
        """Remove all others, and the folder where none is left. Raises nothing."""
        with contextlib.suppress(OSError):
            for name in set(os.listdir(self._folder)).difference(map(str, numbers)):  # noqa: PTH208 - names are wanted
                (self._folder / name).unlink()
            if not any(self._folder.iterdir()):
                self._folder.rmdir()

    def _path(self, number: int) -> Path:
        return self._folder / str(number)


class BulkPayload(StoredPayload):
    """The payload of a frame whose big items lie in a file, until they lie in an arena again."""

    path: Path

    @classmethod
    def of(cls, body: bytes, run_folder: Path, number: int, size: int) -> BulkPayload:
        """Make the payload. Raises OSError where the file is gone, or not what it was."""
        payload = cls(body)
        payload.path = run_folder / BULK / str(number)
        if payload.path.stat().st_size != size:
            raise OSError(f"'{payload.path}' has not the {size:,} bytes that it had")
        return payload

    @property
    def span(self) -> int:
        """The bytes that they take together."""
        return _end(list(_placed(self)))

    def copy_to(self, memory: int, at: int) -> bytes:
        """Copy them into an arena, from `at` on, which begins a page; return the payload whose handles say so.

        Raises OSError.
        """
        source = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _copy(source, 0, memory, at, self.span)
        finally:
            os.close(source)
        return with_handles_moved(self, [at + place for _, place in _placed(self)])


def _placed(body: bytes | memoryview) -> Iterator[tuple[BufferHandle, int]]:
    """Yield the handles in a frame, and where in its file each begins."""
    at = 0
    for handle in handles_in(body):
        yield handle, at
        at += -(-handle.span // PAGE) * PAGE


def _end(places: list[tuple[BufferHandle, int]]) -> int:
    return places[-1][1] + places[-1][0].span if places else 0


def _copy(source: int, begin: int, target: int, at: int, size: int) -> None:
    """Copy bytes between files. Raises OSError, also where there are fewer."""
    done = 0
    while done < size:
        # Not sendfile: it refuses to read behind where the file system that is written to would end a file.
        chunk = os.pread(source, min(size - done, _STEP), begin + done)
        if not chunk:
            raise OSError(f"{size - done:,} bytes of a big item are gone")
        written = 0
        while written < len(chunk):
            written += os.pwrite(target, chunk[written:], at + done + written)
        done += len(chunk)
