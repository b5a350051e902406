"""Every key that a job can have with a slip in it is put right; every value that is none is judged, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from runner.load import check
from runner.plan import make_plan
from runner.problems import Problem, Severity
from runner.source import read_text
from runner.source_marks import DataPath, Mark

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
NAMES = {"before", "all", "A", "n", "db"}
"""Keys that are names of the user's own."""
ROOM = "abxyz"
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


def keys(mark: Mark, path: DataPath = ()) -> Iterator[DataPath]:
    """Every path that ends in a key of ours."""
    children = mark.children
    below_it = dict(children) if isinstance(children, Mapping) else dict(enumerate(children or ()))
    for step, below in below_it.items():
        if isinstance(step, str) and step not in NAMES and path[:1] == ("jobs",):
            yield (*path, step)
        yield from keys(below, (*path, step))


def values(mark: Mark, path: DataPath = ()) -> Iterator[tuple[DataPath, Mark]]:
    """Every value of the file, with where it stands."""
    children = mark.children
    below_it = dict(children) if isinstance(children, Mapping) else dict(enumerate(children or ()))
    for step, below in below_it.items():
        yield (*path, step), below
        yield from values(below, (*path, step))


def slips(key: str) -> Iterator[str]:
    """Every word that one slip of the finger makes of a key."""
    for at in range(len(key)):
        yield key[:at] + key[at + 1 :]
        yield key[:at] + key[at] + key[at:]
        yield key[:at] + ROOM[at % len(ROOM)] + key[at + 1 :]
        yield key[:at] + key[at + 1 : at + 2] + key[at] + key[at + 2 :]


SOURCE = read_text(EVERY_KEY, "w.yaml")
PATHS = {"/".join(map(str, path[2:])): path for path in keys(SOURCE.mark)}


VALUES = {"/".join(map(str, path)): mark for path, mark in values(SOURCE.mark) if path[0] == "jobs"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "own.env").write_text("A=1\n")
    return tmp_path / "w.yaml"


def problems(file: Path, text: str) -> list[Problem]:
    file.write_text(text, encoding="utf-8")
    return list(check(file).problems)


def test_the_file_with_every_key_is_right(file: Path) -> None:
    assert [] == [problem.message for problem in problems(file, EVERY_KEY)]


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_a_letter_left_out_of_a_key_is_found_at_its_place_with_the_right_word(
    path: DataPath, file: Path
) -> None:
    key = str(path[-1])

    assert {} == not_put_right(path, [key[:1] + key[2:]], file)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_any_slip_in_a_key_is_found_at_its_place_with_the_right_word(path: DataPath, file: Path) -> None:
    assert {} == not_put_right(path, slips(str(path[-1])), file)


def not_put_right(path: DataPath, slips: Iterable[str], file: Path) -> dict[str, list[object]]:
    """What is told of each slip that is told in any other way."""
    key, span = str(path[-1]), SOURCE.locate(path, "key").span
    lines = EVERY_KEY.splitlines(keepends=True)
    line = lines[span.line - 1]
    start = line.index(key, span.column - 1)
    unlike: dict[str, list[object]] = {}
    for slip in dict.fromkeys(slips):
        if slip == key or len(slip) < 2:
            continue
        lines[span.line - 1] = f"{line[:start]}{slip}{line[start + len(key) :]}"
        found = problems(file, "".join(lines))
        told: list[object] = [(p.span.line, p.span.column, p.code, p.help) for p in found]
        if [(span.line, span.column, "unknown-key", f"did you mean '{key}'?")] != told:
            unlike[slip] = told
    return unlike


@pytest.mark.parametrize("odd", ["'${{ matrix.n }}'", "[1, [2]]"])
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
    wrong = any(problem.severity is Severity.ERROR for problem in checked.problems)
    return None if wrong == (checked.spec is None) else "it is neither right nor wrong"
