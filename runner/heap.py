"""The allocator of this process, told to keep the memory of big objects that were let go, for the next ones.

By itself it gives such memory back to the kernel at once, which must zero it anew for the next object: for a worker
that makes or takes one megabyte after the other this costs several times as much as copying them. What is kept is
bounded. Only where the C library is glibc; elsewhere nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_MOST = 1 << 27
_KEPT_EACH = 1 << 25
"""The most that glibc lets this be."""


@cache
def keep_what_is_freed() -> None:
    """Keep freed memory from now on, up to a bound. Called by a worker at its first big item; again is harmless."""
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_EACH)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_MOST)
