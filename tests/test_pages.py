"""Pages mapped by the system's own call: one that stays without a descriptor, one that becomes a copy where it is."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.pages import make_private, map_for_good


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = os.memfd_create("mprun-test-of-pages", os.MFD_CLOEXEC)
    os.ftruncate(made, mmap.PAGESIZE)
    yield made
    os.close(made)


def test_a_page_stays_mapped_when_its_descriptor_is_closed() -> None:
    """In a process of its own, since it stays until that ends."""
    child = os.fork()
    if not child:
        made = os.memfd_create("mprun-test-for-good", os.MFD_CLOEXEC)
        os.ftruncate(made, mmap.PAGESIZE)
        map_for_good(made)
        os.close(made)
        os._exit("/memfd:mprun-test-for-good" in Path("/proc/self/maps").read_text())

    _, status = os.waitpid(child, 0)

    assert 1 == os.waitstatus_to_exitcode(status)


def test_a_private_page_goes_on_from_what_was_there_and_tells_nobody(descriptor: int) -> None:
    theirs, ours = mmap.mmap(descriptor, mmap.PAGESIZE), mmap.mmap(descriptor, mmap.PAGESIZE)
    view = memoryview(ours)
    theirs[0] = 1

    make_private(ours, descriptor)
    before = view[0]
    view[0] = 2

    assert (1, 1, 2) == (before, theirs[0], ours[0])
    view.release()


def test_what_the_system_refuses_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        map_for_good(-1)
