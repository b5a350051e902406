"""A memory barrier that one process has all others pass: membarrier(2), for words of a page that two look at in turn.

    worker       writes what it begins ──► reads what is recalled          at each item: plain stores and loads
    supervisor   writes what is recalled ──► barrier() ──► reads what is begun                now and then

Whoever writes first, at least one of them sees what the other has written. Without the barrier a processor may do the
worker's read before its write has left for memory, and both would think that an item is theirs. A barrier in the worker
would do as well, but Python has none, and it would be paid for with each item.
"""

from __future__ import annotations

import ctypes
import os

_NUMBERS = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "loongarch64": 283, "ppc64le": 365, "s390x": 356}
"""Of the system call, which the C library has no function for."""
_GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 1 << 1, 1 << 2

_libc = ctypes.CDLL(None, use_errno=True)


def heed_barriers() -> bool:
    """Have this process pass the barriers of others from now on; False where the system has none."""
    return _membarrier(_REGISTER_GLOBAL_EXPEDITED)


def barrier() -> bool:
    """Return once every process that heeds has passed a barrier; False where the system has none."""
    return _membarrier(_GLOBAL_EXPEDITED)


def _membarrier(command: int) -> bool:
    number = _NUMBERS.get(os.uname().machine)
    return number is not None and _libc.syscall(ctypes.c_long(number), command, 0, 0) == 0
