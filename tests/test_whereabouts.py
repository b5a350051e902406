"""A run is under way if its socket answers; what a killed one left is swept up, and nothing else is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner.control import SOCKET
from runner.errors import UsageError
from runner.record import RunFacts, RunRecord
from runner.whereabouts import find_all_live, find_live, live_records


class Place:
    """Records of runs that live, have ended, or were killed."""

    def __init__(self, home: Path, parts: ExitStack) -> None:
        self.home = home
        self._parts = parts
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        self._nobody = ended.pid

    def run(self, run: str, workflow: str, *, alive: bool, listens: bool, bound: bool = True) -> RunRecord:
        record = RunRecord(run, self.home)
        pid = os.getpid() if alive else self._nobody
        record.write_facts(RunFacts(run, workflow, "w.yaml", pid, 1.0))
        listener = self._parts.enter_context(socket.socket(socket.AF_UNIX))
        if bound:
            listener.bind(str(record.folder / SOCKET))
        if listens:
            listener.listen()
        return record

    def left(self, run: str) -> list[str]:
        folder = self.home / "runs" / run
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    with ExitStack() as parts:
        yield Place(Path("h"), parts)


def test_a_killed_run_of_the_same_name_is_in_nobodys_way(place: Place) -> None:
    place.run("dead", "kitchen", alive=False, listens=False)
    live = place.run("live", "kitchen", alive=True, listens=True)

    assert [live] == live_records(place.home)
    assert live == find_live("kitchen", place.home)
    assert [] == place.left("dead")


def test_a_killed_run_that_has_letters_keeps_them_and_loses_its_socket(place: Place) -> None:
    record = place.run("dead", "kitchen", alive=False, listens=False)
    (record.folder / "dead-letters").mkdir()

    assert [] == live_records(place.home)
    assert ["dead-letters", "run.json"] == place.left("dead")


@pytest.mark.parametrize("bound", [True, False])
def test_a_run_that_does_not_listen_yet_is_left_alone(place: Place, bound: bool) -> None:
    place.run("young", "kitchen", alive=True, listens=False, bound=bound)
    before = place.left("young")

    assert [] == live_records(place.home)
    assert before == place.left("young")


def test_a_pid_that_is_another_programs_by_now_makes_no_run_alive(place: Place) -> None:
    place.run("old", "kitchen", alive=True, listens=False)
    live = place.run("live", "kitchen", alive=True, listens=True)

    assert live == find_live("kitchen", place.home)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("kitchen", "several runs under way match 'kitchen': a1, a2; name one by its id"),
        ("oven", "run 'oven' has ended"),
        ("nobody", "there is no run 'nobody' under way; there are: a1, a2"),
    ],
)
def test_a_run_that_cannot_be_meant_is_refused(place: Place, word: str, expected: str) -> None:
    for run in ("a1", "a2"):
        place.run(run, "kitchen", alive=True, listens=True)
    (place.run("b1", "oven", alive=False, listens=False).folder / "dead-letters").mkdir()

    with pytest.raises(UsageError, match=expected):
        find_live(word, place.home)


def test_all_runs_of_a_name_can_be_meant(place: Place) -> None:
    both = [place.run(run, "kitchen", alive=True, listens=True) for run in ("a1", "a2")]

    assert both == find_all_live("kitchen", place.home)
