"""`mprun import` of noxfiles and of what tox reads: sessions and environments as jobs, and nothing of them run."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import SpecError
from runner.importers.importing import import_file
from runner.importers.model import ImportedFile, Outcome
from runner.importers.nox import read_noxfile
from runner.importers.python_environments import python_of
from runner.importers.tox import read_tox
from runner.loader.load import check
from runner.spec.diagnostics import errors_only
from runner.spec.source.positions import Text

HEAD = "import nox\nLOCATIONS = ['src', 'tests']\n"


def nox(text: str) -> ImportedFile:
    return read_noxfile(Text("noxfile.py", HEAD + text), Path("noxfile.py"))


def runs(file: ImportedFile, name: str) -> list[str]:
    return [str(step.keys["run"]) for step in file.jobs[name].steps if step.keys.get("name") != "environment"]


def session(body: str, decorator: str = "@nox.session") -> list[str]:
    return runs(nox(f"{decorator}\ndef a(session):\n    {body}\n"), "a")


@pytest.mark.parametrize(
    ("body", "run"),
    [
        ("session.install('-e', '.[test]')", "python -m pip install -e '.[test]'"),
        ("session.run('pytest', '-q', external=True)", "pytest -q"),
        ("session.run('black', *LOCATIONS)", "black src tests"),
        ("session.run('pytest', *session.posargs)", 'set -- ${{ args }}\npytest "$@"\n'),
        (
            "args = session.posargs or LOCATIONS; session.run('black', *args)",
            'set -- ${{ args }}\n[ $# -gt 0 ] || set -- src tests\nblack "$@"\n',
        ),
        ("session.run('python', f'-m{session.name}')", "python -ma"),
    ],
)
def test_calls_of_a_session_are_steps(body: str, run: str) -> None:
    assert [run] == session(body)


def test_what_has_to_be_run_to_be_known_is_left_in_one_step() -> None:
    file = nox("@nox.session\ndef a(session):\n    x = compute()\n    if x:\n        session.run('y')\n")

    [note] = [each for each in file.all_notes() if each.outcome is Outcome.LEFT]
    assert (5, "x = compute()") == (note.line, note.source)
    assert "        session.run('y')" in note.more
    assert ["exit 1" in each for each in runs(file, "a")] == [True]


def test_pythons_and_parameters_are_a_matrix_and_helpers_stand_where_they_are_called() -> None:
    file = nox(
        "PYTHONS = ['3.11', '3.12']\n"
        "@nox.session(python=PYTHONS, name='tests')\n@nox.parametrize('db', ['pg', 'lite'])\n"
        "def run_tests(session, db):\n    setup(session, 'pytest')\n    session.run('pytest', f'--db={db}')\n"
        "def setup(session, *names): pass\n"
        "def setup(session, name):\n    session.install(name)\n"
    )

    job = file.jobs["tests"]
    assert {"python": ["3.11", "3.12"], "db": ["pg", "lite"]} == job.keys["strategy"]["matrix"]
    assert ["python -m pip install pytest", 'pytest "--db=${{ matrix.db }}"'] == runs(file, "tests")


def test_the_sessions_that_nox_runs_by_default_are_the_default() -> None:
    file = nox(
        "nox.options.sessions = ['a']\n@nox.session\ndef a(session): pass\n@nox.session\ndef b(session): pass\n"
    )

    assert ["a"] == file.keys["default"]
    assert [None, True] == [job.keys.get("manual") for job in file.jobs.values()]


def test_a_file_that_is_no_python_says_where(tmp_path: Path) -> None:
    (tmp_path / "noxfile.py").write_text("import nox\ndef (:\n")

    with pytest.raises(SpecError) as told:
        import_file(tmp_path / "noxfile.py", None, tmp_path / "out.yaml")

    assert 2 == told.value.diagnostics[0].span.line


INI = """[tox]
envlist = py{311,312}, lint
[testenv]
deps =
    pytest
    py311: old
extras = test
setenv =
    A = b
commands =
    pytest {posargs:tests}
[testenv:lint]
skip_install = true
deps = ruff
commands =
    ruff check {toxinidir}
    - ruff format --check
[testenv:docs]
deps = {[testenv:lint]deps}
commands = build {nobody}
"""


def ini(text: str = INI, name: str = "tox.ini") -> ImportedFile:
    return read_tox(Text(name, text), Path(name))


def test_environments_are_jobs_and_those_of_the_list_the_default() -> None:
    file = ini()

    assert ["py311", "py312", "lint"] == file.keys["default"]
    assert [None, None, None, True] == [job.keys.get("manual") for job in file.jobs.values()]
    assert "python3.12" in file.jobs["py312"].steps[0].keys["run"]
    assert {"A": "b"} == file.jobs["py311"].keys["env"]


def test_what_an_environment_installs_and_runs() -> None:
    file = ini()

    assert "python -m pip install pytest old '.[test]'" == runs(file, "py311")[0]
    assert "python -m pip install pytest '.[test]'" == runs(file, "py312")[0]
    assert 'set -- ${{ args }}\n[ $# -gt 0 ] || set -- tests\npytest "$@"\n' == runs(file, "py312")[1]
    assert ["python -m pip install ruff", 'ruff check "$PWD"', "ruff format --check"] == runs(file, "lint")
    assert file.jobs["lint"].steps[-1].keys["continue-on-error"] is True


def test_what_tox_fills_in_and_nobody_here_knows_is_left() -> None:
    [note] = [each for each in ini().all_notes() if each.outcome is Outcome.LEFT]

    assert "write it without {nobody}" == note.said


def test_toml_says_the_same() -> None:
    file = ini(
        "[tool.tox]\nenv_list = ['py312']\n[tool.tox.env_run_base]\ndeps = ['pytest']\n"
        "commands = [['pytest', '-q', {replace = 'posargs', default = ['tests'], extend = true}]]\n",
        "pyproject.toml",
    )

    assert ["py312"] == file.keys["default"]
    assert 'set -- ${{ args }}\n[ $# -gt 0 ] || set -- tests\npytest -q "$@"\n' == runs(file, "py312")[1]


@pytest.mark.parametrize(
    ("name", "text"), [("tox.ini", INI), ("noxfile.py", HEAD + "@nox.session\ndef a(session): pass\n")]
)
def test_what_is_imported_checks(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    made = import_file(tmp_path / name, None, tmp_path / "out.yaml")

    assert [] == errors_only(check(tmp_path / "out.yaml", text=made.text).diagnostics)


@pytest.mark.parametrize(
    ("version", "program"),
    [
        ("3.11", "python3.11"),
        ("3.11.4", "python3.11"),
        ("3.14-dev", "python3.14"),
        ("3.13t", "python3.13t"),
        ("3.x", "python3"),
        (">=3.9", "python3"),
        ("pypy-3.10", "pypy3.10"),
        ("", "python3"),
    ],
)
def test_the_program_of_a_version(version: str, program: str) -> None:
    assert program == python_of(version)
