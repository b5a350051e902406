"""File descriptors on their way into a new process: duplicated where it is spawned, closed where it is forked."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
_NOT_FOR_THEM = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGPIPE, signal.SIGXFSZ),  # errors of a write, to be told, and no end
)


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


def stand_apart(
    channel: int, *, stdout: int | None = None, stderr: int | None = None, kept: Iterable[int] = ()
) -> int:
    """
    Detach a process that helps the supervisor, in its fresh fork; return the new number of its `channel`.

    Ctrl-C and other signals to end are not for it: it ends when the other side of its channel does. Of what was open
    only the channel stays so, above the standard three, which the supervisor may have been started without; these go
    nowhere unless they are named. What is `kept` stays too, under its number, which is above those three.
    """
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in _NOT_FOR_THEM:
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    named = [null, null if stdout is None else stdout, null if stderr is None else stderr]
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in (*named, channel)]
    for standard, source in enumerate(high[:3]):
        os.dup2(source, standard)
    close_all_but((0, 1, 2, high[-1], *kept))
    return high[-1]
