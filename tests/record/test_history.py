"""Which runs there are, what has become of each, and which one a word means."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_homes import recorded

from runner.errors import UsageError
from runner.record.history import find_run, runs_in, unique_prefixes
from runner.record.reader import RunView
from runner.record.schema import VERSION, create
from runner.record.summary import RunSummary
from runner.record.writer import RunWriter
from runner.store.run_folder import RunFacts, RunFolder
from runner.store.run_lock import RunLock, write_ended

Wrong = Callable[[Path], object]


def summary(run: str, workflow: str = "baozi") -> RunSummary:
    return RunSummary(run, workflow, "f", 1.0, 2.0, "done", 0, 1, 0, 0, 0, 1)


def outcomes(home: Path) -> dict[str, str]:
    return {run.id: run.outcome for run in runs_in(home)}


def in_database(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_runs_are_listed_oldest_first_with_what_they_came_to(tmp_path: Path) -> None:
    recorded(tmp_path, "b", at=2.0, outcome="failed")
    recorded(tmp_path, "a", at=1.0)

    assert [("a", "done", 2.0), ("b", "failed", 2.0)] == [
        (run.id, run.outcome, run.seconds) for run in runs_in(tmp_path)
    ]


def test_a_run_without_an_end_lives_while_its_lock_is_held_and_was_killed_once_it_is_free(
    tmp_path: Path,
) -> None:
    run_folder = recorded(tmp_path, "a", outcome=None)
    lock = RunLock(run_folder.path)
    living = outcomes(tmp_path)
    lock.release()

    assert [{"a": "running"}, {"a": "killed"}] == [living, outcomes(tmp_path)]
    assert 1.0 == runs_in(tmp_path)[0].seconds, "to when it was last heard of"


def test_a_killed_run_of_before_the_machine_was_switched_on_went_down_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(tmp_path, "a", outcome=None)
    recorded(tmp_path, "b")
    before = [run.machine_went_down for run in runs_in(tmp_path)]
    monkeypatch.setattr("runner.record.summary.boot_id", lambda: "another")

    assert [False, False] == before
    assert {"a": True, "b": False} == {run.id: run.machine_went_down for run in runs_in(tmp_path)}


def test_a_run_that_was_killed_before_anything_was_written_is_listed(tmp_path: Path) -> None:
    run_folder = RunFolder("a", tmp_path)
    RunLock(run_folder.make()).release()
    run_folder.write_facts(RunFacts("a", "baozi", "baozi.yaml", 4711, 5.0))

    assert {"a": "killed"} == outcomes(tmp_path)


def test_a_run_that_wanted_no_record_is_not_listed(tmp_path: Path) -> None:
    run_folder = RunFolder("a", tmp_path)
    run_folder.write_facts(RunFacts("a", "baozi", "baozi.yaml", 4711, 5.0))
    run_folder.make_folder("dead-letters")

    assert {} == outcomes(tmp_path)


@pytest.mark.parametrize("has_database", [True, False])
def test_a_run_whose_record_broke_off_shows_what_it_came_to_where_that_could_be_written(
    tmp_path: Path, has_database: bool
) -> None:
    run_folder = recorded(tmp_path, "a", outcome=None)
    (run_folder.path / "lock").unlink()
    if not has_database:
        (run_folder.path / "run.db").unlink()
    before = outcomes(tmp_path)
    write_ended(
        run_folder.path, {"outcome": "done", "exit_code": 0, "at": 9.0, "trouble": "the disk was full"}
    )

    assert before == ({"a": "unknown"} if has_database else {})
    assert ("done", 0, "the disk was full", None) == (
        (run := runs_in(tmp_path)[0]).outcome,
        run.exit_code,
        run.trouble,
        run.done,
    )


@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(b"junk"), lambda file: file.unlink()])
def test_a_run_that_has_ended_was_not_killed_whatever_became_of_its_database(
    tmp_path: Path, spoil: Wrong
) -> None:
    run_folder = recorded(tmp_path, "a")
    write_ended(run_folder.path, {"outcome": "done", "exit_code": 0, "at": 3.0})
    before = runs_in(tmp_path)[0]
    spoil(run_folder.path / "run.db")

    (run,) = runs_in(tmp_path)
    assert (None, ("done", 0, 2.0)) == (before.trouble, (run.outcome, run.exit_code, run.seconds))
    assert (None, 0, True) == (run.done, run.incarnations, run.trouble is not None)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b"garbage" * 1000),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:3000]),
        lambda file: file.unlink(),
        lambda file: in_database(file, "DROP TABLE run"),
        lambda file: in_database(file, "PRAGMA user_version=77"),
        lambda file: (file.unlink(), file.mkdir()),
    ],
)
def test_the_index_is_made_again_whatever_was_done_to_it(tmp_path: Path, spoil: Wrong) -> None:
    for number in range(5):
        recorded(tmp_path, f"r{number}", at=float(number))
    before = runs_in(tmp_path)
    spoil(tmp_path / "index.db")

    assert before == runs_in(tmp_path) == runs_in(tmp_path)


def test_the_index_answers_for_runs_that_have_not_changed_and_forgets_those_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in ("a", "b"):
        recorded(tmp_path, run)
    before = runs_in(tmp_path)
    monkeypatch.setattr(
        "runner.record.history.summarize_run", lambda run_folder: pytest.fail(f"{run_folder.run} was opened")
    )
    from_index = runs_in(tmp_path)
    (tmp_path / "runs/a").rename(tmp_path / "elsewhere")

    assert before == from_index
    assert ["b"] == [run.id for run in runs_in(tmp_path)]
    assert 0o600 == stat.S_IMODE((tmp_path / "index.db").stat().st_mode)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, None])
def test_a_damaged_database_is_one_line_and_harms_no_other(tmp_path: Path, content: bytes | None) -> None:
    recorded(tmp_path, "a", at=1.0)
    file = recorded(tmp_path, "b", at=2.0).path / "run.db"
    file.write_bytes(file.read_bytes()[:5000] if content is None else content)

    shown = {run.id: run for run in runs_in(tmp_path)}

    assert ["a", "b"] == list(shown)
    assert ("done", "baozi") == (shown["a"].outcome, shown["b"].workflow)


def test_a_database_of_another_version_is_shown_as_far_as_it_is_known(tmp_path: Path) -> None:
    run_folder = recorded(tmp_path, "a")
    in_database(
        run_folder.path / "run.db",
        "ALTER TABLE incarnation ADD COLUMN mood TEXT",
        "DROP TABLE kind",
        f"PRAGMA user_version={VERSION + 1}",
    )

    with RunView(run_folder.path) as view:
        note, kinds, events = view.note, view.kinds(), list(view.events())

    assert {"a": "done"} == outcomes(tmp_path)
    assert (True, [], ["worker.spawned"]) == (
        f"version {VERSION + 1}" in str(note),
        kinds,
        [event.name for event in events],
    )


def test_where_there_is_no_write_ahead_log_another_journal_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sqlite3.connect

    class WithoutSharedMemory(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql == "BEGIN IMMEDIATE" and super().execute("PRAGMA journal_mode").fetchone() == ("wal",):
                raise sqlite3.OperationalError("locking protocol")
            return super().execute(sql, *parameters)

    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **k, factory=WithoutSharedMemory))

    connection, journal = create(tmp_path / "run.db", lasting=True)
    with closing(connection):
        assert ("truncate", ("truncate",)) == (journal, connection.execute("PRAGMA journal_mode").fetchone())
        assert not {"run.db-wal", "run.db-shm"} & {file.name for file in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("latest", "3f01"),
        ("aa", "aa00"),
        ("3f2", "3f2a"),
        ("3f2a", "3f2a"),
        ("words", "3f01"),
        ("baozi", "3f2a"),
    ],
)
def test_a_word_means_a_run(word: str, expected: str) -> None:
    runs = [summary("aa00"), summary("3f2a"), summary("3f01", "words")]

    assert expected == find_run(word, runs).id


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("3f", "several runs begin with '3f': 3f2a, 3f01; write more of the id"),
        ("bazoi", "there is no run 'bazoi'; did you mean 'baozi'?"),
        ("lastest", "did you mean 'latest'?"),
        ("", "there is no run ''"),
    ],
)
def test_a_word_that_means_none_or_several_is_refused_with_the_nearest(word: str, expected: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_run(word, [summary("3f2a"), summary("3f01", "words")])

    assert expected in str(refused.value)


def test_where_nothing_was_recorded_that_is_said() -> None:
    with pytest.raises(UsageError, match="no record of a run 'latest', nor of any other here"):
        find_run("latest", [])


@given(st.sets(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=30))
def test_a_unique_prefix_means_its_run_alone_and_is_the_shortest_that_does(ids: set[str]) -> None:
    prefixes = unique_prefixes(ids)

    for own, length in prefixes.items():
        others = [other for other in ids if other != own]
        if not any(other.startswith(own) for other in others):
            assert not any(other.startswith(own[:length]) for other in others)
            assert length == 1 or any(other.startswith(own[: length - 1]) for other in others)


def test_a_list_of_runs_of_the_present_says_how_long_they_have_taken(tmp_path: Path) -> None:
    run_folder = recorded(tmp_path, "a", at=time.time() - 60, outcome=None)
    lock = RunLock(run_folder.path)

    (run,) = runs_in(tmp_path)
    lock.release()

    assert 59 < run.seconds < 600


def test_a_run_that_ended_once_more_while_somebody_looked_on_is_not_what_it_was_before(
    tmp_path: Path,
) -> None:
    folder = recorded(tmp_path, "aa", outcome="interrupted").path
    for incarnation, outcome in ((2, "interrupted"), (3, "done")):
        with RunView(folder) as view:
            writer = RunWriter(
                folder,
                {"workflow": "baozi", "pid": os.getpid(), "at": 9.0},
                over=False,
                incarnation=incarnation,
            )
            view.facts()
            writer.end({"at": 10.0, "outcome": outcome, "exit_code": 0, "report": None})
            writer.close()

        assert [outcome] == [run.outcome for run in runs_in(tmp_path)]
