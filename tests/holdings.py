"""What a process holds and a run could leave behind: children, threads, descriptors, mappings of shared memory.

What an earlier test left to the garbage collector may go at any moment, so less than before is no fault; one thing
more is, and is named.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.process.child import children


@contextmanager
def nothing_left() -> Iterator[None]:
    """Raise AssertionError where this process, at the end, holds anything that it did not hold at the start."""
    before = held()
    yield
    left = held() - before
    if left:
        raise AssertionError(f"left behind: {'; '.join(sorted(left))}")


def held() -> frozenset[str]:
    """All that this process holds, each thing by a text that nothing else has."""
    born = (f"child {pid}" for pid in children())
    threads = (f"thread {each.name} ({id(each):#x})" for each in threading.enumerate())
    mapped = (line for line in Path("/proc/self/maps").read_text().splitlines() if "mprun" in line)
    return frozenset((*born, *threads, *mapped, *open_descriptors()))


def open_descriptors() -> frozenset[str]:
    """The descriptors of this process, with what each leads to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            found.add(f"descriptor {entry.name} -> {entry.readlink()} ({entry.stat().st_ino})")
    return frozenset(found)
