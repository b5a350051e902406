"""`mprun import` of workflows of GitHub Actions: what goes over, what is translated, dropped, left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import SpecError
from runner.importers.importing import Import, import_file
from runner.importers.model import Outcome
from runner.loader.load import check
from runner.spec.diagnostics import errors_only
from runner.spec.source.reader import read_text


def imported(folder: Path, text: str, name: str = ".github/workflows/ci.yml") -> Import:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    made = import_file(path, None, folder / "ci.yaml")
    assert [] == errors_only(check(folder / "ci.yaml", text=made.text).diagnostics)
    return made


def data_of(made: Import) -> Any:
    return read_text(made.text, "ci.yaml").data


def a_step(folder: Path, step: str, above: str = "") -> tuple[dict[str, Any], list[Outcome]]:
    """Import a job with one step after a script, and return that step and what became of it."""
    text = f"on: push\njobs:\n  a:\n{above}    steps:\n      - run: echo first\n      - {step}\n"
    made = imported(folder, text)
    steps = data_of(made)["jobs"]["a"].get("steps", [None])
    notes = [note.outcome for note in made.imported.all_notes() if note.line == text.count("\n")]
    return steps[1] if len(steps) > 1 else {}, notes


@pytest.mark.parametrize(
    ("uses", "run", "outcome"),
    [
        ("actions/checkout@v4", None, Outcome.DROPPED),
        ("codecov/codecov-action@v4", None, Outcome.DROPPED),
        ("Swatinem/rust-cache@v2", None, Outcome.DROPPED),
        ("pre-commit/action@v3", "pre-commit run", Outcome.TRANSLATED),
        ("actions/setup-node@v4, with: {node-version: 20}", "wanted=20", Outcome.TRANSLATED),
        (
            "golangci/golangci-lint-action@v6, with: {args: --fast}",
            "golangci-lint run --fast",
            Outcome.TRANSLATED,
        ),
        ("who/knows@v1", "exit 1", Outcome.LEFT),
        ("pypa/gh-action-pypi-publish@v1", "twine upload", Outcome.LEFT),
    ],
)
def test_an_action_is_nothing_a_check_a_command_or_a_step_that_fails(
    tmp_path: Path, uses: str, run: str | None, outcome: Outcome
) -> None:
    step, outcomes = a_step(tmp_path, f"{{uses: {uses}}}")

    assert outcome in outcomes
    assert (run is None and not step) or (run is not None and run in step["run"])


def test_scripts_and_their_keys_go_over_as_they_are(tmp_path: Path) -> None:
    step, outcomes = a_step(
        tmp_path, "{name: n, run: make, env: {A: b}, working-directory: sub, shell: bash}"
    )

    assert {
        "name": "n",
        "run": "make",
        "env": {"A": "b"},
        "working-directory": "sub",
        "shell": "bash",
    } == step
    assert {Outcome.KEPT} == set(outcomes)


def test_minutes_become_a_duration(tmp_path: Path) -> None:
    step, _ = a_step(tmp_path, "{run: make, timeout-minutes: 3}")

    assert "3m" == step["timeout"]


def test_secrets_are_asked_for_by_the_job_that_uses_them(tmp_path: Path) -> None:
    job = (
        "jobs: {a: {steps: [{run: 'up ${{ secrets.KEY }} ${{ github.token }}'}]}, b: {steps: [{run: make}]}}"
    )
    data = data_of(imported(tmp_path, f"on: push\n{job}\n"))

    assert ["KEY", "GITHUB_TOKEN"] == data["jobs"]["a"]["secrets"]
    assert "secrets" not in data["jobs"]["b"]


def test_variables_of_the_repository_become_params(tmp_path: Path) -> None:
    data = data_of(imported(tmp_path, "on: push\njobs: {a: {steps: [{run: 'go ${{ vars.WHERE }}'}]}}\n"))

    assert "WHERE" in data["params"]
    assert "go ${{ params.WHERE }}" == data["jobs"]["a"]["run"]


def test_what_is_no_key_here_is_left_with_its_line(tmp_path: Path) -> None:
    made = imported(tmp_path, "on: push\njobs:\n  a:\n    frobnicate: 1\n    steps: [{run: make}]\n")

    [note] = [each for each in made.imported.all_notes() if each.outcome is Outcome.LEFT]
    assert (4, "frobnicate: 1") == (note.line, note.source)
    assert "# line 4: LEFT `frobnicate: 1`" in made.text


def test_a_condition_that_cannot_be_read_makes_a_step_that_fails(tmp_path: Path) -> None:
    step, outcomes = a_step(tmp_path, "{run: make, if: nonsense(1}")

    assert "exit 1" in step["run"]
    assert Outcome.LEFT in outcomes


TEXTS = st.sampled_from(
    [
        "run",
        "uses",
        "actions/checkout@v4",
        "actions/cache@v4",
        "${{ matrix.x }}",
        "${{ (",
        "a",
        "",
        "needs",
        "é",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.text(max_size=4),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["run", "uses", "with", "if", "env", "path", "key", "matrix", "include", "name", "ports", "x"]
            ),
            each,
            max_size=4,
        )
    ),
    max_leaves=8,
)
KEYS = ["name", "on", "env", "defaults", "concurrency", "permissions", "jobs", "other"]
JOB_KEYS = ["runs-on", "steps", "needs", "if", "strategy", "env", "services", "outputs", "uses", "defaults"]
JOBS = st.dictionaries(
    st.sampled_from(["a", "b", "c d", "é"]),
    st.dictionaries(st.sampled_from(JOB_KEYS), VALUES, max_size=5) | VALUES,
    max_size=3,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4), JOBS)
def test_whatever_stands_there_it_is_imported_or_refused_with_a_place(
    tmp_path: Path, top: dict[str, Any], jobs: dict[str, Any]
) -> None:
    from runner.spec.source.emitter import emit

    try:
        imported(tmp_path, emit({**top, "jobs": jobs}))
    except SpecError as error:
        assert error.diagnostics
