"""File descriptors on their way into a new process: duplicated where it is spawned, closed where it is forked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def by_duplicate(make: Callable[[int], T], descriptor: int) -> tuple[Callable[..., T], tuple[Any, ...]]:
    """For `__reduce__` of what is made from a descriptor: travel to a spawned process as a duplicate of it.

    Only works while a process is being spawned.
    """
    from multiprocessing import reduction

    return _make_from, (make, reduction.DupFd(descriptor))


def _make_from(make: Callable[[int], T], duplicate: Any) -> T:
    return make(duplicate.detach())


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor that is not in `kept`: one left open would hide another process's end."""
    low = 0
    for descriptor in sorted(set(kept)):
        if low < descriptor:  # an empty range that ends at 0 is taken for "all" by close_range(2)
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
