"""`if`: whether a job or a step runs, and a sentence that says why. Pure, and no eval.

    text ──parse_condition──► Condition ──check_condition──► Diagnostics          before anything runs
                                  │
                                  └──evaluate(condition, Context)──► ConditionResult   runs or not, with its reason

The language is that of GitHub's expressions: literals, contexts, `a.b` `a['b']` `a[b]` `a.*`, the operators
`== != < <= > >= && || !`, brackets, and functions.py. A condition without a status function is `success() && (…)`; no
condition at all is `success()`. What is not set is null. The whole may stand in `${{ }}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple, TypedDict

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, Diagnostic
from runner.spec.dotted_names import join_names
from runner.spec.expressions.ast import (
    Call,
    ConditionMistake,
    EntryFilter,
    Index,
    Literal,
    Node,
    Not,
    Operation,
    Reference,
    parse_expression,
    walk,
)
from runner.spec.expressions.functions import FUNCTIONS, HASH_FILES, STATUS_FUNCTIONS, ExpressionError
from runner.spec.expressions.values import (
    as_text,
    compare,
    filter_value,
    format_value,
    index_value,
    is_true,
    result_text,
)
from runner.spec.model import JobResult
from runner.text import clip

ITEM = "item"
RESULTS = tuple(map(str, JobResult))
"""What `needs.x.result` can be."""
_MOST_SHOWN = 100
_MOST_FACTS = 3
_OUTSIDE = (
    "'${{' and '}}' have to stand round the whole condition; text beside them would make it always true"
)
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_NONE_FAILED = "nothing before it failed"


@dataclass(frozen=True, slots=True)
class Condition:
    """One `if`, read."""

    text: str
    """As it is shown: without braces, on one line."""
    tree: Node
    asks_status: bool
    """Whether it says itself what should happen after a failure."""


class NeedContext(TypedDict):
    """What became of a job that this one needs: what `needs.x` is."""

    result: str
    """One of `RESULTS`."""
    outputs: Mapping[str, Any]
    """Texts by name; for a job with a matrix, maps from leg to text."""


@dataclass(frozen=True, slots=True)
class StatusContext:
    """How things stand with what comes before: what the status functions look at. Each is a sentence."""

    success_reason: str = "nothing comes before it"
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

    status: StatusContext = StatusContext()
    needs: Mapping[str, NeedContext] = field(default_factory=dict)
    matrix: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further contexts by name, such as `steps`."""

    def root(self, name: str) -> Mapping[str, Any]:
        """Return the context of a name; what has no value is empty."""
        match name:
            case "needs":
                return {job: _compared(need) for job, need in self.needs.items()}
            case "matrix" | "params" | "env":
                found: Mapping[str, Any] = getattr(self, name)
                return found
        return self.more.get(name, {})


def _compared(need: Mapping[str, Any]) -> Mapping[str, Any]:
    result = need.get("result")
    return {**need, "result": result_text(result)} if isinstance(result, str) else need


HashFiles = Callable[[Sequence[str]], str]
"""Returns the digest of the files that some patterns match, or nothing where there are none."""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """What a condition came to. `reason` may show values of `env`: mask it where there are secrets."""

    runs: bool
    reason: str
    is_broken: bool = False
    """Whether it came to nothing, as a value in it has no meaning there: `fromJSON` of what is no JSON."""


def parse_condition(written: object, path: DataPath) -> tuple[Condition | None, list[Diagnostic]]:
    """
    Read the `if` at `path`: a text as the file has it, its `${{ }}` not replaced, or true or false.

    A condition that can't be read is None, with a diagnostic at the characters that show it.
    """
    text = str(written).lower() if isinstance(written, bool) else str(written or "")
    try:
        start, end = _without_braces(text)
        tree = parse_expression(text, start, end)
    except ConditionMistake as error:
        place = (error.start, error.width)
        return None, [Diagnostic(path, "condition-syntax", error.message, help=error.help, stretch=place)]
    asks = any(isinstance(node, Call) and node.function in STATUS_FUNCTIONS for node in walk(tree))
    return Condition(clip(" ".join(text[start:end].split()), _MOST_SHOWN), tree, asks), []


def evaluate(
    condition: Condition | None, context: Context, hash_files: HashFiles | None = None
) -> ConditionResult:
    """Say whether what has this condition runs now. None is no condition. Never raises on a checked one."""
    if condition is None or not condition.asks_status:
        success = _status("success", context.status)
        if not success.value or condition is None:
            return ConditionResult(bool(success.value), success.facts[0])
    try:
        evaluated = _Evaluation(context, hash_files).of(condition.tree)
    except ExpressionError as error:
        return ConditionResult(False, f"if: {condition.text} can't be worked out: {error}", is_broken=True)
    runs = is_true(evaluated.value)
    outcome = f"{condition.text} is {'true' if runs else 'false'}"
    facts = dict.fromkeys(fact for fact in evaluated.facts if fact and fact != outcome)
    reason = f"if: {outcome}"
    return ConditionResult(runs, f"{reason}: {', '.join(list(facts)[:_MOST_FACTS])}" if facts else reason)


def value_of(tree: Node, context: Context, hash_files: HashFiles | None = None) -> object:
    """
    Return what an expression comes to.

    Raises:
        ExpressionError: a value in it has no meaning there; the message says which.
    """
    return _Evaluation(context, hash_files).of(tree).value


def _without_braces(text: str) -> tuple[int, int]:
    """Return where the condition itself stands in the text."""
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    opening = text.find("${{")
    if opening == start and _is_closed_once(text[start + 3 : end]):
        start, end = start + 3, end - 2
    elif opening >= 0 and "'" not in text[:opening]:
        raise ConditionMistake(opening, 3, _OUTSIDE, "leave the braces out: a condition needs none")
    if not text[start:end].strip():
        raise ConditionMistake(0, max(len(text), 1), "this condition is empty", "write one, or take 'if' out")
    return start, end


def _is_closed_once(inner: str) -> bool:
    """Say whether the first `}}` that is in no quotes is at the end, and no braces open before it."""
    bare = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), inner)
    return bare.find("}}") == len(bare) - 2 and "${{" not in bare


class _Evaluated(NamedTuple):
    """The value of a part, and what decided it."""

    value: object
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """One walk down a tree."""

    context: Context
    hash_files: HashFiles | None

    def of(self, node: Node) -> _Evaluated:
        match node:
            case Literal(value=value):
                return _Evaluated(value)
            case Reference():
                return self._look_up(node)
            case Call():
                return self._call(node)
            case Not(operand=operand):
                inner = self.of(operand)
                return _Evaluated(not is_true(inner.value), inner.facts)
            case Index(target=target, key=key):
                found, by = self.of(target), self.of(key)
                return self._entry(node, index_value(found.value, by.value))
            case EntryFilter(target=target):
                return _Evaluated(filter_value(self.of(target).value))
            case Operation(operator="&&" | "||"):
                return self._logical(node)
            case Operation(operator=sign):
                left, right = self.of(node.left), self.of(node.right)
                return _Evaluated(compare(sign, left.value, right.value), left.facts + right.facts)

    def _entry(self, node: Index, value: object) -> _Evaluated:
        shown = dotted_path(node)
        return _Evaluated(value, (f"{shown} is {format_value(value)}",) if shown else ())

    def _logical(self, node: Operation) -> _Evaluated:
        """`&&` and `||`: the right side only if the left does not decide; what decided is the reason."""
        left = self.of(node.left)
        if is_true(left.value) == (node.operator == "||"):
            return left
        right = self.of(node.right)
        decides = is_true(right.value) == (node.operator == "||")
        return right if decides else _Evaluated(right.value, left.facts + right.facts)

    def _look_up(self, reference: Reference) -> _Evaluated:
        root, *names = reference.names
        value: object = self.context.root(root)
        if root == "env":  # where BRANCH and branch are two
            value, names = self.context.env.get(names[0]) if names else value, names[1:]
        for name in names:
            value = index_value(value, name)
        return _Evaluated(value, (f"{reference.dotted} is {format_value(value)}",))

    def _call(self, call: Call) -> _Evaluated:
        if call.function in STATUS_FUNCTIONS:
            return _status(call.function, self.context.status)
        given = [self.of(argument) for argument in call.arguments]
        values, facts = [each.value for each in given], tuple(fact for each in given for fact in each.facts)
        if call.function == HASH_FILES:
            if self.hash_files is None:
                raise ExpressionError(f"{HASH_FILES}() needs the job's folder, which is not there yet")
            return _Evaluated(self.hash_files([as_text(value) for value in values]), facts)
        function = FUNCTIONS[call.function].call
        assert function is not None
        return _Evaluated(function(*values), facts)


def dotted_path(node: Node) -> str:
    """Return what leads to a value as one writes it; nothing where that is more than names."""
    match node:
        case Reference():
            return node.dotted
        case Index(target=target, key=key) if above := dotted_path(target):
            if isinstance(key, Literal):
                return f"{above}{join_names(('', str(key.value)))}"
            inner = dotted_path(key)
            return f"{above}[{inner}]" if inner else ""
        case EntryFilter(target=target) if above := dotted_path(target):
            return f"{above}.*"
    return ""


def _status(function: str, status: StatusContext) -> _Evaluated:
    stopped = (status.stopping,) if status.stopping else ()
    match function:
        case "always":
            return _Evaluated(True)
        case "cancelled":
            return _Evaluated(bool(stopped), stopped or ("the run is not being stopped",))
        case "failure":
            # A run that is stopped gives clean-up its chance by cancelled() and always(), as on GitHub.
            return _Evaluated(
                bool(status.failed and not stopped), stopped or status.failed or (_NONE_FAILED,)
            )
        case _:
            against = stopped + status.failed + status.unmet
            return _Evaluated(not against, against[:1] or (status.success_reason,))
