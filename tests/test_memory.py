"""The memory that a run may have: the machine's, or its container's where that is less."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import memory

GIB = 1 << 30


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB, 6 of them available, in which a test can write a container's bounds."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemFree: 1 kB\nMemAvailable: {6 << 20} kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    return tmp_path


def test_without_a_container_it_is_the_machines_memory() -> None:
    assert (8 * GIB, 6 * GIB) == (memory.total(), memory.available())


def test_a_container_has_what_its_bound_leaves(machine: Path) -> None:
    (machine / "memory.max").write_text(f"{4 * GIB}\n")
    (machine / "memory.current").write_text(f"{3 * GIB}\n")

    assert (4 * GIB, 1 * GIB) == (memory.total(), memory.available())


def test_a_container_without_a_bound_has_the_machines_memory(machine: Path) -> None:
    (machine / "memory.max").write_text("max\n")
    (machine / "memory.current").write_text(f"{3 * GIB}\n")

    assert (8 * GIB, 6 * GIB) == (memory.total(), memory.available())


def test_a_container_over_its_bound_has_nothing_left(machine: Path) -> None:
    (machine / "memory.max").write_text(f"{1 * GIB}\n")
    (machine / "memory.current").write_text(f"{2 * GIB}\n")

    assert 0 == memory.available()
