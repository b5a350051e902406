"""`mprun history prune`: what goes, what goes with it, and what has to be taken away by hand."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from record_homes import recorded

from runner.handlers.outputs import HiddenOutput
from runner.store.hidden_outputs import note_hidden

Prune = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def prune(tmp_path: Path, run_mprun: Prune) -> Prune:
    """The command, in a home of its own."""
    env = {"MPRUN_HOME": str(tmp_path / "home")}
    return lambda *arguments: run_mprun("history", "prune", *arguments, cwd=tmp_path, env=env)


def an_old_run(folder: Path) -> Path:
    """A run of 1970 that did not end well, and what it has hidden."""
    hidden = folder / ".out.csv.aaaa.mprun"
    hidden.mkdir()
    note_hidden(recorded(folder / "home", "aaaa", outcome="failed"), [HiddenOutput(str(hidden), "aaaa")])
    return hidden


def test_what_goes_with_a_record_is_told_before_and_when_it_is_gone(tmp_path: Path, prune: Prune) -> None:
    hidden = an_old_run(tmp_path)

    asked = prune("--dry-run")
    was_there = hidden.exists()
    done = prune()

    for each, did in ((asked, "would remove"), (done, "removed")):
        assert f"\n  with {hidden}\n" in each.stdout
        assert each.stderr.startswith(f"{did} 1 record of 1, ")
    assert (True, False) == (was_there, hidden.exists())


@pytest.mark.slow
def test_what_could_not_be_taken_away_is_named(tmp_path: Path, prune: Prune) -> None:
    path = tmp_path / "shop.db"
    recorded_run = recorded(tmp_path / "home", "aaaa", outcome="failed")
    note_hidden(recorded_run, [HiddenOutput(str(path), "aaaa", "buns")])
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("CREATE TABLE 'buns of run aaaa' (n)")
        somebody.execute("BEGIN EXCLUSIVE")
        done = prune()

    assert f"\n  but not {path}, notes on table 'buns'\n" in done.stdout
    assert "take it away by hand" in done.stderr


def test_programs_are_told_too(tmp_path: Path, prune: Prune) -> None:
    hidden = an_old_run(tmp_path)

    told = json.loads(prune("--format", "json").stdout)

    assert (["aaaa"], [str(hidden)], []) == (told["removed"], told["outputs"], told["left"])
