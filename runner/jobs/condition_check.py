"""Whether the names in an `if` exist where it stands: unknown functions, contexts, needs, keys, results. Pure.

All mistakes of one condition are found, each with its own characters and the nearest right word, before
anything runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.jobs.condition_tree import Call, Literal, Node, Operation, Reference, walk
from runner.problems import did_you_mean, nearest

STATUS_FUNCTIONS = ("success", "failure", "always", "cancelled")
ARGUMENTS = {**dict.fromkeys(STATUS_FUNCTIONS, 0), "contains": 2, "startsWith": 2, "endsWith": 2}
"""How many arguments each function takes."""
RESULTS = ("passed", "failed", "allowed", "skipped", "cancelled", "timed_out")
"""What `needs.x.result` can be."""

_CONTEXTS = ("needs", "matrix", "params", "env")
_OF_A_NEED = ("result", "outputs")
# GitHub's words for results, whose nearest neighbours here would be guessed wrong.
_THEIR_RESULTS = {"success": "passed", "succeeded": "passed", "failure": "failed", "timeout": "timed_out"}


@dataclass(frozen=True, slots=True)
class Known:
    """The names that a condition may use where it stands."""

    needs: Mapping[str, Collection[str] | None] = field(default_factory=dict)
    """The needs of the job, each with its outputs, or None if nobody declares which it has."""
    matrix: Collection[str] = ()
    """The keys that any leg has."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The workflow's params with their values. `env` is not here: a variable that is not set is null."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with some characters of a condition."""

    start: int
    width: int
    code: str
    message: str
    help: str | None = None


def mistakes_in(tree: Node, known: Known) -> Iterator[Mistake]:
    """Yield what is wrong with the names of a condition, in the order of its text."""
    for node in walk(tree):
        match node:
            case Call():
                yield from _in_call(node)
            case Reference():
                yield from _in_reference(node, known)
            case Operation(operator="==" | "!="):
                yield from _in_comparison(node.left, node.right)
                yield from _in_comparison(node.right, node.left)


def _in_call(call: Call) -> Iterator[Mistake]:
    wanted = ARGUMENTS.get(call.function)
    width = len(call.function)
    if wanted is None:
        message = f"there is no function '{call.function}'"
        help_ = did_you_mean(call.function, ARGUMENTS)
        yield Mistake(call.start, width, "unknown-function", message, help_)
    elif wanted != len(call.arguments):
        takes = f"{wanted} arguments" if wanted else "no arguments"
        message = f"{call.function}() takes {takes}, got {len(call.arguments)}"
        yield Mistake(call.start, call.end - call.start, "condition-syntax", message, _usage(call.function))


def _usage(function: str) -> str:
    return f"write {function}({'text, part' if ARGUMENTS[function] else ''})"


def _in_reference(reference: Reference, known: Known) -> Iterator[Mistake]:
    root, *rest = reference.names
    if root not in _CONTEXTS:
        yield _unknown(reference, 0, _CONTEXTS, _no_context(root))
    elif not rest:
        start, end = reference.places[0]
        message = f"'{root}' alone says nothing: a name comes after it"
        yield Mistake(start, end - start, "condition-syntax", message, f"write {root}.name")
    elif root == "needs":
        yield from _in_need(reference, known)
    elif root == "matrix" and rest[0] not in known.matrix:
        yield _unknown(reference, 1, known.matrix, "this job has no matrix")
    elif root == "params":
        yield from _in_params(reference, known.params)


def _no_context(word: str) -> str:
    return f"known here: {', '.join(_CONTEXTS)}; if text is meant, write '{word}' in quotes"


def _in_need(reference: Reference, known: Known) -> Iterator[Mistake]:
    names = reference.names
    if names[1] not in known.needs:
        yield _unknown(reference, 1, known.needs, "this job has no needs")
    elif len(names) == 2:
        start, end = reference.places[0][0], reference.end
        message = f"'{reference.dotted}' alone says nothing"
        help_ = f"write {reference.dotted}.result, or {reference.dotted}.outputs.name"
        yield Mistake(start, end - start, "condition-syntax", message, help_)
    elif names[2] not in _OF_A_NEED:
        yield _unknown(reference, 2, _OF_A_NEED)
    elif names[2] == "result" and len(names) > 3:
        yield _unknown(reference, 3, (), f"'{'.'.join(names[:3])}' is a text")
    elif names[2] == "outputs" and len(names) > 3:
        outputs = known.needs[names[1]]
        if outputs is not None and names[3] not in outputs:
            yield _unknown(reference, 3, outputs, f"job '{names[1]}' has no outputs")


def _in_params(reference: Reference, params: Mapping[str, Any]) -> Iterator[Mistake]:
    value: Any = params
    for depth, name in enumerate(reference.names[1:], start=1):
        if not isinstance(value, Mapping):
            return  # entries of lists, and what is below a text, are null where there is nothing
        if name not in value:
            yield _unknown(reference, depth, value, "the workflow declares no params")
            return
        value = value[name]


def _unknown(reference: Reference, depth: int, known: Collection[str], otherwise: str = "") -> Mistake:
    """Say that the name at `depth` does not exist; `otherwise` is the help where no known name is near."""
    name = reference.names[depth]
    start, end = reference.places[depth]
    best = nearest(name, known)
    help_ = f"did you mean '{best}'?" if best else None
    if depth == 0 or not known:
        help_ = help_ or otherwise
    message = f"there is no '{'.'.join(reference.names[: depth + 1])}'"
    return Mistake(start, end - start, "unknown-reference", message, help_ or did_you_mean(name, known))


def _in_comparison(one: Node, other: Node) -> Iterator[Mistake]:
    """Find results that no job can have, such as 'success': what is compared with them is never equal."""
    if not isinstance(one, Reference) or not isinstance(other, Literal):
        return
    is_result = len(one.names) == 3 and one.names[0] == "needs" and one.names[2] == "result"
    if is_result and other.value not in RESULTS:
        message = f"'{one.dotted}' is never {other.value!r}; it is {', '.join(RESULTS[:-1])} or {RESULTS[-1]}"
        right = _THEIR_RESULTS.get(str(other.value)) or nearest(str(other.value), RESULTS)
        help_ = f"did you mean '{right}'?" if right else None
        yield Mistake(other.start, other.end - other.start, "unknown-value", message, help_)
