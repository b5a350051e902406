"""A run is under way if its socket answers, and was killed if its socket is there and it is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.store.control_socket import SOCKET
from runner.store.discovery import (
    find_all_running,
    find_running,
    forget_killed,
    killed_folders,
    prune_job_logs,
    running_folders,
)
from runner.store.run_folder import RunFacts, RunFolder
from runner.store.run_lock import RunLock


class Place:
    """Records of runs that live, have ended, or were killed."""

    def __init__(self, home: Path, parts: ExitStack) -> None:
        self.home = home
        self._parts = parts
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        self._nobody = ended.pid

    def run(self, run: str, workflow: str, *, alive: bool, listens: bool, bound: bool = True) -> RunFolder:
        run_folder = RunFolder(run, self.home)
        pid = os.getpid() if alive else self._nobody
        run_folder.write_facts(RunFacts(run, workflow, "w.yaml", pid, 1.0))
        listener = self._parts.enter_context(socket.socket(socket.AF_UNIX))
        if bound:
            listener.bind(str(run_folder.path / SOCKET))
        if listens:
            listener.listen()
        return run_folder

    def left(self, run: str) -> list[str]:
        folder = self.home / "runs" / run
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    with ExitStack() as parts:
        yield Place(Path("h"), parts)


def test_a_killed_run_of_the_same_name_is_in_nobodys_way(place: Place) -> None:
    dead = place.run("dead", "kitchen", alive=False, listens=False)
    live = place.run("live", "kitchen", alive=True, listens=True)

    assert [live] == running_folders(place.home)
    assert live == find_running("kitchen", place.home)
    assert [dead] == killed_folders(place.home)
    with pytest.raises(UsageError, match=r"run 'dead' was killed: its runner \(pid \d+\) is gone"):
        find_running("dead", place.home)


def test_a_killed_run_is_forgotten_when_its_workflow_runs_anew_or_many_others_were_killed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.store.discovery.KEPT_KILLED", 2)
    for run in ("a", "b", "c", "kitchen", "live", "young"):
        lives = run in ("live", "young")
        place.run(run, run, alive=lives, listens=run == "live")
    (place.home / "runs/kitchen/dead-letters").mkdir()

    forget_killed("kitchen", place.home)

    assert ["b", "c", "kitchen", "live", "young"] == sorted(
        each.name for each in (place.home / "runs").iterdir()
    )
    assert ["dead-letters", "run.json", "run.json.made", "run.json.seal"] == place.left("kitchen")
    assert ["b", "c"] == [run_folder.run for run_folder in killed_folders(place.home)]


def test_a_run_that_was_killed_and_that_nobody_has_buried_is_not_alive(place: Place) -> None:
    run_folder = place.run("dead", "kitchen", alive=False, listens=False)
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    run_folder.write_facts(RunFacts("dead", "kitchen", "w.yaml", zombie.pid, 1.0))
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)

    assert [run_folder] == killed_folders(place.home)
    zombie.wait()


@pytest.mark.parametrize("written", ["", "[]", "{", "{} {}"])
def test_what_was_known_last_is_read_only_where_it_is_whole(place: Place, written: str) -> None:
    run_folder = place.run("dead", "kitchen", alive=False, listens=False)
    assert run_folder.last_seen() is None
    run_folder.write_seen({"stages": []})
    seen = run_folder.last_seen()
    assert seen is not None and {"stages": []} == seen[0]

    (run_folder.path / "run.json.seen").write_text(written, encoding="utf-8")

    assert run_folder.last_seen() is None


def test_of_the_logs_of_jobs_the_newest_stay_and_nothing_else_goes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.store.discovery.KEPT_JOB_LOGS", 2)
    for run in ("a", "b", "c", "d", "letters", "live", "shared"):
        lives = run in ("live", "shared")
        run_folder = place.run(run, "ci", alive=run == "live", listens=False, bound=lives)
        run_folder.make_folder("jobs").joinpath("test.log").touch()
    place.home.joinpath("runs/letters/dead-letters").mkdir()

    prune_job_logs(place.home)

    assert ["c", "d", "letters", "live", "shared"] == sorted(
        each.name for each in (place.home / "runs").iterdir()
    )


def test_what_never_came_to_its_socket_is_swept_up_but_for_its_letters(place: Place) -> None:
    run_folder = place.run("dead", "kitchen", alive=False, listens=False, bound=False)
    (run_folder.path / "dead-letters").mkdir()

    assert [] == running_folders(place.home)
    assert ["dead-letters", "run.json", "run.json.made", "run.json.seal"] == place.left("dead")


@pytest.mark.parametrize("bound", [True, False])
def test_a_run_that_does_not_listen_yet_is_left_alone(place: Place, bound: bool) -> None:
    place.run("young", "kitchen", alive=True, listens=False, bound=bound)
    before = place.left("young")

    assert [] == running_folders(place.home)
    assert before == place.left("young")


def test_a_pid_that_is_another_programs_by_now_makes_no_run_alive(place: Place) -> None:
    place.run("old", "kitchen", alive=True, listens=False)
    live = place.run("live", "kitchen", alive=True, listens=True)

    assert live == find_running("kitchen", place.home)


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
    (place.run("b1", "oven", alive=False, listens=False, bound=False).path / "dead-letters").mkdir()

    with pytest.raises(UsageError, match=expected):
        find_running(word, place.home)


def test_all_runs_of_a_name_can_be_meant(place: Place) -> None:
    both = [place.run(run, "kitchen", alive=True, listens=True) for run in ("a1", "a2")]

    assert both == find_all_running("kitchen", place.home)


def test_the_folders_of_runs_that_have_ended_are_not_opened_to_find_those_that_live(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home holds some hundred of them, and each run that begins looks for what to tidy up."""
    live = place.run("live", "kitchen", alive=True, listens=True)
    ended = [place.run(f"e{n}", "kitchen", alive=False, listens=False, bound=False) for n in range(3)]
    for run_folder in ended:
        RunLock(run_folder.path).release()
        run_folder.make_folder("jobs")
    real = RunFolder.facts
    monkeypatch.setattr(
        RunFolder, "facts", lambda self: real(self) if self == live else pytest.fail(f"{self.run} was opened")
    )

    forget_killed("kitchen", place.home)
    prune_job_logs(place.home)

    assert [live] == running_folders(place.home)
    assert [] == killed_folders(place.home)
    assert all(run_folder.path.exists() for run_folder in ended)
