"""`mprun history prune`, `pin` and `unpin`: what goes, and what with it, what stays, and what is told of that."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from record_homes import recorded

from runner.handlers.outputs import HiddenOutput
from runner.store.hidden_outputs import note_hidden

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def history(tmp_path: Path, run_mprun: Command) -> Command:
    """The command, in a home of its own."""
    env = {"MPRUN_HOME": str(tmp_path / "home")}
    return lambda *arguments: run_mprun("history", *arguments, cwd=tmp_path, env=env)


@pytest.fixture
def prune(history: Command) -> Command:
    """Its command `prune`."""
    return lambda *arguments: history("prune", *arguments)


def an_old_run(folder: Path) -> Path:
    """A run of 1970 that did not end well, and what it has hidden."""
    hidden = folder / ".out.csv.aaaa.mprun"
    hidden.mkdir()
    note_hidden(recorded(folder / "home", "aaaa", outcome="failed"), [HiddenOutput(str(hidden), "aaaa")])
    return hidden


def test_what_goes_with_a_record_is_told_before_and_when_it_is_gone(tmp_path: Path, prune: Command) -> None:
    hidden = an_old_run(tmp_path)

    asked = prune("--dry-run")
    was_there = hidden.exists()
    done = prune()

    for each, did in ((asked, "would remove"), (done, "removed")):
        assert f"\n  with {hidden}\n" in each.stdout
        assert each.stderr.startswith(f"{did} 1 record of 1, ")
    assert (True, False) == (was_there, hidden.exists())


@pytest.mark.slow
def test_what_could_not_be_taken_away_is_named(tmp_path: Path, prune: Command) -> None:
    path = tmp_path / "shop.db"
    recorded_run = recorded(tmp_path / "home", "aaaa", outcome="failed")
    note_hidden(recorded_run, [HiddenOutput(str(path), "aaaa", "buns")])
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("CREATE TABLE 'buns of run aaaa' (n)")
        somebody.execute("BEGIN EXCLUSIVE")
        done = prune()

    assert f"\n  but not {path}, notes on table 'buns'\n" in done.stdout
    assert "take it away by hand" in done.stderr


def test_programs_are_told_too(tmp_path: Path, prune: Command) -> None:
    hidden = an_old_run(tmp_path)

    told = json.loads(prune("--format", "json").stdout)

    assert (["aaaa"], [str(hidden)], []) == (told["removed"], told["outputs"], told["left"])


def test_what_is_pinned_stays_until_it_is_not(tmp_path: Path, history: Command) -> None:
    recorded(tmp_path / "home", "aaaa")
    recorded(tmp_path / "home", "bbbb", "canteen")

    pinned, listed = history("pin", "canteen"), history()
    told = {each["id"]: each for each in json.loads(history("--format", "json").stdout)}
    first = json.loads(history("prune", "--format", "json").stdout)
    unpinned, second = history("unpin", "bbbb"), json.loads(history("prune", "--format", "json").stdout)

    assert ("run bbbb is pinned\n", "run bbbb is not pinned\n") == (pinned.stderr, unpinned.stderr)
    assert ["PINNED", "-", "yes"] == [line.split()[-1] for line in listed.stdout.splitlines()]
    assert {"aaaa": False, "bbbb": True} == {run: each["pinned"] for run, each in told.items()}
    assert all(each["bytes"] > 4096 for each in told.values())
    assert (["aaaa"], {"bbbb": "it is pinned"}, ["bbbb"]) == (
        first["removed"],
        first["needed"],
        second["removed"],
    )


def test_programs_are_told_what_was_pinned_and_exported_and_imported(
    tmp_path: Path, history: Command
) -> None:
    recorded(tmp_path / "home", "aaaa")
    file = tmp_path / "a.zip"

    def told(*words: str) -> Any:
        return json.loads(history(*words, "--format", "json").stdout)

    assert {"run": "aaaa", "pinned": True} == told("pin", "aaaa")
    assert {"run": "aaaa", "pinned": False} == told("unpin", "aaaa")
    exported = told("export", "aaaa", "-o", str(file))
    assert {"run": "aaaa", "file": str(file), "bytes": file.stat().st_size} == exported
    shutil.rmtree(tmp_path / "home" / "runs" / "aaaa")
    assert {"run": "aaaa"} == told("import", str(file))


def test_what_is_not_there_can_not_be_pinned(history: Command) -> None:
    done = history("pin", "aaaa")

    assert (2, True) == (done.returncode, "there is no record of a run 'aaaa'" in done.stderr)
