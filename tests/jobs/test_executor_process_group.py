"""Process groups of commands, with real processes in a child of the test's that adopts orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from holdings import held
from jobs_workers import in_child, is_alive, wait_until

from runner.jobs.executor.process_group import CommandExit, ProcessGroup, kill_orphans


def group(folder: Path, script: str) -> ProcessGroup:
    with (folder / "out").open("ab") as out:
        return ProcessGroup(
            ["sh", "-c", script], env=dict(os.environ), directory=str(folder), output=out.fileno()
        )


def pids_in(folder: Path, count: int) -> list[int]:
    """The numbers that the script printed, once they are all there."""
    wait_until(lambda: len((folder / "out").read_text().split()) >= count)
    return [int(word) for word in (folder / "out").read_text().split()]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", CommandExit(0)),
        ("exit 7", CommandExit(7)),
        ("kill -TERM $$", CommandExit(None, "SIGTERM")),
        ("kill -40 $$", CommandExit(None, "signal 40")),
    ],
)
def test_how_it_ended_is_told(script: str, expected: CommandExit, tmp_path: Path) -> None:
    assert expected == in_child(lambda: group(tmp_path, script).reap_all())


@pytest.mark.parametrize(
    ("ended", "expected"),
    [(CommandExit(3), "exited with code 3"), (CommandExit(None, "SIGKILL"), "was killed by SIGKILL")],
)
def test_how_it_ended_reads_as_part_of_a_sentence(ended: CommandExit, expected: str) -> None:
    assert expected == str(ended)


def test_nobody_of_the_group_outlives_its_burial(tmp_path: Path) -> None:
    def work() -> list[int]:
        group(tmp_path, "sleep 600 & echo $!; sh -c 'sleep 601 & echo $!'; exit 0").reap_all()
        return [pid for pid in pids_in(tmp_path, 2) if is_alive(pid)]

    assert [] == in_child(work)


def test_a_group_is_empty_only_when_its_last_process_has_ended(tmp_path: Path) -> None:
    def work() -> tuple[bool, bool]:
        one = group(tmp_path, "sleep 600 & echo $!; exit 0")
        [pid] = pids_in(tmp_path, 1)
        one.reap()
        before = one.is_empty()
        os.kill(pid, signal.SIGKILL)
        wait_until(one.is_empty)
        return before, one.is_empty()

    assert (False, True) == in_child(work)


def test_what_left_the_group_is_found_and_ended(tmp_path: Path) -> None:
    def work() -> list[int]:
        script = "setsid sh -c 'echo $$; setsid sleep 600 & echo $!; wait' & sleep 0.3"
        group(tmp_path, script).reap_all()
        pids = pids_in(tmp_path, 2)
        kill_orphans()
        return [pid for pid in pids if is_alive(pid)]

    assert [] == in_child(work)


def test_where_nothing_is_left_there_is_nothing_to_do(tmp_path: Path) -> None:
    def work() -> float:
        group(tmp_path, "true").reap_all()
        began = time.perf_counter()
        kill_orphans()
        return time.perf_counter() - began

    assert in_child(work) < 0.5


def test_a_program_that_is_not_there_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    def work() -> int:
        before = held()
        with pytest.raises(FileNotFoundError):
            ProcessGroup(["no-such-program"], env={}, directory=str(tmp_path), output=subprocess.DEVNULL)
        return len(held() - before)

    assert 0 == in_child(work)
