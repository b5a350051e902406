"""`if`: whether a job or a step runs, and a sentence that says why. Pure, and no eval.

    text ──parse_condition──► Condition ──check_condition──► Diagnostics          before anything runs
                                  │
                                  └──evaluate(condition, Context)──► ConditionResult   runs or not, with its reason

The language is that of GitHub's expressions: literals, `needs` `matrix` `params` `env`, the operators
`== != < <= > >= && || !`, brackets, `contains` `startsWith` `endsWith`, and the status functions `success()`
`failure()` `always()` `cancelled()`, and those of `paths`. A condition without a status function is
`success() && (…)`; no condition at all is `success()`. What is not set is null. The whole may stand in `${{ }}`.

The check finds all names of a condition that do not exist where it stands, each with its own characters and the
nearest right word: unknown functions, contexts, needs, keys, results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, NamedTuple, TypedDict, TypeGuard

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, Diagnostic, Severity
from runner.spec.dotted_names import follow
from runner.spec.expressions.ast import (
    Call,
    ConditionMistake,
    Literal,
    Node,
    Not,
    Operation,
    Reference,
    parse_expression,
    walk,
)
from runner.spec.expressions.paths import PATH_FUNCTIONS
from runner.spec.expressions.values import (
    as_text,
    compare,
    contains,
    ends_with,
    format_value,
    is_collection,
    is_true,
    starts_with,
)
from runner.spec.model import JobResult
from runner.spec.suggestions import did_you_mean, near, which_one
from runner.text import clip
from runner.units import counted

STATUS_FUNCTIONS = ("success", "failure", "always", "cancelled")
ARGUMENTS = {
    **dict.fromkeys(STATUS_FUNCTIONS, 0),
    **dict.fromkeys(("contains", "startsWith", "endsWith"), 2),
    **dict.fromkeys(PATH_FUNCTIONS, 1),
}
"""How many arguments each function takes."""
RESULTS = tuple(map(str, JobResult))
"""What `needs.x.result` can be."""

ITEM = "item"
_CONTEXTS = ("needs", "matrix", "params", "env")
_OF_A_NEED = ("result", "outputs")
# GitHub's words for results, whose nearest neighbours here would be guessed wrong.
_THEIR_RESULTS = {"success": "passed", "succeeded": "passed", "failure": "failed", "timeout": "timed_out"}
_MOST_SHOWN = 100
_MOST_FACTS = 3
_OUTSIDE = (
    "'${{' and '}}' have to stand round the whole condition; text beside them would make it always true"
)
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_NONE_FAILED = "nothing before it failed"
TEXT_FUNCTIONS: Mapping[str, Callable[[object, object], bool]] = {
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


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """What a condition came to. `reason` may show values of `env`: mask it where there are secrets."""

    runs: bool
    reason: str


@dataclass(frozen=True, slots=True)
class KnownNames:
    """The names that a condition may use where it stands."""

    needs: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    """The needs of the job, each with its outputs, or None if nobody declares which it has."""
    matrix: Collection[str] = ()
    """The keys that any leg has."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The workflow's params with their values. `env` is not here: a variable that is not set is null."""
    with_matrix: Collection[str] = ()
    """Those of the needs that have a matrix: each of their outputs is a map of the legs."""
    contexts: Collection[str] = _CONTEXTS
    """What names may begin with."""
    functions: Collection[str] = tuple(ARGUMENTS)


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


def check_condition(condition: Condition, known: KnownNames, path: DataPath) -> list[Diagnostic]:
    """Return all that is wrong with the names of the `if` at `path`, in the order of its text."""
    found = [*_mistakes_in(condition.tree, known)] or [*_constant(condition.tree)]
    return [replace(each, path=path) for each in found]


def evaluate(condition: Condition | None, context: Context) -> ConditionResult:
    """Say whether what has this condition runs now. None is no condition. Never raises on a checked one."""
    if condition is None or not condition.asks_status:
        success = _status("success", context.status)
        if not success.value or condition is None:
            return ConditionResult(bool(success.value), success.facts[0])
    evaluated = _evaluate(condition.tree, context)
    runs = is_true(evaluated.value)
    outcome = f"{condition.text} is {'true' if runs else 'false'}"
    facts = dict.fromkeys(fact for fact in evaluated.facts if fact and fact != outcome)
    reason = f"if: {outcome}"
    return ConditionResult(runs, f"{reason}: {', '.join(list(facts)[:_MOST_FACTS])}" if facts else reason)


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


def _evaluate(node: Node, context: Context) -> _Evaluated:
    match node:
        case Literal(value=value):
            return _Evaluated(value)
        case Reference():
            return _look_up(node, context)
        case Call():
            return _call(node, context)
        case Not(operand=operand):
            inner = _evaluate(operand, context)
            return _Evaluated(not is_true(inner.value), inner.facts)
        case Operation(operator="&&" | "||"):
            return _evaluate_logical(node, context)
        case Operation(operator=sign):
            left, right = _evaluate(node.left, context), _evaluate(node.right, context)
            return _Evaluated(compare(sign, left.value, right.value), left.facts + right.facts)


def _evaluate_logical(node: Operation, context: Context) -> _Evaluated:
    """Evaluate `&&` and `||`: the right side only if the left does not evaluate; what decided is the reason."""
    left = _evaluate(node.left, context)
    if is_true(left.value) == (node.operator == "||"):
        return left
    right = _evaluate(node.right, context)
    decides = is_true(right.value) == (node.operator == "||")
    return right if decides else _Evaluated(right.value, left.facts + right.facts)


def _look_up(reference: Reference, context: Context) -> _Evaluated:
    root, *names = reference.names
    found, depth = follow(getattr(context, root), names)
    value = found if depth == len(names) else None
    return _Evaluated(value, (f"{reference.dotted} is {format_value(value)}",))


def _call(call: Call, context: Context) -> _Evaluated:
    if call.function in STATUS_FUNCTIONS:
        return _status(call.function, context.status)
    given = [_evaluate(argument, context) for argument in call.arguments]
    if call.function in PATH_FUNCTIONS:
        return _Evaluated(PATH_FUNCTIONS[call.function](as_text(given[0].value)), given[0].facts)
    value = TEXT_FUNCTIONS[call.function](given[0].value, given[1].value)
    return _Evaluated(value, given[0].facts + given[1].facts)


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


def _mistakes_in(tree: Node, known: KnownNames) -> Iterator[Diagnostic]:
    for node in walk(tree):
        match node:
            case Call():
                yield from _in_call(node, known)
            case Literal(value=str() as text) if found := _TEMPLATE.search(text):
                message = f"in quotes, '{found[0]}' is a text: nothing is put into it"
                help_ = f"write {found[1].strip()}, without braces and quotes"
                yield _mistake(node.start, node.end - node.start, "condition-syntax", message, help_)
            case Reference():
                yield from _in_reference(node, known)
            case Operation(operator="==" | "!="):
                for one, other in ((node.left, node.right), (node.right, node.left)):
                    yield from _in_comparison(one, other)
                    yield from _of_types(one, other, known)


def _mistake(start: int, width: int, code: str, message: str, help_: str | None = None) -> Diagnostic:
    return Diagnostic((), code, message, help=help_, stretch=(start, width))


def _in_call(call: Call, known: KnownNames) -> Iterator[Diagnostic]:
    wanted = ARGUMENTS.get(call.function) if call.function in known.functions else None
    width = len(call.function)
    if wanted is None:
        message = f"there is no function '{call.function}'"
        help_ = did_you_mean(call.function, known.functions)
        yield _mistake(call.start, width, "unknown-function", message, help_)
    elif wanted != len(call.arguments):
        takes = counted(wanted, "argument") if wanted else "no arguments"
        message = f"{call.function}() takes {takes}, got {len(call.arguments)}"
        yield _mistake(call.start, call.end - call.start, "condition-syntax", message, _usage(call.function))
    elif wanted:
        yield from _in_arguments(call, known)
        yield from _of_results(call)


def _in_arguments(call: Call, known: KnownNames) -> Iterator[Diagnostic]:
    """Find a list or a map where only a text makes sense: what asks for it is never true."""
    for number, argument in enumerate(call.arguments):
        if not isinstance(argument, Reference) or (call.function == "contains" and number == 0):
            continue
        root, *names = argument.names
        value, depth = follow(known.params, names) if root == "params" else (None, 0)
        if depth == len(names) and is_collection(value):
            what = "a map" if isinstance(value, Mapping) else "a list"
            message = f"'{argument.dotted}' is {what}, and {call.function}() takes a text here"
            message += ": it is never true" if ARGUMENTS[call.function] > 1 else ""
            help_ = f"write contains({argument.dotted}, …)" if call.function == "contains" else None
            yield _mistake(argument.start, argument.end - argument.start, "wrong-type", message, help_)


def _usage(function: str) -> str:
    return f"write {function}({('', 'path', 'text, part')[ARGUMENTS[function]]})"


def _in_reference(reference: Reference, known: KnownNames) -> Iterator[Diagnostic]:
    root, *rest = reference.names
    if root not in known.contexts:
        yield _no_context(reference, known.contexts)
    elif root == ITEM:
        return  # what an item has, only running the handlers shows
    elif not rest:
        start, end = reference.places[0]
        message = f"'{root}' alone says nothing: a name comes after it"
        yield _mistake(start, end - start, "condition-syntax", message, f"write {root}.name")
    elif root == "needs":
        yield from _in_need(reference, known)
    elif root == "matrix" and rest[0] not in known.matrix:
        yield _unknown(reference, 1, known.matrix, "this job has no matrix")
    elif root == "params":
        yield from _in_params(reference, known.params)


_OF_THEIR_VARIABLES = (
    *("actor", "base_ref", "event_name", "head_ref", "job", "ref", "ref_name", "ref_type", "repository"),
    *("repository_owner", "run_attempt", "run_id", "run_number", "sha", "workflow", "workspace"),
)
"""Names below `github` that GitHub's runner sets as variables as well."""
_BARE_WORDS = {
    **{name: f"write {name}()" for name in STATUS_FUNCTIONS},
    **dict.fromkeys(("True", "yes", "Yes", "on", "On"), "write true"),
    **dict.fromkeys(("False", "no", "No", "off", "Off"), "write false"),
    **dict.fromkeys(("None", "Null", "nil"), "write null"),
}


def _no_context(reference: Reference, contexts: Collection[str]) -> Diagnostic:
    """Say of the first name of a reference that there is nothing so called, and what is there for it."""
    root, *rest = reference.names
    known = f"known here: {', '.join(contexts)}"
    if ITEM in contexts:
        help_ = _in_an_item(reference, contexts)
    else:
        help_ = _BARE_WORDS.get(root) if not rest else _of_theirs(root, rest)
    if help_ is not None:
        start, end = reference.places[0]
        return _mistake(start, end - start, "unknown-reference", f"there is no '{root}'", help_)
    return _unknown(
        reference, 0, contexts, known if rest else f"{known}; if text is meant, write '{root}' in quotes"
    )


def _in_an_item(reference: Reference, contexts: Collection[str]) -> str | None:
    """Say of a name that is meant for something the item has how that is written."""
    root = reference.names[0]
    if root in STATUS_FUNCTIONS or near(root, contexts):
        return None
    written = _BARE_WORDS.get(root)
    return written or f"write item.{reference.dotted} for what the item has; '{root}' in quotes is a text"


def _of_theirs(root: str, rest: list[str]) -> str | None:
    """Say what is here for a context of GitHub's."""
    match root, rest:
        case "inputs" | "vars", _:
            return f"write params.{'.'.join(rest)}, and declare it under `params`"
        case "secrets", [name, *_]:
            return f"write env.{name}, and `secrets: {name}` in the job"
        case "steps", _:
            return "steps hand on files, and to other jobs what stands under `outputs.values`"
        case "github", [name] if name in _OF_THEIR_VARIABLES:
            return f"write env.GITHUB_{name.upper()}, which is set where GitHub runs it"
        case "github", _:
            return "of an event mprun knows nothing: read the file $GITHUB_EVENT_PATH in a step, or declare a param"
        case "runner", [name, *_]:
            return f"write env.RUNNER_{name.upper()}, which is set where GitHub runs it"
        case "job" | "strategy", _:
            return "a condition can't ask for that here"
    return None


def _in_need(reference: Reference, known: KnownNames) -> Iterator[Diagnostic]:
    names = reference.names
    if names[1] not in known.needs:
        yield _unknown(reference, 1, known.needs, "this job has no needs")
    elif len(names) == 2:
        start, end = reference.places[0][0], reference.end
        message = f"'{reference.dotted}' alone says nothing"
        help_ = f"write {reference.dotted}.result, or {reference.dotted}.outputs.name"
        yield _mistake(start, end - start, "condition-syntax", message, help_)
    elif names[2] not in _OF_A_NEED:
        yield _unknown(reference, 2, _OF_A_NEED)
    elif names[2] == "result" and len(names) > 3:
        yield _unknown(reference, 3, (), f"'{'.'.join(names[:3])}' is a text")
    elif names[2] == "outputs" and len(names) > 3:
        outputs = known.needs[names[1]]
        if outputs is not None and names[3] not in outputs:
            yield _unknown(reference, 3, outputs, f"job '{names[1]}' has no outputs")


def _in_params(reference: Reference, params: Mapping[str, Any]) -> Iterator[Diagnostic]:
    value: Any = params
    for depth, name in enumerate(reference.names[1:], start=1):
        if not isinstance(value, Mapping):
            return  # entries of lists, and what is below a text, are null where there is nothing
        if name not in value:
            above = ".".join(reference.names[:depth])
            empty = "the workflow declares no params" if depth == 1 else f"'{above}' has no entries"
            yield _unknown(reference, depth, value, empty)
            return
        value = value[name]


def _unknown(reference: Reference, depth: int, known: Collection[str], otherwise: str = "") -> Diagnostic:
    """Say that the name at `depth` does not exist; `otherwise` is the help where no known name is near."""
    name = reference.names[depth]
    start, end = reference.places[depth]
    help_ = which_one(near(name, known))
    if depth == 0 or not known:
        help_ = help_ or otherwise
    message = f"there is no '{'.'.join(reference.names[: depth + 1])}'"
    return _mistake(start, end - start, "unknown-reference", message, help_ or did_you_mean(name, known))


def _in_comparison(one: Node, other: Node) -> Iterator[Diagnostic]:
    """Find results that no job can have, such as 'success': what is compared with them is never equal."""
    if not isinstance(other, Literal) or not _is_result(one):
        return
    if str(other.value).casefold() not in RESULTS:
        yield _never_a_result(one, other, f"is never {other.value!r}")


def _of_results(call: Call) -> Iterator[Diagnostic]:
    """Find results that no job can have in what a text is asked for: it never holds them, nor they it."""
    holds = TEXT_FUNCTIONS.get(call.function)
    if holds is None:
        return
    one, other = call.arguments
    if isinstance(other, Literal) and _is_result(one):
        what, found = f"never has {other.value!r} in it", any(holds(each, other.value) for each in RESULTS)
        yield from () if found else (_never_a_result(one, other, what),)
    elif isinstance(one, Literal) and _is_result(other):
        what, found = f"is never in {one.value!r}", any(holds(one.value, each) for each in RESULTS)
        yield from () if found else (_never_a_result(other, one, what),)


def _is_result(node: Node) -> TypeGuard[Reference]:
    return isinstance(node, Reference) and [node.names[0], *node.names[2:]] == ["needs", "result"]


def _never_a_result(result: Reference, written: Literal, what: str) -> Diagnostic:
    message = f"'{result.dotted}' {what}; it is {', '.join(RESULTS[:-1])} or {RESULTS[-1]}"
    theirs = _THEIR_RESULTS.get(str(written.value))
    help_ = which_one([theirs] if theirs else near(str(written.value), RESULTS))
    return _mistake(written.start, written.end - written.start, "unknown-value", message, help_)


def _of_types(one: Node, other: Node, known: KnownNames) -> Iterator[Diagnostic]:
    """Find a text to which what a reference leads to is never equal, as it is no text nor spelt as one."""
    if not isinstance(one, Reference) or not isinstance(other, Literal) or not isinstance(other.value, str):
        return
    root, *names = one.names
    value, depth = follow(known.params, names) if root == "params" else (None, 0)
    value = value if depth == len(names) else None
    message = help_ = ""
    if root == "needs" and len(names) == 3 and names[1] == "outputs" and names[0] in known.with_matrix:
        message = f"'{one.dotted}' is a map of the legs of '{names[0]}', and equals no text"
        help_ = f"ask for that of one leg: {one.dotted}['…']"
    elif isinstance(value, bool) and not any(compare("==", each, other.value) for each in (True, False)):
        message = f"'{one.dotted}' is true or false, and equals no text but '1', '0' and ''"
        help_ = f"write {one.dotted}, or !{one.dotted}"
    if message:
        found = _mistake(other.start, other.end - other.start, "wrong-type", message, help_)
        yield replace(found, severity=Severity.WARNING)


def _constant(tree: Node) -> Iterator[Diagnostic]:
    """Find a condition that asks for nothing, and yet is more than a plain true or false."""
    asks = any(
        isinstance(node, Reference)
        or (isinstance(node, Call) and (node.function in STATUS_FUNCTIONS or node.function in PATH_FUNCTIONS))
        for node in walk(tree)
    )
    says_so = isinstance(tree, Literal) and not isinstance(tree.value, str)
    if asks or says_so:
        return
    always = "true" if is_true(_evaluate(tree, Context()).value) else "false"
    message = f"this is always {always}: it asks for nothing"
    help_ = f"write {always} if that is meant; a name in quotes is a text"
    found = _mistake(tree.start, tree.end - tree.start, "constant-condition", message, help_)
    yield replace(found, severity=Severity.WARNING)
