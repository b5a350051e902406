"""The arena: shared memory in which the big items of one queue lie, from their put until nobody needs them.

    writer ─ copy ─► its own part: slots it uses again and again ◄─ map, copy on write ─ reader
                                 ▲
    supervisor ─ makes the file, gives each writer a part, gives up the part of a writer that is gone

One file without a name, far longer than any memory: only pages that were written exist, and the kernel frees them with
the last process that has it. Everyone inherits the one descriptor. No two writers share a part, and a reader's own
changes never reach the file, so whoever dies at whatever instruction harms nobody: an item handed out again is as it
was put.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections.abc import Callable
from typing import Any

from runner.ipc.descriptors import by_duplicate
from runner.ipc.mappings import punch_hole
from runner.ipc.shm.allocator import EXTENT, PAGE, Slot, disable_trim
from runner.ipc.shm.handles import BufferHandle, Form, Packed, frame_handle, offsets, rebuild

PART = 1 << 44
"""Addresses of one writer. Only what is written takes memory."""
PARTS = 1 << 18
MOST_WINDOWS = 64
"""Windows that a handler may keep open by keeping what it was given: each has a descriptor. Beyond, it gets copies."""
MOST_EXTENTS = 32
"""Extents that a process has mapped at once: each has a descriptor."""
WINDOW_FROM = 256 * 1024
"""Bytes from which on a window costs less than a copy."""
_CHUNK = 1 << 30
_MADV_POPULATE_WRITE = 23


class ArenaFile:
    """The file behind an arena. Made by the supervisor; a worker gets it by fork, or by its descriptor under spawn."""

    def __init__(self, descriptor: int) -> None:
        """Own `descriptor` from now on."""
        self._fd = descriptor

    @classmethod
    def create(cls) -> ArenaFile:
        """Make an empty arena. Raises OSError if there is no descriptor left."""
        descriptor = os.memfd_create("mprun-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, PART * PARTS)
        # A mapping of what is cut off later kills the process that reads there.
        fcntl.fcntl(
            descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        )
        return cls(descriptor)

    def __reduce__(self) -> tuple[Callable[..., ArenaFile], tuple[Any, ...]]:
        return by_duplicate(ArenaFile, self._fd)

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def free(self, at: int, size: int) -> None:
        """Free the memory of a range; what was in it reads as zeros."""
        punch_hole(self._fd, at, size)

    def free_part(self, part: int) -> None:
        """Free all memory of a writer's part."""
        self.free(part * PART, PART)

    def close(self) -> None:
        """Close this process's descriptor."""
        os.close(self._fd)


class ArenaWriter:
    """Copies items into one part of an arena."""

    def __init__(self, file: ArenaFile, part: int) -> None:
        self._file = file
        self._base = part * PART
        self._extents = _Extents(file.fileno(), mmap.PROT_READ | mmap.PROT_WRITE)

    def store(self, packed: Packed, slot: Slot) -> bytes:
        """Copy an item's buffers into a slot and return its handle."""
        for buffer, offset in zip(packed.buffers, offsets(packed.lengths), strict=True):
            self._copy(buffer, slot, offset)
        return packed.handle(self._base + slot.at)

    def store_frame(self, body: bytes, slot: Slot) -> bytes:
        """Copy a frame into a slot and return its handle."""
        self._copy(memoryview(body), slot, 0)
        return frame_handle(self._base + slot.at, len(body))

    def free(self, slot: Slot) -> None:
        """Free the memory of a slot that is not in use."""
        self._file.free(self._base + slot.at, slot.size)

    def close(self) -> None:
        """Unmap everything."""
        self._extents.close()

    def _copy(self, buffer: memoryview, slot: Slot, offset: int) -> None:
        at = self._base + slot.at + offset
        place = self._extents.place(at, len(buffer))
        if place is None:
            _write(self._file.fileno(), buffer, at)
        else:
            extent, begin = place
            extent[begin : begin + len(buffer)] = buffer


class ArenaReader:
    """Puts items together again from what lies in an arena."""

    def __init__(self, file: ArenaFile) -> None:
        self._fd = file.fileno()
        self._extents = _Extents(self._fd, mmap.PROT_READ)
        self._open: list[mmap.mmap] = []
        self._kept: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def view(self, handle: BufferHandle) -> object:
        """Return an item whose arrays lie in the arena itself: nothing is copied until the handler writes to them.

        Only good until the item is acknowledged, unless `release` is called before that.
        """
        if handle.form in (Form.BYTES, Form.BYTEARRAY) or handle.span < WINDOW_FROM:
            return self.copy(handle)
        if len(self._kept) >= MOST_WINDOWS:
            return self.copy(handle)
        try:
            window = self._window(handle)
        except OSError:
            # There are no addresses left for it: a copy says so itself, if it can't be had either.
            return self.copy(handle)
        self._open.append(window)
        whole = memoryview(window)
        return rebuild(handle, [whole[at : at + length] for at, length in handle.ranges])

    def _window(self, handle: BufferHandle) -> mmap.mmap:
        return mmap.mmap(
            self._fd,
            -(-handle.span // PAGE) * PAGE,
            flags=mmap.MAP_PRIVATE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
            offset=handle.at,
        )

    def copy(self, handle: BufferHandle) -> object:
        """Return an item that has nothing to do with the arena any more."""
        disable_trim()
        if handle.form is Form.BYTES:
            return self._read_bytes(handle)
        buffers = self.fetch(handle)
        return buffers[0] if handle.form is Form.BYTEARRAY else rebuild(handle, buffers)

    def frame(self, handle: BufferHandle) -> bytes | memoryview:
        """Return a frame. It may lie in the arena: only good until its last item is acknowledged."""
        (length,) = handle.lengths
        if (place := self._extents.place(handle.at, length)) is None:
            return self._read_bytes(handle)
        extent, begin = place
        return memoryview(extent)[begin : begin + length]

    def fetch(self, handle: BufferHandle) -> list[bytearray]:
        """Copy an item's buffers out of the arena."""
        return [self._fetch(handle.at + at, length) for at, length in handle.ranges]

    @property
    def has_views(self) -> bool:
        """Whether anything was viewed since the last `release`."""
        return bool(self._open)

    def release(self) -> None:
        """Let go of the arena: called before the items are acknowledged, since their slots are used again after that.

        What the handler has kept of them becomes its own: its pages are copied, and stay where they are.
        """
        windows, self._open = self._open, []
        for window in windows:
            try:
                window.close()
            except BufferError:
                _own_all_pages(window)
                self._kept.add(window)

    def close(self) -> None:
        """Unmap all but what somebody still has."""
        self._extents.close()

    def _fetch(self, at: int, length: int) -> bytearray:
        if (place := self._extents.place(at, length)) is not None:
            extent, begin = place
            return bytearray(memoryview(extent)[begin : begin + length])
        buffer = bytearray(length)
        _read(self._fd, memoryview(buffer), at)
        return buffer

    def _read_bytes(self, handle: BufferHandle) -> bytes:
        (length,) = handle.lengths
        if (place := self._extents.place(handle.at, length)) is not None:
            extent, begin = place
            return extent[begin : begin + length]
        data = os.pread(self._fd, min(length, _CHUNK), handle.at)
        return data if len(data) == length else bytes(self.fetch(handle)[0])


class _Extents:
    """Mappings of an arena that stay: a copy through one is three times as quick as a read or a write."""

    def __init__(self, descriptor: int, protection: int) -> None:
        self._fd = descriptor
        self._protection = protection
        self._maps: dict[int, mmap.mmap] = {}

    def place(self, at: int, length: int) -> tuple[mmap.mmap, int] | None:
        """Where a range is mapped; None if it is too long, or no more can be mapped."""
        number, begin = divmod(at, EXTENT)
        if begin + length > EXTENT or (number not in self._maps and len(self._maps) == MOST_EXTENTS):
            return None
        if number not in self._maps:
            try:
                self._maps[number] = mmap.mmap(
                    self._fd, EXTENT, prot=self._protection, offset=number * EXTENT
                )
            except OSError:  # under `ulimit -v`, or a memory limit, there may be no addresses for it
                return None
        return self._maps[number], begin

    def close(self) -> None:
        """Unmap everything."""
        for extent in self._maps.values():
            extent.close()
        self._maps.clear()


def read_stored(descriptor: int, handle: BufferHandle) -> bytes:
    """Copy a frame out of the arena, in a process that has mapped nothing of it. Raises OSError."""
    (length,) = handle.lengths
    buffer = bytearray(length)
    _read(descriptor, memoryview(buffer), handle.at)
    return bytes(buffer)


def _write(descriptor: int, buffer: memoryview, at: int) -> None:
    done = 0
    while done < len(buffer):
        done += os.pwrite(descriptor, buffer[done : done + _CHUNK], at + done)


def _read(descriptor: int, buffer: memoryview, at: int) -> None:
    done = 0
    while done < len(buffer):
        done += os.preadv(descriptor, [buffer[done : done + _CHUNK]], at + done)


def _own_all_pages(window: mmap.mmap) -> None:
    """Have the kernel copy every page of a private mapping that still is the file's."""
    try:
        window.madvise(_MADV_POPULATE_WRITE)
    except OSError:  # a kernel before 5.14
        for at in range(0, len(window), PAGE):
            window[at] = window[at]
