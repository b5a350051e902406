"""The limit that a worker sets itself, in a real process; and how kills for want of memory are noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.process.memory import OomMonitor, limit_own_memory, out_of_memory, own_bytes


def in_a_child(act: Callable[[], int]) -> int:
    """Return what `act` returns in a process of its own."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = act()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_an_allocation_beyond_the_limit_is_a_memory_error() -> None:
    def act() -> int:
        limit_own_memory(own_bytes() + (256 << 20))
        bytearray(64 << 20)
        try:
            bytearray(1 << 30)
        except MemoryError:
            return 7
        return 1

    assert 7 == in_a_child(act)


def test_shared_memory_does_not_count() -> None:
    def act() -> int:
        import mmap

        limit_own_memory(own_bytes() + (256 << 20))
        with mmap.mmap(-1, 1 << 30):
            return 7

    assert 7 == in_a_child(act)


def test_a_limit_that_is_exceeded_already_is_refused_in_words() -> None:
    with pytest.raises(
        OSError, match=r"memory_limit is 1 MiB, and a worker has [0-9]+ MiB before its handler begins"
    ):
        limit_own_memory(1 << 20)


def test_a_kill_is_noticed_once(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 3\noom_kill 2\n")
    monitor = OomMonitor([events])

    quiet = monitor.has_killed()
    events.write_text("low 0\noom 4\noom_kill 3\n")

    assert (False, True, False) == (quiet, monitor.has_killed(), monitor.has_killed())


def test_where_nobody_counts_nothing_has_struck(tmp_path: Path) -> None:
    assert not OomMonitor([tmp_path / "missing"]).has_killed()


def test_this_machine_can_be_asked() -> None:
    assert not OomMonitor().has_killed()


def test_what_does_not_fit_names_the_key_that_bounds_it() -> None:
    def act() -> int:
        limit_own_memory(2_000_000_000)
        return int(str(out_of_memory()).endswith("; its `memory_limit` is 2GB"))

    assert 1 == in_a_child(act)
    assert "the item does not fit into what memory the worker has left" in str(out_of_memory())
