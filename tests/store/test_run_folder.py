"""The folder of a run: for its owner alone, found again by id or name, gone when nothing is left in it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.store.run_folder import RunFacts, RunFolder, all_run_folders, home, join_ids, matching, only_match
from runner.text import write_atomically


def noted(where: Path, run: str, workflow: str, at: float) -> RunFolder:
    run_folder = RunFolder(run, where)
    run_folder.write_facts(RunFacts(run, workflow, f"{workflow}.yaml", 4711, at))
    return run_folder


def test_folders_and_facts_are_for_the_owner_alone(tmp_path: Path) -> None:
    run_folder = noted(tmp_path / "home", "3f2a", "包子", 1.0)

    places = [run_folder.home, run_folder.home / "runs", run_folder.path, run_folder.path / "run.json"]

    assert [0o700, 0o700, 0o700, 0o600] == [stat.S_IMODE(place.stat().st_mode) for place in places]


def test_git_does_not_see_what_a_run_leaves(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    noted(tmp_path / ".mprun", "3f2a", "baozi", 1.0)

    seen = subprocess.run(
        ["git", "-C", tmp_path, "status", "--porcelain"], capture_output=True, text=True, check=True
    )

    assert "" == seen.stdout


def test_a_home_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes").touch(mode=0o600)
    run_folder = noted(tmp_path, "3f2a", "baozi", 1.0)

    run_folder.remove_if_empty()

    assert ["notes"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_home_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "home"
    noted(place, "3f2a", "baozi", 1.0)
    place.chmod(mode)

    for use in (lambda: all_run_folders(place), lambda: RunFolder("77aa", place).make()):
        with pytest.raises(UsageError, match="can be written by others"):
            use()


def test_the_home_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted(tmp_path / "home", "3f2a", "baozi", 1.0)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(UsageError, match="belongs to another user"):
        all_run_folders(tmp_path / "home")


def test_facts_come_back_as_they_were_written(tmp_path: Path) -> None:
    run_folder = noted(tmp_path, "3f2a", "包子", 2.5)

    assert RunFacts("3f2a", "包子", "包子.yaml", 4711, 2.5) == run_folder.facts()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"run": "a"}', '{"pid": []}'])
def test_spoilt_facts_are_no_facts(tmp_path: Path, text: str) -> None:
    run_folder = RunFolder("3f2a", tmp_path)
    (run_folder.make() / "run.json").write_text(text)

    assert run_folder.facts() is None


def test_they_are_listed_oldest_first(tmp_path: Path) -> None:
    noted(tmp_path, "b", "late", 2.0)
    noted(tmp_path, "a", "early", 1.0)

    assert ["a", "b"] == [run_folder.run for run_folder in all_run_folders(tmp_path)]


def test_a_run_is_found_by_the_beginning_of_its_id_and_by_its_workflow(tmp_path: Path) -> None:
    noted(tmp_path, "3f2a", "baozi", 1.0)
    noted(tmp_path, "77aa", "words", 2.0)

    run_folders = all_run_folders(tmp_path)
    assert [["3f2a"], ["77aa"], []] == [
        [run_folder.run for run_folder in matching(word, run_folders)] for word in ("3f", "words", "xx")
    ]


def test_a_name_that_means_several_runs_is_refused_with_those_it_means(tmp_path: Path) -> None:
    several = [noted(tmp_path, run, "baozi", 1.0) for run in ("3f2a", "77aa")]

    assert several[1] == only_match("77", several[1:], "runs")
    with pytest.raises(UsageError, match="several runs match 'baozi': 3f2a, 77aa; name one by its id"):
        only_match("baozi", several, "runs")


def test_of_many_runs_the_last_are_listed(tmp_path: Path) -> None:
    many = [RunFolder(f"r{number}", tmp_path) for number in range(10)]

    assert "2 older ones, r2, r3, r4, r5, r6, r7, r8, r9" == join_ids(many)
    assert "none" == join_ids([])


def test_what_was_given_beside_the_file_comes_back_byte_by_byte(tmp_path: Path) -> None:
    run_folder = RunFolder("3f2a", tmp_path)
    facts = RunFacts(
        "3f2a", "包子", "包子.yaml", 4711, 2.5, ("name=包子", "raw=\udcff"), ("limits.timeout=3s",)
    )
    run_folder.write_facts(facts)

    assert facts == run_folder.facts()


def test_a_folder_with_nothing_in_it_but_its_facts_is_tidied_away(tmp_path: Path) -> None:
    run_folder = noted(tmp_path / "home", "3f2a", "baozi", 1.0)

    run_folder.remove_if_empty()

    assert not run_folder.home.exists()


def test_a_folder_that_holds_something_is_kept(tmp_path: Path) -> None:
    run_folder = noted(tmp_path, "3f2a", "baozi", 1.0)
    (run_folder.path / "dead-letters").mkdir()

    run_folder.remove_if_empty()

    assert run_folder.facts() is not None


def test_home_is_in_the_current_folder_unless_the_environment_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert (tmp_path / ".mprun", Path("/elsewhere")) == (home({}), home({"MPRUN_HOME": "/elsewhere"}))


def test_a_draft_of_the_facts_whose_writer_was_killed_is_taken_away(tmp_path: Path) -> None:
    run_folder = noted(tmp_path / "home", "3f2a", "baozi", 1.0)
    (run_folder.path / ".run.json.4711").write_text("{")

    run_folder.remove_if_empty()

    assert not run_folder.home.exists()


def test_a_folder_is_from_here_until_it_is_copied_or_written_again(tmp_path: Path) -> None:
    run_folder = RunFolder("3f2a", tmp_path / "home")
    run_folder.write_facts(RunFacts("3f2a", "post", "post.yaml", 1, 1.0))
    assert run_folder.is_from_here()

    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    (tmp_path / "bare" / "runs" / "3f2a").mkdir(parents=True)

    assert not RunFolder("3f2a", tmp_path / "copy").is_from_here()
    assert not RunFolder("3f2a", tmp_path / "bare").is_from_here()


@pytest.mark.parametrize("written", [0, 1])
def test_a_folder_stays_from_here_whenever_the_next_who_runs_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    run_folder = noted(tmp_path / "home", "3f2a", "post", 1.0)

    def deadly(*given: Any, **more: Any) -> None:
        nonlocal written
        if written == 0:
            raise KeyboardInterrupt
        written -= 1
        write_atomically(*given, **more)

    monkeypatch.setattr("runner.store.run_folder.write_atomically", deadly)
    with suppress(KeyboardInterrupt):
        run_folder.write_facts(RunFacts("3f2a", "post", "post.yaml", 4712, 2.0, incarnation=2))

    assert run_folder.is_from_here()


def test_a_folder_of_a_run_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    run_folder = RunFolder("3f2a", tmp_path / "home")
    run_folder.make().chmod(0o777)

    with pytest.raises(UsageError, match="can be written by others"):
        run_folder.make()


def test_a_folder_that_has_been_removed_is_a_word_and_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(UsageError, match="has been removed"):
        home({})
    assert home({"MPRUN_HOME": str(tmp_path)}) == tmp_path
