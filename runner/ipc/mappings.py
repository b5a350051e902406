"""What Python's `mmap` can't do: map a page in the place of another, and free a range of a file unmapped."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any, NoReturn

_MAP_FIXED = 0x10
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)


def map_over(memory: Any, flags: int, descriptor: int = -1, offset: int = 0) -> None:
    """
    Put another mapping in the place of that behind `memory`, whole pages of it, here alone.

    Whoever looks through `memory` goes on to: with `MAP_PRIVATE` it sees a copy, which is taken when it is first
    written to; without a descriptor, and with `MAP_ANONYMOUS`, zeros. Raises OSError.
    """
    place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    access = mmap.PROT_READ | mmap.PROT_WRITE
    if _libc.mmap(place, len(memory), access, flags | _MAP_FIXED, descriptor, offset) == _FAILED:
        _raise()


def punch_hole(descriptor: int, at: int, size: int) -> None:
    """Free the memory or disk behind a range of a file; it reads as zeros then (fallocate(2)). Raises OSError."""
    if _libc.fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_int64(at), ctypes.c_int64(size)):
        _raise()


def _raise() -> NoReturn:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
