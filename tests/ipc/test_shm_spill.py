"""Spilling: the bytes of a big item come whole into a file of their own, wherever in the arena they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.ipc.shm.arena import PART, PARTS
from runner.ipc.shm.handles import SharedBytes, Spill

STEP = 8 << 20


@pytest.fixture
def arena() -> Iterator[int]:
    descriptor = os.memfd_create("arena")
    os.ftruncate(descriptor, PART * PARTS)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("at", [0, PART, PART * (PARTS - 1) + 4096], ids=["first", "second", "last"])
def test_an_item_is_spilt_from_the_part_of_any_writer(arena: int, at: int, tmp_path: Path) -> None:
    """
    File systems bound a file at 16 TiB or so, and the second writer's part of an arena begins there.
    """
    os.pwrite(arena, b"bun" * 50_000, at)
    spill = Spill(SharedBytes(arena, at, 150_000, held=None), tmp_path / "item")

    assert spill.step()
    assert b"bun" * 50_000 == (tmp_path / "item").read_bytes()


def test_a_big_item_is_spilt_in_steps(arena: int, tmp_path: Path) -> None:
    os.pwrite(arena, b"x" * (STEP + 1), PART)
    spill = Spill(SharedBytes(arena, PART, STEP + 1, held=None), tmp_path / "item")

    steps = [spill.step(), spill.step()]

    assert [False, True] == steps
    assert STEP + 1 == (tmp_path / "item").stat().st_size


def test_what_can_not_be_written_leaves_no_half_of_a_file(arena: int, tmp_path: Path) -> None:
    spill = Spill(SharedBytes(arena, PART, 150_000, held=None), tmp_path / "item")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, next_descriptor_of(tmp_path / "item"))
    os.close(full)

    with pytest.raises(OSError, match="No space left"):
        spill.step()

    assert not (tmp_path / "item").exists()


def next_descriptor_of(path: Path) -> int:
    """The descriptor that this process holds of a file."""
    links = {
        int(link.name): str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()
    }
    return next(number for number, target in links.items() if target == str(path))
