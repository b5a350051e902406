"""The contract of a queue: a JSON Schema that each item must keep when it is put.

    queues: {rows: {schema: {type: object, properties: {price: {type: number}}}}}

    {"price": "free"}  ──►  queue 'rows': $.price: expected number, got 'free'

Items are Python's own values: a tuple is an array too, and a `Decimal` a number. Whatever JSON has no type for fits
only where the schema asks for no type. `format` is checked where jsonschema can do that with nothing else installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from runner.errors import ContractBroken
from runner.spec.suggestions import near, which_one
from runner.text import safe_repr

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

_MOST_TOLD = 3
_MOST_LISTED = 12
_LONGEST = 200
_REFERENCES = ("$ref", "$dynamicRef")


def contract_check(schema: Mapping[str, Any], queue: str) -> Callable[[object], object]:
    """
    Return a function that returns an item as it is, or raises `ContractBroken` where it does not keep `schema`.

    For workers; `schema` is one in which `faults_of_contract` finds nothing. Imports jsonschema, which takes 50 ms.
    """
    validator: Any = _validator(schema)  # its stubs take JSON alone

    def check(item: object) -> object:
        found = validator.iter_errors(item)
        told = [_told(error) for error in islice(found, _MOST_TOLD)]
        if told:
            more = "" if next(found, None) is None else "; and more"
            raise ContractBroken(f"queue '{queue}': {'; '.join(told)}{more}")
        return item

    return check


def faults_of_contract(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what is wrong with a schema itself: the path of keys to it, and why."""
    kind = _dialect(schema)
    found = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER).iter_errors(schema)
    for error in sorted(found, key=lambda each: list(map(str, each.absolute_path))):
        yield tuple(error.absolute_path), _told(error, ("the schema",))
    for path, reference in _references(schema):
        if not reference.startswith("#"):
            yield path, f"'{reference}' is in another document, which no worker loads: put it into `$defs`"
        elif reference.startswith("#/") and not _is_there(schema, reference):
            yield path, f"'{reference}' leads to nothing in this schema"


def _dialect(schema: Mapping[str, Any]) -> Any:
    """The validator class of the dialect that `$schema` names, else of the usual one."""
    import jsonschema

    return jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)


def _validator(schema: Mapping[str, Any]) -> Validator:
    import jsonschema

    extend: Any = jsonschema.validators.extend  # its stubs give it no types
    usual = _dialect(schema)
    types = usual.TYPE_CHECKER.redefine_many(
        {
            "array": lambda _, found: isinstance(found, list | tuple),
            "number": lambda _, found: (
                isinstance(found, int | float | Decimal) and not isinstance(found, bool)
            ),
        }
    )
    made: Validator = extend(usual, type_checker=types)(schema, format_checker=usual.FORMAT_CHECKER)
    return made


def _told(found: ValidationError, begins: Sequence[str | int] = ("$",)) -> str:
    """Say where, what was expected and what was got."""
    error = _deepest(found)
    place, instance, rule = (*begins, *error.absolute_path), error.instance, error.validator_value
    if error.validator == "required" and isinstance(instance, dict):
        missing = next(each for each in rule if each not in instance)
        known = error.schema.get("properties", {})
        strangers = [each for each in instance if isinstance(each, str) and each not in known]
        return f"{_place((*place, missing))}: it is missing{_hint(missing, strangers)}"
    expected = _expected(error)
    if expected is not None:
        names = [each for each in _allowed(error) if isinstance(each, str)]
        return f"{_place(place)}: expected {expected}, got {safe_repr(instance)}{_hint(str(instance), names)}"
    if len(error.message) <= _LONGEST and error.message.isprintable():
        return f"{_place(place)}: {error.message}"
    return f"{_place(place)}: {safe_repr(instance)} is against `{error.validator}: {safe_repr(rule)}`"


def _deepest(error: Any) -> Any:
    """Of what was tried in vain, `anyOf` and the like, what came furthest into the item; else the error itself."""
    tried = [_deepest(each) for each in error.context or ()]
    furthest = max(tried, key=lambda each: len(each.absolute_path), default=error)
    return furthest if len(furthest.absolute_path) > len(error.absolute_path) else error


def _expected(error: Any) -> str | None:
    """The noun phrase for what would do; None where the library says it better."""
    match error.validator, error.validator_value:
        case "type", rule:
            return " or ".join([rule] if isinstance(rule, str) else rule)
        case "enum" | "const", _:
            allowed = _allowed(error)
            shown = [safe_repr(each) for each in allowed[:_MOST_LISTED]]
            return " or ".join([*shown, "others"] if len(allowed) > _MOST_LISTED else shown)
        case "anyOf" | "oneOf", _ if error.context:
            phrases = [_expected(each) for each in error.context]
            return None if None in phrases else " or ".join(dict.fromkeys(map(str, phrases)))
    return None


def _allowed(error: Any) -> list[Any]:
    match error.validator, error.validator_value:
        case "enum", rule:
            return list(rule)
        case "const", rule:
            return [rule]
        case "anyOf" | "oneOf", _:
            return [each for branch in error.context or () for each in _allowed(branch)]
    return []


def _hint(word: str, candidates: Sequence[str]) -> str:
    nearest = which_one(near(word, candidates))
    return f"; {nearest}" if nearest else ""


def _place(path: Sequence[str | int]) -> str:
    """`$.orders[3].price`, and `$["a b"]` for a key that is no word."""
    text = str(path[0])
    for step in path[1:]:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if step.isidentifier() else f"[{safe_repr(step)}]"
    return text


def _references(part: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key in _REFERENCES and isinstance(value, str):
                yield (*path, key), value
            elif key not in ("const", "enum", "default", "examples"):
                yield from _references(value, (*path, key))
    elif isinstance(part, list | tuple):
        for index, value in enumerate(part):
            yield from _references(value, (*path, index))


def _is_there(schema: Any, pointer: str) -> bool:
    """Whether a JSON Pointer (RFC 6901) in a fragment leads to something."""
    from urllib.parse import unquote

    for step in unquote(pointer[2:]).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, Mapping) and name in schema:
            schema = schema[name]
        elif isinstance(schema, list) and name.isdecimal() and int(name) < len(schema):
            schema = schema[int(name)]
        else:
            return False
    return True
