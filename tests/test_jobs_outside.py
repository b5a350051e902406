"""What jobs take from outside: dotenv files that can't be read, secrets that are missing or can't be masked."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.jobs.outside import check_outside
from runner.problems import Problem, Severity
from runner.source import read_text
from runner.spec_jobs import JobSpec, LegSpec

ALONE = "name: w\njobs:\n  a: {dotenv: ci.env, secrets: TOKEN}\n"
LISTED = "name: w\njobs:\n  a: {dotenv: [ok.env, ci.env], secrets: [FINE, TOKEN]}\n"


def problems(
    yaml: str, folder: Path, environ: dict[str, str] | None = None, *legs: dict[str, tuple[str, ...]]
) -> list[Problem]:
    keys = read_text(yaml, "w.yaml").data["jobs"]["a"]
    own = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in keys.items()}
    specs = tuple(LegSpec("a", "a", (), **leg) for leg in legs or (own,))
    environ = environ or {"TOKEN": "long enough", "FINE": "fine"}
    return check_outside(read_text(yaml, "w.yaml"), [JobSpec("a", specs)], folder, environ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ok.env").write_text("A=1\n")
    (tmp_path / "ci.env").write_text("B=2\n")
    return tmp_path


@pytest.mark.parametrize("yaml", [ALONE, LISTED])
def test_what_is_there_and_right_is_fine(yaml: str, folder: Path) -> None:
    assert [] == problems(yaml, folder)


def test_a_line_that_can_not_be_read_is_a_problem_in_its_own_file(folder: Path) -> None:
    (folder / "ci.env").write_text("A=1\nB='\n")

    (problem,) = problems(ALONE, folder)

    assert ("ci.env", 2, 3, "dotenv-syntax") == (
        problem.file,
        problem.span.line,
        problem.span.column,
        problem.code,
    )


@pytest.mark.parametrize(("yaml", "column"), [(ALONE, 15), (LISTED, 24)])
def test_a_file_that_is_not_there_is_a_problem_where_it_is_named(
    yaml: str, column: int, folder: Path
) -> None:
    (folder / "ci.env").rename(folder / "ci.enw")

    (problem,) = problems(yaml, folder)

    assert ("no-file", 3, column, "did you mean 'ci.enw'?") == (
        problem.code,
        problem.span.line,
        problem.span.column,
        problem.help,
    )


def test_what_is_no_file_is_a_problem_where_it_is_named(folder: Path) -> None:
    (folder / "ci.env").unlink()
    (folder / "ci.env").mkdir()

    (problem,) = problems(ALONE, folder)

    assert ("unreadable", "'ci.env' can't be read: Is a directory") == (problem.code, problem.message)


def test_a_file_that_many_legs_name_is_told_once(folder: Path) -> None:
    (folder / "ci.env").unlink()

    assert 1 == len(problems(ALONE, folder, None, {"dotenv": ("ci.env",)}, {"dotenv": ("ci.env",)}))


def test_a_file_that_is_only_known_later_is_not_looked_for(folder: Path) -> None:
    assert [] == problems(ALONE, folder, None, {"dotenv": ("${{ needs.x.outputs.y }}",)})


@pytest.mark.parametrize(("yaml", "column"), [(ALONE, 32), (LISTED, 49)])
@pytest.mark.parametrize(
    ("environ", "code", "severity", "words"),
    [
        ({}, "missing-secret", Severity.WARNING, "will fail if it runs"),
        ({"TOKEN": ""}, "missing-secret", Severity.WARNING, "is not set"),
        ({"TOKEN": "ab"}, "unfit-secret", Severity.ERROR, "fewer than 3 characters"),
    ],
)
def test_a_secret_is_set_and_can_be_masked(
    yaml: str,
    column: int,
    environ: dict[str, str],
    code: str,
    severity: Severity,
    words: str,
    folder: Path,
) -> None:
    (problem,) = problems(yaml, folder, {"FINE": "fine", **environ})

    assert (code, severity, column) == (problem.code, problem.severity, problem.span.column)
    assert words in problem.message
