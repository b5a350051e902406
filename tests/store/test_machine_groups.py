"""Concurrency groups over all runs of the machine: who may go, when somebody dies, when somebody is called off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.store.machine_groups import MachineGroups

HOLDS = """
import sys, time
from pathlib import Path
from runner.store.machine_groups import MachineGroups
groups = MachineGroups(Path(sys.argv[1]), "dead", "")
assert groups.enter("g", "a", 1, job="a", calls_off=False)
print("held", flush=True)
time.sleep(60)
"""


def of_run(folder: Path, run: str) -> MachineGroups:
    return MachineGroups(folder, run, "")


def enter(groups: MachineGroups, limit: int = 1, *, calls_off: bool = False, group: str = "g") -> None:
    assert groups.enter(group, "a", limit, job="a", calls_off=calls_off)


def test_who_came_first_goes_first_and_the_next_when_that_has_left(tmp_path: Path) -> None:
    one, two, three = (of_run(tmp_path, name) for name in ("one", "two", "three"))
    for groups in (one, two, three):
        enter(groups)

    assert [True, False, False] == [each.look("a").may_go for each in (one, two, three)]
    assert ["one", "two"] == [holder.run for holder in three.look("a").before]
    one.leave("a")
    assert [True, False] == [each.look("a").may_go for each in (two, three)]


def test_who_gives_up_waiting_keeps_nobody(tmp_path: Path) -> None:
    one, two, three = (of_run(tmp_path, name) for name in ("one", "two", "three"))
    for groups in (one, two, three):
        enter(groups)
    two.leave("a")
    one.leave("a")

    assert three.look("a").may_go


def test_no_newcomer_goes_before_those_who_wait_even_where_all_before_them_have_left(tmp_path: Path) -> None:
    one, two = of_run(tmp_path, "one"), of_run(tmp_path, "two")
    enter(one)
    assert one.look("a").may_go
    one.leave("a")
    enter(two)
    enter(one)

    assert (True, False) == (two.look("a").may_go, one.look("a").may_go)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((2, 2, 2), [True, True, False]),
        ((2, 1, 2), [True, False, False]),
        ((1, 3, 3), [True, False, False]),
        ((3, 3, 2), [True, True, False]),
    ],
)
def test_of_different_limits_the_smallest_holds(
    tmp_path: Path, limits: tuple[int, ...], expected: list[bool]
) -> None:
    runs = [of_run(tmp_path, str(number)) for number in range(len(limits))]
    for groups, limit in zip(runs, limits, strict=True):
        enter(groups, limit)

    assert expected == [groups.look("a").may_go for groups in runs]


def test_whoever_calls_off_means_all_who_came_before(tmp_path: Path) -> None:
    one, two, three, four = (of_run(tmp_path, name) for name in ("one", "two", "three", "four"))
    enter(one)
    enter(two)
    enter(three, calls_off=True)
    enter(four)

    by = [each.look("a").called_off_by for each in (one, two, three, four)]
    assert ["three", "three", None, None] == [None if each is None else each.run for each in by]
    assert not three.look("a").may_go  # not before they have cleaned up


def test_groups_have_nothing_to_do_with_one_another_whatever_their_names_are(tmp_path: Path) -> None:
    names = ["a/b", "a%2fb", "..", "x" * 300, "x" * 301, "部署", "a b"]
    runs = [of_run(tmp_path, str(number)) for number in range(len(names))]
    for name, groups in zip(names, runs, strict=True):
        enter(groups, group=name)

    assert all(groups.look("a").may_go for groups in runs)
    assert len(names) == len([*tmp_path.iterdir()])


def test_a_run_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert "held\n" == holder.stdout.readline()
        mine = of_run(tmp_path, "mine")
        enter(mine)
        assert not mine.look("a").may_go
        assert holder.pid == mine.look("a").before[0].pid
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(10)

    assert mine.look("a").may_go
    assert ["00000002", "counter"] == sorted(path.name for path in (tmp_path / "g").iterdir())


def test_a_counter_that_is_held_is_asked_for_again(tmp_path: Path) -> None:
    import fcntl

    one, two = of_run(tmp_path, "one"), of_run(tmp_path, "two")
    enter(one)
    with (tmp_path / "g" / "counter").open("r+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        assert not two.enter("g", "a", 1, job="a", calls_off=False)
    enter(two)

    assert not two.look("a").may_go


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"run": 3}'])
def test_a_damaged_ticket_counts_while_it_is_locked(tmp_path: Path, damage: str) -> None:
    one, two = of_run(tmp_path, "one"), of_run(tmp_path, "two")
    enter(one)
    (tmp_path / "g" / "00000001").write_text(damage)
    (tmp_path / "g" / "counter").write_text("nonsense")
    enter(two)

    assert not two.look("a").may_go
    one.leave("a")
    assert two.look("a").may_go
