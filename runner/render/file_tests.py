"""How tests of workflow files are shown: a line for each, and of a failed one what is different, and where. Pure.

workflows/clean.yaml
  passed  clean drops bad rows                0.12s
  FAILED  whole                               0.40s
    workflows/clean.yaml:14:7: the outputs of 'save' are others
      - {a: 1}
      + {a: 2}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from runner.facts import dataclass
from runner.render.junit import JunitCase, JunitSuite
from runner.text import cells, visible
from runner.units import counted

_MOST_SAID = 30
_NAME_CELLS = 50
_RED, _GREEN, _YELLOW, _BOLD, _DIM = "31", "32", "33", "1", "2"


class TestState(StrEnum):
    """What became of a test."""

    __test__ = False  # pytest would take it for a test

    PASSED = "passed"
    FAILED = "FAILED"
    UPDATED = "updated"
    """It had failed, and the file says now what came."""


_HUES = {TestState.PASSED: _GREEN, TestState.FAILED: _RED, TestState.UPDATED: _YELLOW}


@dataclass(frozen=True, slots=True)
class ShownMismatch:
    """One thing that is otherwise than expected, with its place."""

    place: str
    title: str
    diff: Sequence[str]


@dataclass(frozen=True, slots=True)
class ShownTest:
    """One test as it is shown."""

    name: str
    state: TestState
    seconds: float
    mismatches: Sequence[ShownMismatch] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class ShownFile:
    """The tests of a file as they are shown."""

    file: str
    tests: Sequence[ShownTest]
    began: float
    seconds: float
    note: str = ""
    """What there is to say of the file itself, such as that it has no tests."""


def test_lines(test: ShownTest, *, colour: bool) -> Iterator[str]:
    """Yield the lines of one test."""

    def paint(text: str, hue: str) -> str:
        return f"\x1b[{hue}m{text}\x1b[0m" if colour else text

    name = visible(test.name)
    state = paint(f"{test.state:<7}", _HUES[test.state])
    yield f"  {state} {name}{' ' * max(0, _NAME_CELLS - cells(name))} {test.seconds:6.2f}s"
    for each in test.mismatches:
        yield f"    {paint(visible(each.place) + ':', _BOLD)} {visible(each.title)}"
        yield from (f"      {paint(visible(line), _hue_of(line))}" for line in each.diff)
    if test.said and test.state is TestState.FAILED:
        lines = test.said.splitlines()
        more = len(lines) - _MOST_SAID
        head = f"    it printed{f' ({more} lines before these are left out)' if more > 0 else ''}:"
        yield paint(head, _DIM)
        yield from (f"      {visible(line)}" for line in lines[-_MOST_SAID:])


test_lines.__test__ = False  # type: ignore[attr-defined]  # nor is this one


def _hue_of(line: str) -> str:
    return {"-": _RED, "+": _GREEN}.get(line[:1], _DIM)


def summary_line(files: Sequence[ShownFile]) -> str:
    """Sum tests up: `1 failed, 3 passed in 2 files, 1.2s`."""
    tests = [test for file in files for test in file.tests]
    parts = [
        f"{number} {state.lower()}"
        for state in (TestState.FAILED, TestState.UPDATED, TestState.PASSED)
        if (number := sum(test.state is state for test in tests))
    ]
    where = f" in {counted(len(files), 'file')}" if len(files) > 1 else ""
    return f"{', '.join(parts) or 'no tests were run'}{where}, {sum(file.seconds for file in files):.1f}s"


def junit_suite(file: ShownFile) -> JunitSuite:
    """Return the tests of a file as a suite of JUnit's."""
    return JunitSuite(file.file, [_case(file.file, test) for test in file.tests], file.seconds, file.began)


def _case(file: str, test: ShownTest) -> JunitCase:
    failed = test.state is TestState.FAILED
    lines = [line for each in test.mismatches for line in (f"{each.place}: {each.title}", *each.diff)]
    return JunitCase(
        file,
        test.name,
        test.seconds,
        verdict="failure" if failed else None,
        message=test.mismatches[0].title if failed and test.mismatches else "",
        kind="failed",
        text="\n".join(lines) if failed else None,
        said=test.said,
    )
