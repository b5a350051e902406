"""Outputs that another runner has opened before: gone on in where all that was acknowledged is there, else refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet  # type: ignore[import-untyped]
from sink_handlers import built, consumer_kind, flush, prepared, write

from runner.handlers.kinds import Mapper
from runner.handlers.outputs import KeptOutput, Opening, OutputRefused
from runner.ledger.snapshot import QueueSnapshot


def options(path: Path, mode: str = "fail") -> dict[str, str]:
    return {"path": str(path), "mode": mode}


def killed(output: Any) -> None:
    """Let go of what its process would have let go of by its death, and do nothing else."""
    for name in ("_descriptor", "_mark"):
        if getattr(output, name, -1) >= 0:
            os.close(getattr(output, name))
            setattr(output, name, -1)


def some_acknowledged(handler: Mapper) -> bytes:
    """Have a sink write `a`, acknowledged, and `b`, which is not; return its state."""
    handler.call({"n": "a"})
    flush(handler)
    assert handler.capture is not None
    state = handler.capture()
    handler.call({"n": "b"})
    flush(handler)
    return state


def before(output: Any, states: Mapping[str, bytes], *, over: bool = False) -> KeptOutput:
    return KeptOutput(output.kept(), states, over)


@pytest.mark.parametrize("mode", ["fail", "append", "replace"])
def test_another_runner_goes_on_behind_what_is_acknowledged(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "out"
    if mode != "fail":
        path.write_text('"there"\n', encoding="utf-8")
    first = prepared("jsonl", options(path, mode), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)

    second = prepared("jsonl", options(path, mode), tmp_path, resumable=True, before=left)
    state = write("jsonl", options(path), ["c"], prepared=second.prepared, state=state)
    second.finish(complete=True, states={"neo": state}, stays=True)

    there = '"there"\n' if mode == "append" else ""
    assert there + '{"n": "a"}\n"c"\n' == path.read_text(encoding="utf-8")
    assert ["out"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize("mode", ["fail", "replace"])
def test_it_can_be_told_what_would_be_cut_off_and_that_changes_nothing(tmp_path: Path, mode: str) -> None:
    first = prepared("jsonl", options(tmp_path / "out", mode), tmp_path, resumable=True)
    written = Path(first.prepared.of("neo").path)
    state = some_acknowledged(built("jsonl", options(tmp_path / "out"), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    writes = consumer_kind("jsonl").writes
    assert writes is not None
    surplus = writes(options(tmp_path / "out", mode)).surplus
    assert surplus is not None

    found = [count for _, count in surplus(Opening(str(tmp_path), "run", before=left))]

    assert ([11], 22) == (found, written.stat().st_size)


def test_parts_stay_where_a_run_that_has_failed_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, "replace"), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    first.finish(complete=False, states={"neo": state}, stays=True)

    second = prepared("jsonl", options(path, "replace"), tmp_path, resumable=True, before=left)
    second.finish(complete=True, states={"neo": state}, stays=True)

    assert '{"n": "a"}\n' == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_where_another_run_has_written_since_there_is_no_going_on(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, mode), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    other = prepared("jsonl", options(path, mode), tmp_path, "other")
    other.finish(complete=True, states={})

    with pytest.raises(OutputRefused, match="another run"):
        prepared("jsonl", options(path, mode), tmp_path, resumable=True, before=left)


def test_a_runner_killed_right_behind_the_rename_has_nothing_left_to_do(tmp_path: Path) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, "replace"), tmp_path, resumable=True)
    state = write("jsonl", options(path), ["a"], prepared=first.prepared)
    left = before(first, {"neo": state}, over=True)
    first.finish(complete=True, states={"neo": state}, stays=True)

    second = prepared("jsonl", options(path, "replace"), tmp_path, resumable=True, before=left)
    second.finish(complete=True, states={"neo": state}, stays=True)

    assert '"a"\n' == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_what_is_gone_is_refused_before_anything_starts(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, mode), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    path.unlink() if mode == "append" else shutil.rmtree(first.prepared.path)

    with pytest.raises(OutputRefused, match="gone"):
        prepared("jsonl", options(path, mode), tmp_path, resumable=True, before=left)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    path.write_text("", encoding="utf-8")

    with pytest.raises(OutputRefused, match="it has 0 bytes, and 11 were written"):
        prepared("jsonl", options(path), tmp_path, resumable=True, before=left)


def test_another_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    path.rename(tmp_path / "elsewhere")
    path.write_text("x" * 100, encoding="utf-8")

    with pytest.raises(OutputRefused, match="another file has taken its place"):
        prepared("jsonl", options(path), tmp_path, resumable=True, before=left)


@pytest.mark.parametrize("mode", ["fail", "replace"])
def test_a_file_in_which_something_else_stands_is_refused_and_left_alone(tmp_path: Path, mode: str) -> None:
    """Such as one that has the inode of the one that was removed."""
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, mode), tmp_path, resumable=True)
    written = Path(first.prepared.of("neo").path)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    written.write_text("somebody else's", encoding="utf-8")

    with pytest.raises(OutputRefused, match="what ends at byte 11 is not what was written there"):
        prepared("jsonl", options(path, mode), tmp_path, resumable=True, before=left)

    assert "somebody else's" == written.read_text(encoding="utf-8")


def test_what_was_there_before_the_run_has_to_be_there_still(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("there\n", encoding="utf-8")
    first = prepared("jsonl", options(path, "append"), tmp_path, resumable=True)
    left = before(first, {})
    killed(first)
    path.write_text("other\nand more", encoding="utf-8")

    with pytest.raises(OutputRefused, match="what ends at byte 6 is not what was written there"):
        prepared("jsonl", options(path, "append"), tmp_path, resumable=True, before=left)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("jsonl", {}), ("csv", {}), ("parquet", {}), ("dir", {"name": "x"})],
    ids=["jsonl", "csv", "parquet", "dir"],
)
def test_what_outlasts_the_machine_is_on_the_disk_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, more: dict[str, str]
) -> None:
    on_disk: list[tuple[int, int]] = []

    def note(descriptor: int) -> None:
        on_disk.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    output = prepared(kind, {**options(tmp_path / "out"), **more}, tmp_path)
    sink = built(kind, {**options(tmp_path / "out"), **more}, prepared=output.prepared, fsync=True)
    monkeypatch.setattr(os, "fsync", note)
    sink.call({"n": 1})
    if sink.flush is not None:
        sink.flush()

    files = {(each.stat().st_ino, each.stat().st_size) for each in tmp_path.rglob("*") if each.is_file()}
    whole = {each for each in files if each[1]}
    assert whole & set(on_disk)
    monkeypatch.undo()
    output.finish(complete=False, states=None)


def test_a_folder_that_was_exchanged_already_is_not_exchanged_back(tmp_path: Path) -> None:
    """The runner was killed as it took the old one away."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    given = {"path": "out", "name": "new", "mode": "replace"}
    first = prepared("dir", given, tmp_path, resumable=True)
    built("dir", given, prepared=first.prepared).call("a")
    left = before(first, {}, over=True)
    for lock in first._locks:
        os.close(lock)
    shutil.rmtree(first.prepared.partial)
    hidden = Path(first.prepared.folder)
    (tmp_path / "out").rename(tmp_path / "aside")
    hidden.rename(tmp_path / "out")
    (tmp_path / "aside").rename(hidden)

    second = prepared("dir", given, tmp_path, resumable=True, before=left)
    second.finish(complete=True, states=None, stays=True)

    assert ["new"] == [each.name for each in (tmp_path / "out").iterdir() if each.is_file()]
    assert ["out"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize("mode", ["fail", "replace"])
def test_a_stopped_run_that_is_resumed_takes_the_place_of_what_it_had_left(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "out.parquet"
    first = prepared("parquet", options(path, mode), tmp_path, resumable=True)
    state = write("parquet", options(path), [{"n": 1}], prepared=first.prepared)
    left = before(first, {"neo": state})
    first.finish(complete=False, states={"neo": state}, stays=True)
    stopped = parquet.read_table(path).to_pylist() if path.exists() else []

    second = prepared("parquet", options(path, mode), tmp_path, resumable=True, before=left)
    state = write("parquet", options(path), [{"n": 2}], prepared=second.prepared, state=state)
    second.finish(complete=True, states={"neo": state}, stays=True)

    assert ([] if mode == "replace" else [{"n": 1}], [{"n": 1}, {"n": 2}]) == (
        stopped,
        parquet.read_table(path).to_pylist(),
    )
    assert ["out.parquet"] == [each.name for each in tmp_path.iterdir()]


def test_tables_of_runs_that_nobody_has_gone_on_with_are_dropped_by_the_next(tmp_path: Path) -> None:
    given = {"path": "out.db", "table": "buns", "mode": "replace"}
    killed = prepared("sqlite", given, tmp_path, "killed", resumable=True)
    with closing(sqlite3.connect(tmp_path / "out.db")) as rows, rows:
        rows.execute(f'CREATE TABLE "{killed.prepared["table"]}" (n)')
    os.close(killed._lock)

    prepared("sqlite", given, tmp_path, "next").finish(complete=False, states=None)

    with closing(sqlite3.connect(tmp_path / "out.db")) as rows:
        assert [] == rows.execute("SELECT name FROM sqlite_master").fetchall()


@pytest.mark.parametrize(
    "columns", [{"n": "INTEGER"}, {"n": "INTEGER PRIMARY KEY"}], ids=["counted", "by value"]
)
def test_rows_of_items_that_the_cut_does_not_know_of_are_taken_back(
    tmp_path: Path, columns: dict[str, str]
) -> None:
    given = {"path": "out.db", "table": "buns", "columns": columns}
    first = prepared("sqlite", given, tmp_path, resumable=True)
    places: list[int] = []
    sink = built("sqlite", given, prepared=first.prepared, places=lambda: places, source="run/queue")
    places[:] = [0, 1, 3]
    sink.call([{"n": 9}, {"n": 1}, {"n": 30}])
    places[:] = [2, 5]
    sink.call([{"n": 2}, {"n": 50}])
    sink.close()
    left = KeptOutput(first.kept(), {}, queue=QueueSnapshot("queue", offered=3))
    os.close(first._lock)

    prepared("sqlite", given, tmp_path, resumable=True, before=left)

    with closing(sqlite3.connect(tmp_path / "out.db")) as rows:
        found = sorted(n for (n,) in rows.execute("SELECT n FROM buns"))
        done = rows.execute("SELECT start, stop FROM mprun_done WHERE stop").fetchall()
    assert ([1, 2, 9], [(0, 3)]) == (found, done)


def test_rows_that_can_not_be_taken_back_any_more_are_refused(tmp_path: Path) -> None:
    given = {"path": "out.db", "table": "buns"}
    first = prepared("sqlite", given, tmp_path, resumable=True)
    sink = built("sqlite", given, prepared=first.prepared, places=lambda: [0, 1], source="run/queue")
    sink.call([{"n": 0}, {"n": 1}])
    sink.close()
    with closing(sqlite3.connect(tmp_path / "out.db")) as rows, rows:
        rows.execute("DELETE FROM mprun_rows")
    left = KeptOutput(first.kept(), {}, queue=QueueSnapshot("queue", offered=1))
    os.close(first._lock)

    with pytest.raises(
        OutputRefused, match="which rows of table 'buns' were made of 1 items that the record"
    ):
        prepared("sqlite", given, tmp_path, resumable=True, before=left)


def test_another_database_in_its_place_is_refused(tmp_path: Path) -> None:
    given = {"path": "out.db", "table": "buns"}
    left = before(prepared("sqlite", given, tmp_path, resumable=True), {})
    (tmp_path / "out.db").unlink()

    with pytest.raises(OutputRefused, match="it does not know that the run had written table 'buns'"):
        prepared("sqlite", given, tmp_path, resumable=True, before=left)


def test_a_file_that_was_made_of_an_item_that_the_cut_does_not_know_of_is_taken_back(tmp_path: Path) -> None:
    given = {"path": "out", "name": "${{ item }}"}
    first = prepared("dir", given, tmp_path, resumable=True)
    places = [0]
    sink = built("dir", given, prepared=first.prepared, places=lambda: places)
    for places[0], item in ((0, "known"), (1, "not known"), (2, "not ours")):
        sink.call(item)
    (tmp_path / "out" / "not ours").unlink()
    (tmp_path / "out" / "not ours").write_text("another's", encoding="utf-8")
    for lock in first._locks:
        os.close(lock)
    left = KeptOutput(first.kept(), {}, queue=QueueSnapshot("queue", offered=1))

    second = prepared("dir", given, tmp_path, resumable=True, before=left)
    second.finish(complete=True, states=None)

    assert {"known", "not ours"} == {each.name for each in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize(
    ("kind", "more"),
    [("jsonl", {}), ("sqlite", {"table": "buns"}), ("dir", {"name": "x"}), ("parquet", {})],
    ids=["jsonl", "sqlite", "dir", "parquet"],
)
def test_who_begins_anew_is_told_of_the_run_that_can_be_gone_on_with(
    tmp_path: Path, kind: str, more: dict[str, str]
) -> None:
    given = {"path": "out", **more}
    first = prepared(kind, given, tmp_path, "d5fc", resumable=True)
    sink = built(kind, given | {"path": str(tmp_path / "out")}, prepared=first.prepared)
    sink.call([{"n": 1}] if kind == "sqlite" else {"n": 1})
    if sink.flush is not None:
        sink.flush()
    state = sink.capture() if sink.capture is not None else b""
    first.finish(complete=False, states={"neo": state}, stays=True)

    with pytest.raises(
        OutputRefused, match="run 'd5fc' has begun it, and `mprun resume d5fc` goes on with that"
    ):
        prepared(kind, given, tmp_path, "other")
