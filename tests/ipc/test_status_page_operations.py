"""What is asked of the system itself: a page that becomes a copy where it is, and a hole in a file."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest

from runner.ipc.mappings import map_over, punch_hole


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = os.memfd_create("mprun-test-of-pages", os.MFD_CLOEXEC)
    os.ftruncate(made, mmap.PAGESIZE)
    yield made
    os.close(made)


def test_a_private_page_goes_on_from_what_was_there_and_tells_nobody(descriptor: int) -> None:
    theirs, ours = mmap.mmap(descriptor, mmap.PAGESIZE), mmap.mmap(descriptor, mmap.PAGESIZE)
    view = memoryview(ours)
    theirs[0] = 1

    map_over(ours, mmap.MAP_PRIVATE, descriptor)
    before = view[0]
    view[0] = 2

    assert (1, 1, 2) == (before, theirs[0], ours[0])
    view.release()


def test_what_the_system_refuses_is_an_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        punch_hole(-1, 0, mmap.PAGESIZE)


def test_a_hole_frees_memory_and_reads_as_zeros(descriptor: int) -> None:
    os.ftruncate(descriptor, 3 * mmap.PAGESIZE)
    os.pwrite(descriptor, b"x" * 3 * mmap.PAGESIZE, 0)

    punch_hole(descriptor, mmap.PAGESIZE, mmap.PAGESIZE)

    assert b"x\0x" == bytes(os.pread(descriptor, 1, page * mmap.PAGESIZE)[0] for page in range(3))
    assert 2 * mmap.PAGESIZE == os.fstat(descriptor).st_blocks * 512
