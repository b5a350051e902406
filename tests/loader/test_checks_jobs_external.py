"""What jobs take from outside: dotenv files that can't be read, secrets that are missing or can't be masked."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.checks.jobs import check_outside
from runner.loader.load import check
from runner.spec.diagnostics import LocatedDiagnostic, Severity
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.spec.source.reader import read_text

ALONE = "name: w\njobs:\n  a: {dotenv: ci.env, secrets: TOKEN}\n"
LISTED = "name: w\njobs:\n  a: {dotenv: [ok.env, ci.env], secrets: [FINE, TOKEN]}\n"


def diagnostics(
    yaml: str, folder: Path, environ: dict[str, str] | None = None, *legs: dict[str, tuple[str, ...]]
) -> list[LocatedDiagnostic]:
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
    assert [] == diagnostics(yaml, folder)


def test_a_line_that_can_not_be_read_is_a_problem_in_its_own_file(folder: Path) -> None:
    (folder / "ci.env").write_text("A=1\nB='\n")

    (diagnostic,) = diagnostics(ALONE, folder)

    assert ("ci.env", 2, 3, "dotenv-syntax") == (
        diagnostic.file,
        diagnostic.span.line,
        diagnostic.span.column,
        diagnostic.code,
    )


@pytest.mark.parametrize(("yaml", "column"), [(ALONE, 15), (LISTED, 24)])
def test_a_file_that_is_not_there_is_a_problem_where_it_is_named(
    yaml: str, column: int, folder: Path
) -> None:
    (folder / "ci.env").rename(folder / "ci.enw")

    (diagnostic,) = diagnostics(yaml, folder)

    assert ("no-file", 3, column, "did you mean 'ci.enw'?") == (
        diagnostic.code,
        diagnostic.span.line,
        diagnostic.span.column,
        diagnostic.help,
    )


def test_what_is_no_file_is_a_problem_where_it_is_named(folder: Path) -> None:
    (folder / "ci.env").unlink()
    (folder / "ci.env").mkdir()

    (diagnostic,) = diagnostics(ALONE, folder)

    assert ("unreadable", "'ci.env' can't be read: Is a directory") == (diagnostic.code, diagnostic.message)


def test_a_file_that_many_legs_name_is_told_once(folder: Path) -> None:
    (folder / "ci.env").unlink()

    assert 1 == len(diagnostics(ALONE, folder, None, {"dotenv": ("ci.env",)}, {"dotenv": ("ci.env",)}))


def test_a_file_that_is_only_known_later_is_not_looked_for(folder: Path) -> None:
    assert [] == diagnostics(ALONE, folder, None, {"dotenv": ("${{ needs.x.outputs.y }}",)})


@pytest.mark.parametrize(("yaml", "column"), [(ALONE, 32), (LISTED, 49)])
@pytest.mark.parametrize(
    ("environ", "code", "severity", "words"),
    [
        ({}, "missing-secret", Severity.WARNING, "will fail if it runs"),
        ({"TOKEN": ""}, "missing-secret", Severity.WARNING, "is not set"),
        ({"TOKEN": "ab"}, "unfit-secret", Severity.WARNING, "fewer than 3 characters"),
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
    (diagnostic,) = diagnostics(yaml, folder, {"FINE": "fine", **environ})

    assert (code, severity, column) == (diagnostic.code, diagnostic.severity, diagnostic.span.column)
    assert words in diagnostic.message


def test_a_file_that_lies_beside_the_included_one_is_named_as_jobs_find_it(tmp_path: Path) -> None:
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "part.env").write_text("A=1\n")
    (tmp_path / "inc" / "part.yaml").write_text("jobs: {a: {dotenv: part.env, run: echo}}\n")
    (tmp_path / "w.yaml").write_text("name: w\ninclude: inc/part.yaml\n")

    (found,) = check(tmp_path / "w.yaml").diagnostics

    assert ("no-file", "paths of jobs start there: write 'inc/part.env'") == (found.code, found.help)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("{run: x, working-directory: ~/src}", [("wrong-format", Severity.ERROR)]),
        ("{run: x, working-directory: nosuch}", [("no-file", Severity.WARNING)]),
        ("{run: x, working-directory: nosuch, needs: b}", []),
        ("{run: x, working-directory: there}", []),
        ("{run: x, working-directory: '${{ env.HOME }}'}", []),
    ],
)
def test_a_folder_that_can_not_be_there_is_told(
    tmp_path: Path, keys: str, expected: list[tuple[str, Severity]]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "w.yaml").write_text(f"name: w\njobs: {{a: {keys}, b: {{run: x}}}}\n")

    found = check(tmp_path / "w.yaml").diagnostics

    assert expected == [(diagnostic.code, diagnostic.severity) for diagnostic in found]
