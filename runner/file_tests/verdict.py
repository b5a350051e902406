"""Whether what came of a test is what was expected, and if not, what is different. Pure.

FileTest.expect + Observed ──► verdict_of ──► Verdict(mismatches): each with a diff, and with what would be right
"""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from runner.errors import ExitCode
from runner.facts import dataclass
from runner.file_tests.execution import FailedInTest, Observed
from runner.file_tests.scenario import OutputSpec, Scenario
from runner.handlers.doubles import as_plain
from runner.spec.diagnostics import DataPath
from runner.spec.file_tests.model import ANY_ITEM, ExpectedFailure
from runner.spec.source.emitter import emit_flow
from runner.text import safe_repr
from runner.units import format_duration

_MOST_LINES = 60
_CONTEXT = 2


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that is otherwise than expected."""

    where: DataPath
    """Below the test; the key need not be there."""
    title: str
    diff: tuple[str, ...] = ()
    """Lines that begin with `-` for what was expected, with `+` for what came."""
    right: Any = None
    """What to write there for it to be right."""
    can_update: bool = True


@dataclass(frozen=True, slots=True)
class TestVerdict:
    """What a test came to."""

    __test__ = False  # pytest would take it for a test

    mismatches: tuple[Mismatch, ...]
    observed: Observed

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.mismatches


def verdict_of(scenario: Scenario, observed: Observed) -> TestVerdict:
    """Compare what was expected with what came."""
    return TestVerdict(tuple(_mismatches(scenario, observed)), observed)


def _mismatches(scenario: Scenario, observed: Observed) -> Iterator[Mismatch]:
    test = scenario.test
    for number in observed.unreached:
        fault = test.faults[number]
        message = f"the fault {number + 1}, `{fault.kind}` in stage '{fault.stage}', was never reached"
        yield Mismatch(("faults", number), message, can_update=False)
    if observed.exit is None:
        yield Mismatch((), _no_end(scenario, observed), can_update=False)
        return
    expect = test.expect
    if observed.exit == ExitCode.TIMEOUT != expect.exit:
        title = f"it took longer than it may, {format_duration(test.timeout)}"
        yield Mismatch((), f"{title}: {observed.reason}", can_update=False)
        return
    if observed.exit != expect.exit:
        why = f": {observed.reason}" if observed.reason else ""
        diff = (f"- {expect.exit}", f"+ {observed.exit}")
        yield Mismatch(("expect", "exit"), f"the exit code is {observed.exit}{why}", diff, observed.exit)
    for output in scenario.outputs:
        yield from _outputs(scenario, output, observed.outputs.get(output.name, []))
    yield from _failures(expect.failures, observed.failures, with_stage=test.stage is None)
    for queue, counts in expect.ledger.items():
        for name, number in counts.items():
            came = observed.ledger.get(queue, {}).get(name, 0)
            if came != number:
                title = f"queue '{queue}' has {name} {came}"
                yield Mismatch(("expect", "ledger", queue, name), title, (f"- {number}", f"+ {came}"), came)


def _no_end(scenario: Scenario, observed: Observed) -> str:
    if observed.seconds >= scenario.test.timeout:
        return f"it came to no end within {format_duration(scenario.test.timeout)}"
    return "its runner has died"


# ── outputs ──


def _outputs(scenario: Scenario, output: OutputSpec, came: Sequence[Any]) -> Iterator[Mismatch]:
    test = scenario.test
    expected = test.expect.outputs
    where: DataPath = ("expect", "outputs")
    if not output.alone:
        expected = (expected or {}).get(output.name)
        where = (*where, output.name)
    if expected is None:
        return
    expected = [as_plain(each) for each in expected]
    ours, theirs = [same_as(each) for each in expected], [same_as(each) for each in came]
    if ours == theirs or (not output.ordered and Counter(ours) == Counter(theirs)):
        return
    came = _as_written_before(expected, came)
    right = list(came) if output.ordered else _as_before(expected, came)
    how = "" if output.ordered else f", in any order, as {output.why}"
    whose = test.stage if output.alone else output.name
    title = f"the outputs of '{whose}' are others{how}"
    yield Mismatch(where, title, _diff(expected, came, ordered=output.ordered), right)


def _as_written_before(expected: Sequence[Any], came: Sequence[Any]) -> list[Any]:
    """Return what came, as far as it was expected in the words of that: 9 may stay for 9.0."""
    written: dict[str, Any] = {same_as(each): each for each in expected}
    return [written.get(same_as(each), each) for each in came]


def _as_before(expected: Sequence[Any], came: Sequence[Any]) -> list[Any]:
    """Return what came in the order in which it was expected, and then the rest."""
    left = Counter(map(same_as, came))
    kept = []
    for each in expected:
        if left[same_as(each)]:
            left[same_as(each)] -= 1
            kept.append(each)
    rest = [each for each in sorted(came, key=same_as) if left[same_as(each)]]
    new = []
    for each in rest:
        if left[same_as(each)]:
            left[same_as(each)] -= 1
            new.append(each)
    return kept + new


def same_as(value: Any) -> str:
    """Return a text that is equal for values that a test takes for the same: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_alike(value), sort_keys=True)


def _alike(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _alike(each) for key, each in value.items()}
    return [_alike(each) for each in value] if isinstance(value, list) else value


def _diff(expected: Sequence[Any], came: Sequence[Any], *, ordered: bool) -> tuple[str, ...]:
    ours, theirs = [emit_flow(each) for each in expected], [emit_flow(each) for each in came]
    if not ordered:
        ours, theirs = sorted(ours), sorted(theirs)
    lines = [
        line if line.startswith("@@") else f"{line[0]} {line[1:]}"
        for line in difflib.unified_diff(ours, theirs, n=_CONTEXT, lineterm="")
        if not line.startswith(("---", "+++"))
    ]
    lines = lines[1:] if lines and lines[0].startswith(("@@ -1", "@@ -0")) else lines
    more = len(lines) - _MOST_LINES
    return (*lines[:_MOST_LINES], *([f"… {more} more lines"] if more > 0 else []))


# ── failures ──


def _failures(
    expected: Sequence[ExpectedFailure], came: Sequence[FailedInTest], *, with_stage: bool
) -> Iterator[Mismatch]:
    left = [*came]
    kept: list[ExpectedFailure] = []
    # Those that say most first, so that one that says less does not take what is theirs.
    for each in sorted(expected, key=lambda e: (e.item is ANY_ITEM, "…" in e.error, e.stage is None)):
        match = next((failed for failed in left if _is_meant(each, failed)), None)
        if match is not None:
            left.remove(match)
            kept.append(each)
    missing = [each for each in expected if not any(each is other for other in kept)]
    if not missing and not left:
        return
    diff = [*(f"- {emit_flow(_as_written(each))}" for each in missing)]
    diff += [f"+ {emit_flow(_as_found(each, with_stage))}" for each in left]
    right = [_as_written(each) for each in expected if any(each is other for other in kept)]
    right += [_as_found(each, with_stage) for each in left]
    title = "an item failed that should not" if left and not missing else "the failures are others"
    title = "an item did not fail" if missing and not left else title
    yield Mismatch(("expect", "failures"), title, tuple(diff), right)


def _is_meant(expected: ExpectedFailure, failed: FailedInTest) -> bool:
    pattern = ".*".join(map(re.escape, expected.error.split("…")))
    if expected.stage not in (None, failed.stage) or not re.fullmatch(pattern, failed.error, re.DOTALL):
        return False
    return (
        expected.item is ANY_ITEM
        or failed.item in (safe_repr(expected.item), expected.item)
        or (same_as(as_plain(expected.item)) == same_as(item_of(failed)))
    )


def item_of(failed: FailedInTest) -> Any:
    """Return an item that failed, as far as its repr gives it back; else the repr."""
    try:
        return as_plain(ast.literal_eval(failed.item))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return failed.item


def _as_found(failed: FailedInTest, with_stage: bool) -> dict[str, Any]:
    stage = {"stage": failed.stage} if with_stage else {}
    return {**stage, "item": item_of(failed), "error": failed.error}


def _as_written(expected: ExpectedFailure) -> dict[str, Any]:
    item = {} if expected.item is ANY_ITEM else {"item": expected.item}
    stage = {} if expected.stage is None else {"stage": expected.stage}
    return {**stage, **item, "error": expected.error}
