"""The memory that a run may have: the machine's, or that of its control groups where that is less."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.process import memory

GIB = 1 << 30


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine with 8 GiB, 6 of them available, whose groups a test can bound."""
    (tmp_path / "self").mkdir()
    (tmp_path / "user.slice/app.scope").mkdir(parents=True)
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemFree: 1 kB\nMemAvailable: {6 << 20} kB\n")
    (tmp_path / "self/cgroup").write_text("0::/user.slice/app.scope\n")
    (tmp_path / "self/mountinfo").write_text(f"30 23 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    return tmp_path


def bound(group: Path, most: str, used: int) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")


def test_without_a_bound_it_is_the_machines_memory(proc: Path) -> None:
    assert (8 * GIB, 6 * GIB) == (memory.total(proc), memory.available(proc))


@pytest.mark.parametrize("group", [".", "user.slice", "user.slice/app.scope"])
def test_a_group_has_what_its_bound_leaves_wherever_it_is_on_the_way_up(group: str, proc: Path) -> None:
    bound(proc / group, str(4 * GIB), 3 * GIB)

    assert (4 * GIB, 1 * GIB) == (memory.total(proc), memory.available(proc))


def test_the_least_that_is_left_need_not_be_of_the_least_bound(proc: Path) -> None:
    bound(proc / "user.slice", str(5 * GIB), 5 * GIB - 100)
    bound(proc / "user.slice/app.scope", str(2 * GIB), 1 * GIB)

    assert (2 * GIB, 100) == (memory.total(proc), memory.available(proc))


def test_a_group_without_a_bound_has_the_machines_memory(proc: Path) -> None:
    bound(proc / "user.slice/app.scope", "max", 3 * GIB)

    assert (8 * GIB, 6 * GIB) == (memory.total(proc), memory.available(proc))


def test_a_group_over_its_bound_has_nothing_left(proc: Path) -> None:
    bound(proc, str(1 * GIB), 2 * GIB)

    assert 0 == memory.available(proc)


def test_a_machine_that_does_not_tell_is_an_error(proc: Path) -> None:
    (proc / "meminfo").write_text("MemFree: 1 kB\n")

    with pytest.raises(OSError, match="meminfo has no MemTotal"):
        memory.total(proc)


def test_this_machine_tells() -> None:
    assert 0 < memory.available() <= memory.total()
