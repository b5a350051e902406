"""What is wrong with the names of an expression, told where each stands and with the nearest right word. Pure.

Unknown functions, contexts, needs, outputs, params and keys of a matrix; results that no job can have; texts to which
what a reference leads to is never equal. Of contexts that are open, any name may be asked for: it is null.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field, replace
from typing import Any

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, Diagnostic, Severity
from runner.spec.dotted_names import follow
from runner.spec.expressions.ast import Call, EntryFilter, Index, Literal, Node, Operation, Reference, walk
from runner.spec.expressions.evaluate import ITEM, RESULTS, Condition, Context, dotted_path, value_of
from runner.spec.expressions.functions import (
    FUNCTIONS,
    HASH_FILES,
    STATUS_FUNCTIONS,
    TEXT_FUNCTIONS,
    ExpressionError,
)
from runner.spec.expressions.paths import PATH_FUNCTIONS
from runner.spec.expressions.values import GITHUB_RESULTS, compare, is_collection, is_true
from runner.spec.suggestions import did_you_mean, near, which_one

_CONTEXTS = ("needs", "matrix", "params", "env")
_OF_A_NEED = ("result", "outputs")
# Other words for results, whose nearest neighbours here would be guessed wrong.
_THEIR_RESULTS = {"succeeded": "passed", "timeout": "timed_out"}
_COMPARED_RESULTS = (*RESULTS, *dict.fromkeys(GITHUB_RESULTS.values()))
_TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
OF_CONDITIONS = tuple(name for name in FUNCTIONS if name != HASH_FILES)
"""The functions of a job's `if`, which is asked before the job has a folder."""


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
    more: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    """Further contexts, each with the names in it, or None where any may be asked for."""
    contexts: Collection[str] = _CONTEXTS
    """What names may begin with, beside those of `more`."""
    functions: Collection[str] = OF_CONDITIONS

    @property
    def roots(self) -> tuple[str, ...]:
        return (*self.contexts, *self.more)


def check_condition(condition: Condition, known: KnownNames, path: DataPath) -> list[Diagnostic]:
    """Return all that is wrong with the names of the `if` at `path`, in the order of its text."""
    found = [*_mistakes_in(condition.tree, known)] or [*_constant(condition.tree)]
    return [replace(each, path=path) for each in found]


def _mistakes_in(tree: Node, known: KnownNames) -> Iterator[Diagnostic]:
    wholes = {id(each) for each in _taken_whole(tree)}
    for node in walk(tree):
        match node:
            case Call():
                yield from _in_call(node, known)
            case Literal(value=str() as text) if found := _TEMPLATE.search(text):
                message = f"in quotes, '{found[0]}' is a text: nothing is put into it"
                help_ = f"write {found[1].strip()}, without braces and quotes"
                yield _mistake(node.start, node.end - node.start, "condition-syntax", message, help_)
            case Reference():
                yield from _in_reference(node, known, is_whole=id(node) in wholes)
            case Index():
                yield from _in_filtered_need(node)
            case Operation(operator="==" | "!="):
                for one, other in ((node.left, node.right), (node.right, node.left)):
                    yield from _in_comparison(one, other)
                    yield from _of_types(one, other, known)


def _taken_whole(tree: Node) -> Iterator[Node]:
    """Yield what need not lead to one value: what has entries taken of it, and what functions get."""
    for node in walk(tree):
        if isinstance(node, Index | EntryFilter):
            yield node.target
        elif isinstance(node, Call):
            yield from node.arguments


def _in_filtered_need(node: Index) -> Iterator[Diagnostic]:
    """Find `needs.*.outcome`, as no need has that."""
    key = node.key
    of_each = isinstance(node.target, EntryFilter) and isinstance(node.target.target, Reference)
    if not of_each or not isinstance(key, Literal) or dotted_path(node.target) != "needs.*":
        return
    if match_name(str(key.value), _OF_A_NEED) is None:
        message, help_ = f"there is no '{dotted_path(node)}'", did_you_mean(str(key.value), _OF_A_NEED)
        yield _mistake(key.start, key.end - key.start, "unknown-reference", message, help_)


def match_name(name: str, known: Collection[str]) -> str | None:
    """Return which of the known names is meant: the same one, or else that in another case."""
    if name in known:
        return name
    return next((each for each in known if str(each).lower() == name.lower()), None)


def _mistake(start: int, width: int, code: str, message: str, help_: str | None = None) -> Diagnostic:
    return Diagnostic((), code, message, help=help_, stretch=(start, width))


def _in_call(call: Call, known: KnownNames) -> Iterator[Diagnostic]:
    function = FUNCTIONS.get(call.function) if call.function in known.functions else None
    width = len(call.function)
    if function is None:
        message = f"there is no function '{call.function}'"
        help_ = did_you_mean(call.function, known.functions)
        if call.function in _NOT_HERE:
            message, help_ = f"{call.function}() can't be asked for here", _NOT_HERE[call.function]
        yield _mistake(call.start, width, "unknown-function", message, help_)
    elif not function.least <= len(call.arguments) <= function.most:
        message = f"{call.function}() takes {function.takes()}, got {len(call.arguments)}"
        help_ = f"write {call.function}({function.usage})"
        yield _mistake(call.start, call.end - call.start, "condition-syntax", message, help_)
    elif call.function in TEXT_FUNCTIONS or call.function in PATH_FUNCTIONS:
        yield from _in_arguments(call, known)
        yield from _of_results(call)


_NOT_HERE = {HASH_FILES: "the job has no folder yet: ask in the `if` of a step, or in a value"}


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
            message += ": it is never true" if call.function in TEXT_FUNCTIONS else ""
            help_ = f"write contains({argument.dotted}, …)" if call.function == "contains" else None
            yield _mistake(argument.start, argument.end - argument.start, "wrong-type", message, help_)


def _in_reference(reference: Reference, known: KnownNames, *, is_whole: bool) -> Iterator[Diagnostic]:
    root, *rest = reference.names
    if root not in known.roots:
        yield _no_context(reference, known.roots)
    elif root == ITEM:
        return  # what an item has, only running the handlers shows
    elif not rest:
        if not is_whole:
            start, end = reference.places[0]
            message = f"'{root}' alone says nothing: a name comes after it"
            yield _mistake(start, end - start, "condition-syntax", message, f"write {root}.name")
    elif root == "needs":
        yield from _in_need(reference, known, is_whole=is_whole)
    elif root == "matrix":
        if match_name(rest[0], known.matrix) is None:
            yield _unknown(reference, 1, known.matrix, "this job has no matrix")
    elif root == "params":
        yield from _in_params(reference, known.params)
    elif (names := known.more.get(root)) is not None and match_name(rest[0], names) is None:
        yield _unknown(reference, 1, names, f"'{root}' has nothing in it here")


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
            return "only the `if` of a later step of the job knows that; others get what is under `outputs.values`"
        case "github", [name] if name in _OF_THEIR_VARIABLES:
            return f"write env.GITHUB_{name.upper()}, which is set where GitHub runs it"
        case "github", _:
            return "of an event mprun knows nothing: read the file $GITHUB_EVENT_PATH in a step, or declare a param"
        case "runner", [name, *_]:
            return f"write env.RUNNER_{name.upper()}, which is set where GitHub runs it"
        case "job" | "strategy", _:
            return "a condition can't ask for that here"
    return None


def _in_need(reference: Reference, known: KnownNames, *, is_whole: bool) -> Iterator[Diagnostic]:
    names = reference.names
    need = match_name(names[1], known.needs)
    if need is None:
        yield _unknown(reference, 1, known.needs, "this job has no needs")
    elif len(names) == 2:
        if not is_whole:
            start, end = reference.places[0][0], reference.end
            message = f"'{reference.dotted}' alone says nothing"
            help_ = f"write {reference.dotted}.result, or {reference.dotted}.outputs.name"
            yield _mistake(start, end - start, "condition-syntax", message, help_)
    elif (part := match_name(names[2], _OF_A_NEED)) is None:
        yield _unknown(reference, 2, _OF_A_NEED)
    elif part == "result" and len(names) > 3:
        yield _unknown(reference, 3, (), f"'{'.'.join(names[:3])}' is a text")
    elif part == "outputs" and len(names) > 3:
        outputs = known.needs[need]
        if outputs is not None and match_name(names[3], outputs) is None:
            yield _unknown(reference, 3, outputs, f"job '{names[1]}' has no outputs")


def _in_params(reference: Reference, params: Mapping[str, Any]) -> Iterator[Diagnostic]:
    value: Any = params
    for depth, name in enumerate(reference.names[1:], start=1):
        if not isinstance(value, Mapping):
            return  # entries of lists, and what is below a text, are null where there is nothing
        found = match_name(name, value)
        if found is None:
            above = ".".join(reference.names[:depth])
            empty = "the workflow declares no params" if depth == 1 else f"'{above}' has no entries"
            yield _unknown(reference, depth, value, empty)
            return
        value = value[found]


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
    if str(other.value).casefold() not in _COMPARED_RESULTS:
        yield _never_a_result(one, other, f"is never {other.value!r}")


def _of_results(call: Call) -> Iterator[Diagnostic]:
    """Find results that no job can have in what a text is asked for: it never holds them, nor they it."""
    holds = TEXT_FUNCTIONS.get(call.function)
    if holds is None:
        return
    one, other = call.arguments
    of_each = isinstance(one, Index)
    if isinstance(other, Literal) and _is_result(one):
        what, found = (
            f"never has {other.value!r} in it",
            any(holds([each] if of_each else each, other.value) for each in _COMPARED_RESULTS),
        )
        yield from () if found else (_never_a_result(one, other, what),)
    elif isinstance(one, Literal) and _is_result(other):
        what, found = f"is never in {one.value!r}", any(holds(one.value, each) for each in _COMPARED_RESULTS)
        yield from () if found else (_never_a_result(other, one, what),)


def _is_result(node: Node) -> bool:
    if isinstance(node, Reference):
        return [node.names[0], *map(str.lower, node.names[2:])] == ["needs", "result"]
    return dotted_path(node).lower() == "needs.*.result"


def _never_a_result(result: Node, written: Literal, what: str) -> Diagnostic:
    message = f"'{dotted_path(result)}' {what}; it is {', '.join(RESULTS[:-1])} or {RESULTS[-1]}"
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


_ASKING = (*STATUS_FUNCTIONS, HASH_FILES)


def _constant(tree: Node) -> Iterator[Diagnostic]:
    """Find a condition that asks for nothing, and yet is more than a plain true or false."""
    asks = any(
        isinstance(node, Reference)
        or (isinstance(node, Call) and (node.function in _ASKING or node.function in PATH_FUNCTIONS))
        for node in walk(tree)
    )
    says_so = isinstance(tree, Literal) and not isinstance(tree.value, str)
    if asks or says_so:
        return
    try:
        always = "true" if is_true(value_of(tree, Context())) else "false"
    except ExpressionError as error:
        yield _mistake(tree.start, tree.end - tree.start, "wrong-type", str(error))
        return
    message = f"this is always {always}: it asks for nothing"
    help_ = f"write {always} if that is meant; a name in quotes is a text"
    found = _mistake(tree.start, tree.end - tree.start, "constant-condition", message, help_)
    yield replace(found, severity=Severity.WARNING)
