"""A fresh worker process, from inside: cut loose from what it inherited, before any handler is imported.

The order matters: first the session (so that signals meant for others miss it), then the pact with the parent (so that
it can't be orphaned), then descriptors, signals and the surroundings that the workflow asks for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from runner import brand
from runner.memory_limit import limit_own_memory
from runner.plan import WorkerPlan
from runner.process import die_with_parent
from runner.surroundings import put_on
from runner.warden import MARK

_STANDARD = (0, 1, 2)


def settle_in(plan: WorkerPlan, parent: int, keep: Iterable[int] | None) -> None:
    """Make this process a worker of its own. `keep` are the descriptors it needs; None after a spawn: it has no more.

    Raises:
        OSError: the folder of `cwd` is gone, `nice` is not permitted, or the worker is over its memory limit already.
    """
    cut_loose(parent, keep)
    _speak_utf8(sys.stdout)
    _speak_utf8(sys.stderr)
    put_on(plan)
    if plan.nice:
        os.nice(plan.nice)
    if plan.memory_limit is not None:
        limit_own_memory(plan.memory_limit)


def cut_loose(parent: int, keep: Iterable[int] | None) -> None:
    """The part of it that every process of a run needs, worker or not. Raises OSError as `settle_in` does."""
    with contextlib.suppress(PermissionError):  # already a leader of its own
        os.setsid()
    die_with_parent(parent)
    if keep is not None:
        close_all_but((*_STANDARD, *_descriptors_of(sys.stdout, sys.stderr), *keep))
    brand.put_on(brand.brand_of(os.environ.get(MARK, "")))
    _forget_signals()


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor that is not in `kept`: one left open would hide another process's end."""
    low = 0
    for descriptor in sorted(set(kept)):
        if low < descriptor:  # an empty range that ends at 0 is taken for "all" by close_range(2)
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _descriptors_of(*streams: TextIO | None) -> Iterator[int]:
    """Find where streams write that whoever runs the run has put in place of the standard ones, as pytest does."""
    for stream in streams:
        # One that is closed, or lives in memory, has none.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            yield stream.fileno()  # type: ignore[union-attr]  # None has no fileno: that is what is suppressed


def _forget_signals() -> None:
    """The supervisor's handlers and wake-up descriptor are not this process's."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _speak_utf8(stream: TextIO | None) -> None:
    """Items and names are Unicode whatever the locale; a line leaves when it is whole, so that lines don't tear."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False)
