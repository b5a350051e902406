"""Mappings of a page that Python's `mmap` can't make: without a descriptor of its own, or in the place of another."""

from __future__ import annotations

import ctypes
import mmap
import os

_MAP_FIXED = 0x10
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


def map_for_good(descriptor: int) -> None:
    """Map the first page of a file until the process ends, whether or not the descriptor is closed. Raises OSError."""
    _map(None, mmap.PROT_READ, mmap.MAP_SHARED, descriptor)


def make_private(mapping: mmap.mmap, descriptor: int) -> None:
    """
    Put a copy, taken when it is first written to, in the place of a shared mapping of a file's first page.

    Whoever looks through the mapping goes on to, and sees its own writes, which nobody else does. Raises OSError.
    """
    place = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    _map(place, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED, descriptor)


def _map(place: int | None, access: int, flags: int, descriptor: int) -> None:
    if _libc.mmap(place, mmap.PAGESIZE, access, flags, descriptor, 0) == _FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
