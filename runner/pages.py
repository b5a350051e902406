"""What Python's `mmap` can't do: map a page in the place of another, and free a range of a file unmapped."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import NoReturn

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


def make_private(mapping: mmap.mmap, descriptor: int) -> None:
    """
    Put a copy, taken when it is first written to, in the place of a shared mapping of a file's first page.

    Whoever looks through the mapping goes on to, and sees its own writes, which nobody else does. Raises OSError.
    """
    place = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    access, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
    if _libc.mmap(place, mmap.PAGESIZE, access, flags, descriptor, 0) == _FAILED:
        _raise()


def punch_hole(descriptor: int, at: int, size: int) -> None:
    """Free the memory or disk behind a range of a file; it reads as zeros then (fallocate(2)). Raises OSError."""
    if _libc.fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_int64(at), ctypes.c_int64(size)):
        _raise()


def _raise() -> NoReturn:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
