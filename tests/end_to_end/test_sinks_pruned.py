"""With the record of a killed run goes what its sinks had hidden; what they had written stays, byte for byte."""

from __future__ import annotations

import sqlite3
import textwrap
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from killed_runners import run_killed
from sink_runs import SINKS, Sink

from runner.handlers.outputs import HiddenOutput
from runner.handlers.sinks.abandoned import is_left, take_away
from runner.record.pruning import PruneCandidate, remove_runs
from runner.store.hidden_outputs import hidden_by_runs, hidden_of, note_hidden, still_there
from runner.store.run_folder import RunFacts, RunFolder

HANDLERS = """
    import time

    def count():
        for number in range(5000):
            time.sleep(0.0005)
            yield {"n": number, "word": "x"}
"""
CASES = [pytest.param(sink, mode, id=f"{name}-{mode}") for name, sink in SINKS.items() for mode in sink.modes]


def kill_a_run(folder: Path, sink: Sink, mode: str, env: Mapping[str, str]) -> str:
    """Leave a run that was killed with all it had started; return its id."""
    (folder / "source.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")
    (folder / "flow.yaml").write_text(
        "name: flow\nstages:\n  source: {run: source:count, to: q}\n"
        f"  sink: {{run: {sink.options(f', mode: {mode}')}, from: q{sink.often}}}\n",
        encoding="utf-8",
    )
    run_killed(folder, "cut 6", env)
    (run,) = (each.name for each in (folder / "home" / "runs").iterdir())
    return run


def remains(folder: Path) -> dict[str, bytes]:
    """All that lies there but what is hidden, and what the test has put there; of a database its rows."""
    ours = {"source.py", "flow.yaml", "cuts", "cuts.partial"}
    found = {}
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        # What a kill had SQLite leave half-way is undone by whoever opens the database next.
        is_half_done = path.name.endswith("-journal")
        if path.is_file() and parts[0] not in (*ours, "home", "__pycache__") and not hidden_in(parts):
            found |= {} if is_half_done else {"/".join(parts): rows_of(path) or path.read_bytes()}
    return found


def hidden_in(parts: tuple[str, ...]) -> bool:
    return any(part.endswith(".mprun") for part in parts)


def tables_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as rows:
        return [name for (name,) in rows.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def rows_of(path: Path) -> bytes:
    """The rows of the user's own tables; nothing of what is no database."""
    if not path.read_bytes().startswith(b"SQLite format 3"):
        return b""
    own = [name for name in tables_of(path) if not name.startswith("mprun_") and " of run " not in name]
    with closing(sqlite3.connect(path)) as rows:
        return repr([(name, rows.execute(f"SELECT * FROM '{name}'").fetchall()) for name in own]).encode()


@pytest.mark.parametrize(("sink", "mode"), CASES)
@pytest.mark.quick("jsonl-replace", "sqlite-fail")
def test_what_a_killed_run_has_hidden_goes_with_its_record(
    tmp_path: Path, plain_env: Mapping[str, str], sink: Sink, mode: str
) -> None:
    run = kill_a_run(tmp_path, sink, mode, plain_env)
    home, before = tmp_path / "home", remains(tmp_path)
    hidden = hidden_by_runs(home, [run])[run]

    gone = remove_runs(home, [PruneCandidate(run, 0.0, 0)])

    assert [run] == [each.id for each in gone]
    assert (True, []) == (bool(hidden), still_there(hidden))
    assert [] == [each for each in tmp_path.rglob("*.mprun") if each.name != "home"]
    assert before == remains(tmp_path)
    if sink is SINKS["sqlite"]:
        names = tables_of(tmp_path / "out")
        assert [] == [name for name in names if name.startswith("mprun_") or " of run " in name]


def a_run(home: Path, run: str, *hidden: HiddenOutput) -> RunFolder:
    run_folder = RunFolder(run, home)
    run_folder.write_facts(RunFacts(run, "flow", "flow.yaml", 4711, 0.0))
    note_hidden(run_folder, hidden)
    return run_folder


def test_what_another_run_of_the_home_may_need_stays_until_that_goes_too(tmp_path: Path) -> None:
    home, shared = tmp_path / "home", tmp_path / ".out.aaaa.mprun"
    shared.mkdir()
    for run in ("aaaa", "bbbb"):
        a_run(home, run, HiddenOutput(str(shared), "aaaa"))

    remove_runs(home, [PruneCandidate("aaaa", 0.0, 0)])
    first = shared.exists()
    remove_runs(home, [PruneCandidate("bbbb", 0.0, 0)])

    assert (True, False) == (first, shared.exists())


def test_what_a_folder_from_elsewhere_names_is_left_alone(tmp_path: Path) -> None:
    left = tmp_path / ".out.aaaa.mprun"
    left.mkdir()
    run_folder = a_run(tmp_path / "home", "aaaa", HiddenOutput(str(left), "aaaa"))
    facts = run_folder.path / "run.json.made"
    facts.rename(run_folder.path / "copy")
    facts.write_bytes((run_folder.path / "copy").read_bytes())

    remove_runs(tmp_path / "home", [PruneCandidate("aaaa", 0.0, 0)])

    assert ([], True) == (hidden_of(run_folder), left.exists())


@pytest.mark.parametrize("name", ["out", ".out.bbbb.mprun", "pages/aaaa", ".aaaa", "aaaa.mprun"])
def test_a_folder_that_has_not_the_name_of_a_hidden_one_is_never_touched(tmp_path: Path, name: str) -> None:
    mine = tmp_path / name
    mine.mkdir(parents=True)
    hidden = HiddenOutput(str(mine), "aaaa")

    take_away(hidden)

    assert (False, True) == (is_left(hidden), mine.exists())


def test_what_somebody_is_at_work_in_stays(tmp_path: Path) -> None:
    import fcntl
    import os

    left = tmp_path / ".out.aaaa.mprun"
    left.mkdir()
    lock = os.open(left, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    take_away(HiddenOutput(str(left), "aaaa"))
    os.close(lock)

    assert left.exists()


def test_in_a_database_other_runs_and_tables_keep_their_notes(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as rows, rows:
        rows.execute("CREATE TABLE mprun_done (source TEXT, start INTEGER, stop INTEGER)")
        sources = ["aaaa/q/buns", "aaaa//buns", "aaaa/q/orders", "bbbb/q/buns"]
        rows.executemany("INSERT INTO mprun_done VALUES (?, 0, 9)", [(source,) for source in sources])
        for name in ("buns", "buns of run aaaa", "buns of run bbbb"):
            rows.execute(f"CREATE TABLE '{name}' (n)")

    hidden = HiddenOutput(str(path), "aaaa", "buns")
    was_left = is_left(hidden)
    take_away(hidden)

    with closing(sqlite3.connect(path)) as rows:
        left = [source for (source,) in rows.execute("SELECT source FROM mprun_done")]
    assert (True, False) == (was_left, is_left(hidden))
    assert ["aaaa/q/orders", "bbbb/q/buns"] == left
    assert ["mprun_done", "buns", "buns of run bbbb"] == tables_of(path)


@pytest.mark.parametrize("text", [b"", b"no database"])
def test_a_file_that_is_no_database_of_such_a_run_is_left_as_it_is(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "shop.db"
    path.write_bytes(text)

    take_away(HiddenOutput(str(path), "aaaa", "buns"))
    take_away(HiddenOutput(str(tmp_path / "none.db"), "aaaa", "buns"))

    assert ([path], text) == (list(tmp_path.iterdir()), path.read_bytes())
