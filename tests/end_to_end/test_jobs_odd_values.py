"""Every value in a file that has each key of jobs, replaced by what is none: it is judged, and nothing is raised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from runner.loader.load import check
from runner.spec.diagnostics import DataPath, Severity
from runner.spec.plan import make_plan
from runner.spec.source.positions import Mark
from runner.spec.source.reader import read_text

EVERY_KEY = """\
name: w
jobs:
  before:
    run: "true"
  all:
    description: d
    needs: [{job: before, optional: true}]
    if: always()
    strategy: {fail-fast: false, max-parallel: 1, matrix: {n: [1, 2], include: [{n: 3}], exclude: [{n: 1}]}}
    steps:
      - {name: s, run: "true", if: always(), shell: bash, working-directory: ., env: {A: b}, timeout: 1s,
         continue-on-error: true}
    ensure:
      - {name: s, run: "true", if: always(), shell: bash, working-directory: ., env: {A: b}, timeout: 1s,
         continue-on-error: true}
    services:
      db:
        run: "true"
        ready: {port: 1, host: h, run: "true", prints: p, every: 1s, timeout: 1s}
        shell: bash
        working-directory: .
        env: {A: b}
    shell: bash
    working-directory: .
    env: {A: b}
    dotenv: own.env
    secrets: PATH
    timeout: 1s
    idle-timeout: 1s
    attempts: {max: 2, backoff: 1s, max-backoff: 1s, "on": [1], timeout: 1s}
    continue-on-error: true
    concurrency: {group: g, limit: 1, queue: fifo}
    inputs: "*"
    outputs: {files: "*", values: v}
"""
ODD_VALUES = (
    *(
        "3",
        "-1",
        "0",
        "1.5",
        "~",
        "true",
        "''",
        "' '",
        "all",
        "x: y",
        "1e400",
        ".nan",
        "0s",
        "9999999h",
        "!x y",
    ),
    *("[]", "{}", "{x: y}", "[x]", "[~]", "[1, [2]]", "[{x: y}]", "'\"'", '"\'"', "'a\\nb'", "9" * 400),
    *("'${{'", "'${{ item }}'", "'${{ params.x }}'", "'${{ secrets.PATH }}'", "'${{ needs.before.result }}'"),
    *(
        "'${{ matrix.n }}'",
        "'${{ matrix.x }}'",
        "['${{ matrix.n }}']",
        "{x: '${{ matrix.n }}'}",
        "'${{ matrix }}'",
    ),
    "'${{ matrix.n }} ${{ needs.before.outputs.v }}'",
)


def values(mark: Mark, path: DataPath = ()) -> Iterator[tuple[DataPath, Mark]]:
    """Every value of the file, with where it stands."""
    children = mark.children
    below_it = dict(children) if isinstance(children, Mapping) else dict(enumerate(children or ()))
    for step, below in below_it.items():
        yield (*path, step), below
        yield from values(below, (*path, step))


SOURCE = read_text(EVERY_KEY, "w.yaml")


VALUES = {"/".join(map(str, path)): mark for path, mark in values(SOURCE.mark) if path[0] == "jobs"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "own.env").write_text("A=1\n")
    return tmp_path / "w.yaml"


def test_the_file_with_every_key_is_right(file: Path) -> None:
    file.write_text(EVERY_KEY, encoding="utf-8")

    assert [] == [diagnostic.message for diagnostic in check(file).diagnostics]


@pytest.mark.parametrize("odd", ["'${{ matrix.n }}'", "[1, [2]]"])
@pytest.mark.slow
def test_an_odd_value_anywhere_is_judged(odd: str, file: Path) -> None:
    assert {} == {name: raised for name in VALUES if (raised := not_judged(VALUES[name], odd, file))}


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES)
def test_any_odd_value_is_judged(name: str, file: Path) -> None:
    assert {} == {odd: raised for odd in ODD_VALUES if (raised := not_judged(VALUES[name], odd, file))}


def not_judged(mark: Mark, odd: str, file: Path) -> str | None:
    """Put an odd value in a place; what is right can be planned, what is wrong has problems, and nothing is raised."""
    file.write_text(EVERY_KEY[: mark.start] + odd + EVERY_KEY[mark.end :], encoding="utf-8")
    try:
        checked = check(file)
        if checked.spec is not None:
            make_plan(checked.spec)
    except Exception as error:
        return repr(error)
    wrong = any(diagnostic.severity is Severity.ERROR for diagnostic in checked.diagnostics)
    return None if wrong == (checked.spec is None) else "it is neither right nor wrong"
