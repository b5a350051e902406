"""The record of a run: for its owner alone, found again by id or name, gone when nothing is left in it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.record import RunFacts, RunRecord, all_records, home, listed, matching, the_one


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

    records = all_records(tmp_path)
    assert [["3f2a"], ["77aa"], []] == [
        [record.run for record in matching(word, records)] for word in ("3f", "words", "xx")
    ]


def test_a_name_that_means_several_runs_is_refused_with_those_it_means(tmp_path: Path) -> None:
    several = [noted(tmp_path, run, "baozi", 1.0) for run in ("3f2a", "77aa")]

    assert several[1] == the_one("77", several[1:], "runs")
    with pytest.raises(UsageError, match="several runs match 'baozi': 3f2a, 77aa; name one by its id"):
        the_one("baozi", several, "runs")


def test_of_many_runs_the_last_are_listed(tmp_path: Path) -> None:
    many = [RunRecord(f"r{number}", tmp_path) for number in range(10)]

    assert "2 older ones, r2, r3, r4, r5, r6, r7, r8, r9" == listed(many)
    assert "none" == listed([])


def test_what_was_given_beside_the_file_comes_back_byte_by_byte(tmp_path: Path) -> None:
    record = RunRecord("3f2a", tmp_path)
    facts = RunFacts(
        "3f2a", "包子", "包子.yaml", 4711, 2.5, ("name=包子", "raw=\udcff"), ("limits.timeout=3s",)
    )
    record.write_facts(facts)

    assert facts == record.facts()


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
