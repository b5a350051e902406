"""The record of a run: for its owner alone, found again by id or name, gone when nothing is left in it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.record import RunFacts, RunRecord, all_records, find_record, home


def noted(where: Path, run: str, workflow: str, at: float) -> RunRecord:
    record = RunRecord(run, where)
    record.write_facts(RunFacts(run, workflow, f"{workflow}.yaml", 4711, at))
    return record


def test_folders_and_facts_are_for_the_owner_alone(tmp_path: Path) -> None:
    record = noted(tmp_path / "home", "3f2a", "包子", 1.0)

    places = [record.home, record.home / "runs", record.folder, record.folder / "run.json"]

    assert [0o700, 0o700, 0o700, 0o600] == [stat.S_IMODE(place.stat().st_mode) for place in places]


def test_facts_come_back_as_they_were_written(tmp_path: Path) -> None:
    record = noted(tmp_path, "3f2a", "包子", 2.5)

    assert RunFacts("3f2a", "包子", "包子.yaml", 4711, 2.5) == record.facts()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"run": "a"}', '{"pid": []}'])
def test_spoilt_facts_are_no_facts(tmp_path: Path, text: str) -> None:
    record = RunRecord("3f2a", tmp_path)
    (record.make() / "run.json").write_text(text)

    assert record.facts() is None


def test_records_are_listed_oldest_first(tmp_path: Path) -> None:
    noted(tmp_path, "b", "late", 2.0)
    noted(tmp_path, "a", "early", 1.0)

    assert ["a", "b"] == [record.run for record in all_records(tmp_path)]


def test_a_run_is_found_by_the_beginning_of_its_id_and_by_its_workflow(tmp_path: Path) -> None:
    noted(tmp_path, "3f2a", "baozi", 1.0)
    noted(tmp_path, "77aa", "words", 2.0)

    assert ["3f2a", "77aa"] == [find_record(word, tmp_path).run for word in ("3f", "words")]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("baozi", "several runs match 'baozi'"), ("xx", "there is no run 'xx'")],
)
def test_a_run_that_is_not_one_is_refused_with_those_there_are(
    tmp_path: Path, word: str, expected: str
) -> None:
    noted(tmp_path, "3f2a", "baozi", 1.0)
    noted(tmp_path, "77aa", "baozi", 2.0)

    with pytest.raises(UsageError, match=f"{expected}.*3f2a, 77aa"):
        find_record(word, tmp_path)


def test_a_record_with_nothing_in_it_but_its_facts_is_tidied_away(tmp_path: Path) -> None:
    record = noted(tmp_path / "home", "3f2a", "baozi", 1.0)

    record.tidy()

    assert not record.home.exists()


def test_a_record_that_holds_something_is_kept(tmp_path: Path) -> None:
    record = noted(tmp_path, "3f2a", "baozi", 1.0)
    (record.folder / "dead-letters").mkdir()

    record.tidy()

    assert record.facts() is not None


def test_home_is_in_the_current_folder_unless_the_environment_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert (tmp_path / ".mprun", Path("/elsewhere")) == (home({}), home({"MPRUN_HOME": "/elsewhere"}))
