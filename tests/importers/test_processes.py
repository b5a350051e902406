"""`mprun import` of Procfiles and files of process-compose: processes that go on, and those that wait for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.importers.importing import Import, import_file
from runner.importers.model import Outcome
from runner.importers.process_compose import read_process_compose
from runner.importers.procfile import read_procfile
from runner.loader.load import check
from runner.spec.diagnostics import errors_only
from runner.spec.source.positions import Text
from runner.spec.source.reader import read_text


def imported(folder: Path, name: str, text: str) -> Import:
    (folder / name).write_text(text)
    made = import_file(folder / name, None, folder / "all.yaml")
    assert [] == errors_only(check(folder / "all.yaml", text=made.text).diagnostics)
    return made


def process(text: str) -> dict[str, Any]:
    """The keys of the job `a`, as they are before anything is taken out that does not check."""
    source = read_text(f"version: '0.5'\nprocesses:\n{text}", "process-compose.yaml")
    return read_process_compose(source).jobs["a"].keys


def test_each_line_of_a_procfile_is_a_job_in_the_background(tmp_path: Path) -> None:
    text = "# comment\nweb: serve -p $PORT\nworker: work\nrelease: migrate\n"
    jobs = read_procfile(Text("Procfile", text), tmp_path / "Procfile").jobs

    assert {"background": True, "env": {"PORT": "5000"}} == jobs["web"].keys
    assert {"background": True} == jobs["worker"].keys
    assert {"manual": True} == jobs["release"].keys
    assert "serve -p $PORT" == jobs["web"].steps[0].keys["run"]


def test_a_line_that_is_none_of_a_procfile_is_left(tmp_path: Path) -> None:
    made = imported(tmp_path, "Procfile", "web: serve\nnonsense\n")

    assert (2, "nonsense") in [
        (n.line, n.source) for n in made.imported.all_notes() if n.outcome is Outcome.LEFT
    ]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("  a: {command: x}\n", "background", None),
        (
            "  a: {command: x}\n  b: {command: y, depends_on: {a: {condition: process_healthy}}}\n",
            "background",
            True,
        ),
        (
            "  a: {command: x}\n  b: {command: y, depends_on: {a: {condition: process_completed_successfully}}}\n",
            "background",
            None,
        ),
        (
            "  a: {command: x, depends_on: {b: {condition: process_started}}}\n  b: {command: y}\n",
            "needs",
            ["b"],
        ),
        (
            "  a: {command: x, depends_on: {b: {condition: process_completed}}}\n  b: {command: y}\n",
            "needs",
            [{"job": "b", "optional": True}],
        ),
        (
            "  a: {command: x, readiness_probe: {http_get: {host: 127.0.0.1, port: 80, path: /up}}}\n"
            "  b: {command: y, depends_on: {a: {condition: process_healthy}}}\n",
            "ready",
            {"http": "http://127.0.0.1:80/up"},
        ),
        (
            "  a: {command: x, readiness_probe: {exec: {command: pg_isready}, period_seconds: 2}}\n"
            "  b: {command: y, depends_on: {a: {condition: process_healthy}}}\n",
            "ready",
            {"run": "pg_isready", "every": "2s"},
        ),
        ("  a: {command: x, environment: [A=b]}\n", "env", {"A": "b"}),
        ("  a: {command: x, working_dir: sub}\n", "working-directory", "sub"),
        ("  a: {command: x, disabled: true}\n", "manual", True),
        (
            "  a: {command: x, availability: {restart: on_failure, max_restarts: 2, backoff_seconds: 3}}\n",
            "attempts",
            {"max": 3, "backoff": "3s", "max-backoff": "3s"},
        ),
    ],
)
def test_keys_of_process_compose_become_keys_of_a_job(text: str, key: str, value: object) -> None:
    assert value == process(text).get(key)


def test_a_file_of_process_compose_checks_once_it_is_imported(tmp_path: Path) -> None:
    text = "version: '0.5'\nprocesses:\n  db: {command: serve}\n  api: {command: go, depends_on: {db: {}}}\n"
    made = imported(tmp_path, "process-compose.yaml", text)

    assert {"db", "api"} == read_text(made.text, "all.yaml").data["jobs"].keys()
