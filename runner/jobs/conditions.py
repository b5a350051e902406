"""`if`: whether a job or a step runs, and a sentence that says why. Pure, and no eval.

    text ──parse_condition──► Condition ──check_condition──► Findings       before anything runs
                                  │
                                  └──decide(condition, Context)──► Verdict   runs or not, with its reason

The language is that of GitHub's expressions: literals, `needs` `matrix` `params` `env`, the operators
`== != < <= > >= && || !`, brackets, `contains` `startsWith` `endsWith`, and the status functions `success()`
`failure()` `always()` `cancelled()`. A condition without a status function is `success() && (…)`; no
condition at all is `success()`. What is not set is null. The whole may stand in `${{ }}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from runner.findings import Finding
from runner.jobs.condition_check import STATUS_FUNCTIONS, Known, mistakes_in
from runner.jobs.condition_syntax import ConditionMistake, parse_expression
from runner.jobs.condition_tree import Call, Literal, Node, Not, Operation, Reference, walk
from runner.jobs.condition_values import compare, contains, ends_with, is_true, shown, starts_with
from runner.source_marks import DataPath

__all__ = ["Condition", "Context", "Known", "Need", "Standing", "Verdict", "check_condition", "decide"]

_MOST_SHOWN = 100
_MOST_FACTS = 3
_OUTSIDE = (
    "'${{' and '}}' have to stand round the whole condition; text beside them would make it always true"
)
_NONE_FAILED = "nothing before it failed"
_FUNCTIONS: Mapping[str, Callable[[object, object], bool]] = {
    "contains": contains,
    "startsWith": starts_with,
    "endsWith": ends_with,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One `if`, read."""

    text: str
    """As it is shown: without braces, on one line."""
    tree: Node
    asks_status: bool
    """Whether it says itself what should happen after a failure."""


@dataclass(frozen=True, slots=True)
class Need:
    """What became of a job that this one needs."""

    result: str
    """One of `condition_check.RESULTS`."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Texts by name; for a job with a matrix, maps from leg to text."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand with what comes before: what the status functions look at. Each is a sentence."""

    fine: str = "nothing comes before it"
    """Why it may run, such as `needs are done: build passed`."""
    failed: tuple[str, ...] = ()
    """Failures of what comes before, however far, such as `need 'lint' failed`."""
    unmet: tuple[str, ...] = ()
    """What else keeps success() from being true, such as `need 'lint' was cancelled`."""
    stopping: str | None = None
    """Why the whole run is being stopped, such as `the run was interrupted`."""


@dataclass(frozen=True, slots=True)
class Context:
    """All that a condition can ask for, when it is its turn."""

    standing: Standing = Standing()
    needs: Mapping[str, Need] = field(default_factory=dict)
    matrix: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a condition came to. `reason` may show values of `env`: mask it where there are secrets."""

    runs: bool
    reason: str


def parse_condition(written: object, path: DataPath) -> tuple[Condition | None, list[Finding]]:
    """
    Read the `if` at `path`: a text as the file has it, its `${{ }}` not replaced, or true or false.

    A condition that can't be read is None, with a finding at the characters that show it.
    """
    text = str(written).lower() if isinstance(written, bool) else str(written or "")
    try:
        start, end = _without_braces(text)
        tree = parse_expression(text, start, end)
    except ConditionMistake as error:
        place = (error.start, error.width)
        return None, [Finding(path, "condition-syntax", error.message, help=error.help, stretch=place)]
    asks = any(isinstance(node, Call) and node.function in STATUS_FUNCTIONS for node in walk(tree))
    return Condition(_shortened(" ".join(text[start:end].split())), tree, asks), []


def check_condition(condition: Condition, known: Known, path: DataPath) -> list[Finding]:
    """Return all that is wrong with the names of the `if` at `path`."""
    return [
        Finding(path, found.code, found.message, help=found.help, stretch=(found.start, found.width))
        for found in mistakes_in(condition.tree, known)
    ]


def decide(condition: Condition | None, context: Context) -> Verdict:
    """Say whether what has this condition runs now. None is no condition. Never raises on a checked one."""
    if condition is None or not condition.asks_status:
        success = _status("success", context.standing)
        if not success.value or condition is None:
            return Verdict(bool(success.value), success.facts[0])
    weighed = _weigh(condition.tree, context)
    runs = is_true(weighed.value)
    reason = f"if: {condition.text} is {'true' if runs else 'false'}"
    facts = dict.fromkeys(fact for fact in weighed.facts if fact)
    return Verdict(runs, f"{reason}: {', '.join(list(facts)[:_MOST_FACTS])}" if facts else reason)


def _without_braces(text: str) -> tuple[int, int]:
    """Return where the condition itself stands in the text."""
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    opening = text.find("${{")
    if opening == start and text.find("}}") == end - 2 and end - start >= 5:
        start, end = start + 3, end - 2
    elif opening >= 0 and "'" not in text[:opening]:
        raise ConditionMistake(opening, 3, _OUTSIDE, "leave the braces out: a condition needs none")
    if not text[start:end].strip():
        raise ConditionMistake(0, max(len(text), 1), "this condition is empty", "write one, or take 'if' out")
    return start, end


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


class _Weighed(NamedTuple):
    """The value of a part, and what decided it."""

    value: object
    facts: tuple[str, ...] = ()


def _weigh(node: Node, context: Context) -> _Weighed:
    match node:
        case Literal(value=value):
            return _Weighed(value)
        case Reference():
            return _looked_up(node, context)
        case Call():
            return _called(node, context)
        case Not(operand=operand):
            inner = _weigh(operand, context)
            return _Weighed(not is_true(inner.value), inner.facts)
        case Operation(operator="&&" | "||"):
            return _joined(node, context)
        case Operation(operator=sign):
            left, right = _weigh(node.left, context), _weigh(node.right, context)
            return _Weighed(compare(sign, left.value, right.value), left.facts + right.facts)


def _joined(node: Operation, context: Context) -> _Weighed:
    """Weigh `&&` and `||`: the right side only if the left does not decide; what decided is the reason."""
    left = _weigh(node.left, context)
    if is_true(left.value) == (node.operator == "||"):
        return left
    right = _weigh(node.right, context)
    decides = is_true(right.value) == (node.operator == "||")
    return right if decides else _Weighed(right.value, left.facts + right.facts)


def _looked_up(reference: Reference, context: Context) -> _Weighed:
    root, *names = reference.names
    value: Any = getattr(context, root)
    for name in names:
        value = _entry(value, name)
    return _Weighed(value, (f"{reference.dotted} is {shown(value)}",))


def _entry(value: Any, name: str) -> Any:
    """Return what is below a value; null where there is nothing."""
    if isinstance(value, Need):
        return {"result": value.result, "outputs": value.outputs}.get(name)
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, list | tuple) and name.isascii() and name.isdecimal() and len(name) < 10:
        return value[int(name)] if int(name) < len(value) else None
    return None


def _called(call: Call, context: Context) -> _Weighed:
    if call.function in STATUS_FUNCTIONS:
        return _status(call.function, context.standing)
    given = [_weigh(argument, context) for argument in call.arguments]
    value = _FUNCTIONS[call.function](given[0].value, given[1].value)
    return _Weighed(value, given[0].facts + given[1].facts)


def _status(function: str, standing: Standing) -> _Weighed:
    stopped = (standing.stopping,) if standing.stopping else ()
    match function:
        case "always":
            return _Weighed(True)
        case "cancelled":
            return _Weighed(bool(stopped), stopped or ("the run is not being stopped",))
        case "failure":
            # A run that is stopped gives clean-up its chance by cancelled() and always(), as on GitHub.
            return _Weighed(
                bool(standing.failed and not stopped), stopped or standing.failed or (_NONE_FAILED,)
            )
        case _:
            against = stopped + standing.failed + standing.unmet
            return _Weighed(not against, against[:1] or (standing.fine,))
