"""`mprun history`: past runs as a table, as JSON and as CSV, by workflow, by their end and by their time."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from runner.cli.past_runs.history import moment
from runner.errors import UsageError

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

NOW = datetime(2026, 11, 30, 12).timestamp()


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory, run_mprun: RunMprun) -> Callable[..., Any]:
    """A home with three runs: two of one workflow, of which the second failed, and one of another."""
    folder = tmp_path_factory.mktemp("kitchen")
    stages = "stages:\n  cook: {run: 'kitchen:cook', to: pot}\n  eater: {run: 'kitchen:eat', from: pot}\n"
    (folder / "kitchen.py").write_text(
        "from pathlib import Path\n\ndef cook():\n    yield from range(3)\n\n"
        "def eat(item):\n    assert not Path('burnt').exists(), 'burnt'\n"
    )
    for name in ("kitchen", "canteen"):
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{stages}")

    def mprun(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_mprun(*arguments, cwd=folder, env={"MPRUN_HOME": str(folder / "home")})

    assert 0 == mprun("run", "kitchen.yaml", "-q").returncode
    (folder / "burnt").touch()
    assert 1 == mprun("run", "kitchen.yaml", "-q").returncode
    (folder / "burnt").unlink()
    assert 0 == mprun("run", "canteen.yaml", "-q").returncode
    return mprun


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [("kitchen", "done"), ("kitchen", "failed"), ("canteen", "done")]),
        (("kitchen",), [("kitchen", "done"), ("kitchen", "failed")]),
        (("--failed",), [("kitchen", "failed")]),
        (("--last", "1"), [("canteen", "done")]),
        (("list", "canteen", "--since", "1h"), [("canteen", "done")]),
        (("--since", "2000-01-01", "--failed", "canteen"), []),
        (("--since", "3000-01-01"), []),
    ],
)
@pytest.mark.quick("options2-expected2")
def test_runs_are_chosen_by_name_end_and_time(
    kitchen: Callable[..., Any], options: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    rows = json.loads(kitchen("history", *options, "--format", "json").stdout)

    assert expected == [(row["workflow"], row["outcome"]) for row in rows]


def test_table_and_csv_say_the_same(kitchen: Callable[..., Any]) -> None:
    table = kitchen("history").stdout.splitlines()
    rows = list(csv.DictReader(io.StringIO(kitchen("history", "--format", "csv").stdout)))

    assert ["RUN", "WORKFLOW", "BEGAN", "TOOK", "OUTCOME", "EXIT", "ITEMS", "FAILED"] == table[0].split()
    assert [row["id"] for row in rows] == [line.split()[0] for line in table[1:]]
    assert ["3", "0", "3"] == [row["done"] for row in rows]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("kitchn",), "no run of a workflow 'kitchn' is recorded here; did you mean 'kitchen'?"),
        (
            ("--since", "yesterday"),
            "--since: expected how long ago, as in 90m or 7d, or a date such as 2026-11-30",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    kitchen: Callable[..., Any], words: tuple[str, ...], expected: str
) -> None:
    refused = kitchen("history", *words)

    assert (2, "") == (refused.returncode, refused.stdout)
    assert expected in refused.stderr


def test_where_nothing_was_recorded_that_is_said(run_mprun: RunMprun, tmp_path: Path) -> None:
    done = run_mprun("history", cwd=tmp_path, env={"MPRUN_HOME": str(tmp_path / "none")})

    assert (0, "", "there is no record of any run here\n") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NOW - 5400),
        ("7d", NOW - 604800),
        ("2026-11-30", NOW - 43200),
        ("2026-11-30 11:00", NOW - 3600),
    ],
)
def test_since_takes_how_long_ago_or_a_date(text: str, expected: float) -> None:
    assert expected == moment(text, NOW)


def test_since_takes_nothing_else() -> None:
    with pytest.raises(UsageError):
        moment("7 days", NOW)
