"""Keys of the file, each declared once, on a field of the spec: what it must be, how it is read, what it means.

    class QueueSpec:
        maxsize: int | None = key(integer(1), "The most items that may wait in it. …", default=10_000)
            │
            ├── fragments_of(QueueSpec) ──► the JSON Schema: what is checked, completed, documented
            └── values_of(QueueSpec, {"maxsize": 10}) ──► the fields: what `build_spec` makes the spec of

A declaration is a few small tuples and texts, since workers import the spec too; a schema is made when it is asked for.
What stands as a `title` is the noun phrase for what is expected, as messages use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, field, fields
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from runner.units import DURATION_PATTERN, RATE_PATTERN, SIZE_PATTERN, duration, rate, size

Fragment = dict[str, Any]

ALSO_KNOWN_AS = "x-also-known-as"
"""What other tools call a key: who writes that is told the word that is right here."""

# Any script is welcome. Written so that Python and ECMAScript agree on it: `\w` and `\p{L}` would not do.
NAME_PATTERN = (
    r"^(?![\s\S]*[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff])"  # no control characters, no half characters
    r"(?!\s)(?![\s\S]*\s$)"  # no space at either end
    r"[\s\S]*[^\s!-\/:-@\[-`{-~]"  # something that is neither space nor ASCII punctuation
)
PATH_PATTERN = r"^[^\s.]+(\.[^\s.]+)*$"
"""The way to something in an item: names, joined by dots."""
ENV_NAME_PATTERN = r"^[^=\x00]+$"
NAMING = "any script; at least one letter or digit, no control characters, no space at either end"


class Shape(NamedTuple):
    """What a value must be, and how the spec has it."""

    fragment: Fragment
    """Its JSON Schema, less what a key adds: its description, default and examples."""
    read: Callable[[Any], Any] | None = None
    """Makes of what is in the file what the field holds; None takes it as it is."""
    model: type[Any] | None = None
    """For a mapping with keys of its own: the class whose fields declare them."""
    items: Shape | None = None
    """For a list: what is in it, where that is a mapping with keys of its own."""


class Key(NamedTuple):
    """One key of a mapping in the file."""

    shape: Shape
    description: str
    name: str = ""
    """In the file; empty where the field has the same."""
    default: Any = MISSING
    """As the file would have it; MISSING is the field's own."""
    more: Mapping[str, Any] = MappingProxyType({})
    """What else its schema says: examples, and the words of other tools."""
    usual: Key | Literal[True] | None = None
    """Whether it may stand in `defaults`; a key of its own where it may be more there."""
    by_hand: bool = False
    """Whether `build_spec` reads it, since one key alone does not say what the field holds."""


def key(
    shape: Shape,
    description: str,
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    shown: Any = MISSING,
    **more: Any,
) -> Any:
    """Declare a field that has a default, with its key; `shown` is the default as the file has it."""
    declared = Key(shape, description, default=shown, **more)
    return field(default=default, default_factory=default_factory, metadata=declares(declared))


def declares(*keys: Key) -> Mapping[str, Any]:
    """Return the metadata of a field with keys: for one that has no default, so must be there, and for other cases."""
    return {"keys": keys}


class Declared(NamedTuple):
    """A key with the field that it is declared on."""

    field: str
    key: Key
    default: Any
    """As the file would have it; MISSING if the key must be there."""

    @property
    def is_required(self) -> bool:
        return self.default is MISSING


_TABLES: dict[type[Any], dict[str, Declared]] = {}


def keys_of(model: type[Any]) -> Mapping[str, Declared]:
    """Return what is declared on the fields of a class, by name in the file."""
    if model in _TABLES:
        return _TABLES[model]
    found = _TABLES[model] = {}
    for each in fields(model):
        usual = each.default if each.default_factory is MISSING else None
        for declared in each.metadata.get("keys", ()):
            default = usual if declared.default is MISSING else declared.default
            found[declared.name or each.name] = Declared(each.name, declared, default)
    return found


def fragments_of(model: type[Any]) -> Fragment:
    """Return the schema of each key that is declared on the fields of a class, in their order."""
    return {name: _fragment(declared.key, declared.default) for name, declared in keys_of(model).items()}


def usual_fragments_of(model: type[Any]) -> Fragment:
    """Return the schema of each key of a class that may stand in `defaults`."""
    return {
        name: _fragment(each.key if each.key.usual is True else each.key.usual, each.default)
        for name, each in keys_of(model).items()
        if each.key.usual
    }


def closed_mapping(model: type[Any]) -> Fragment:
    """Return the schema of a mapping with the keys of a class and no others, described as the class is."""
    return {"description": description_of(model), **_closed_mapping(model)}


def description_of(model: type[Any]) -> str:
    """Return what a class says of itself, as the description of a mapping in the file."""
    return " ".join((model.__doc__ or "").split())


def _closed_mapping(model: type[Any]) -> Fragment:
    required = [name for name, declared in keys_of(model).items() if declared.is_required]
    return closed(fragments_of(model), required)


def _fragment(declared: Key, default: Any) -> Fragment:
    fragment = _shape_fragment(declared.shape)
    if default is not MISSING and default is not None and default != "" and default != ():
        fragment["default"] = default.value if isinstance(default, Enum) else default
    return {**fragment, "description": declared.description, **declared.more}


def _shape_fragment(shape: Shape) -> Fragment:
    own = {} if shape.model is None else _closed_mapping(shape.model)
    items = {} if shape.items is None else {"items": _shape_fragment(shape.items)}
    return {**own, **items, **shape.fragment}


def values_of(model: type[Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a class that `written`, a mapping of the right shape, says; the rest have their defaults."""
    declared = keys_of(model)
    return {
        each.field: _read(each.key, value)
        for name, value in written.items()
        if (each := declared.get(name)) is not None and not each.key.by_hand
    }


def usual_values_of(model: type[Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a class that `written`, its mapping under `defaults`, says."""
    declared = keys_of(model)
    return {
        each.field: _read(each.key if each.key.usual is True else each.key.usual, value)
        for name, value in written.items()
        if (each := declared.get(name)) is not None and each.key.usual
    }


def _read(declared: Key, value: Any) -> Any:
    return value if declared.shape.read is None else declared.shape.read(value)


# ── what values must be ──


def text(**more: Any) -> Shape:
    """Any text, or one that fits a `pattern` or a `minLength`."""
    return Shape({"type": "string", **more})


def integer(minimum: int, maximum: int | None = None, **more: Any) -> Shape:
    """A whole number."""
    most = {} if maximum is None else {"maximum": maximum}
    return Shape({"type": "integer", "minimum": minimum, **most, **more}, int)


def choice(words: type[Enum] | Iterable[str]) -> Shape:
    """One of several words: of an enumeration, which it is read as, or just words."""
    if isinstance(words, type):
        return Shape({"enum": [each.value for each in words]}, words)
    return Shape({"enum": list(words)})


def texts(entry: Shape, title: str) -> Shape:
    """One text, or a list of them."""
    single = {word: value for word, value in entry.fragment.items() if word not in ("type", "title")}
    both = {"type": ["string", "array"], "items": entry.fragment, "uniqueItems": True, **single}
    return Shape({**both, "title": title}, as_tuple)


def mapping(of: type[Any], *, short: str = "", read: Callable[..., Any] | None = None, **more: Any) -> Shape:
    """
    A mapping with the keys of a class, or what is `short` for the one key of that name; `more` says what that may be.

    `read` makes the object of its fields, where the class alone would not do.
    """

    def read_mapping(written: Any) -> Any:
        entries = {short: written} if short and not isinstance(written, dict) else written
        return (read or of)(**values_of(of, entries))

    return Shape(more, read_mapping, of)


def named(entry: Fragment, description: str, **more: Any) -> Fragment:
    """Return the schema of entries by names of the user's own."""
    section = {"type": "object", "propertyNames": NAME.fragment, "additionalProperties": entry}
    return {**section, "description": f"{description} Names: {NAMING}.", **more}


def closed(properties: Fragment, required: Iterable[str] = ()) -> Fragment:
    """Return the schema of a mapping with these keys and no others."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needed, "additionalProperties": False}


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a list, or the one text or number that stands for a list of it, as the spec holds it."""
    return (value,) if isinstance(value, str | int) else tuple(value)


TEXT = text()
BOOLEAN = Shape({"type": "boolean"})
NAME = text(pattern=NAME_PATTERN, title="a name with a letter or digit in it")
FOLDER = text(pattern=r"^[^\x00]+$", title="the path of a folder")
ENV = Shape(
    {
        "type": "object",
        "propertyNames": {
            "type": "string",
            "pattern": ENV_NAME_PATTERN,
            "title": "a variable's name, without '='",
        },
        "additionalProperties": {
            "type": ["string", "number", "boolean"],
            "pattern": r"^[^\x00]*$",
            "title": "text without NUL characters, a number, or true or false",
        },
    }
)
_EXCEPTION_PATTERN = r"^[^\s.:]+(\.[^\s.:]+)*$"
_FAILURE: Fragment = {
    "type": ["string", "integer"],
    "pattern": _EXCEPTION_PATTERN,
    "minimum": 1,
    "maximum": 255,
}
FAILURES = Shape(
    {
        **_FAILURE,
        "type": ["string", "integer", "array"],
        "items": {**_FAILURE, "title": "the name of an exception or a signal, or an exit code from 1 to 255"},
        "uniqueItems": True,
        "title": "the name of an exception or a signal, an exit code from 1 to 255, or a list of these",
    },
    as_tuple,
)
"""What `retry` and the like name: exceptions, and how programs end."""
DURATION = Shape(
    {
        "type": ["number", "string"],  # the first is what an editor writes a default as
        "pattern": DURATION_PATTERN,
        "exclusiveMinimum": 0,
        "maximum": 10**9,
        "title": "a duration such as 300ms, 1.5s, 2m or 1h30m, or a number of seconds",
        "examples": ["300ms", "1h30m", 5],
    },
    duration,
)
RATE = Shape(
    {
        "type": ["number", "string"],
        "pattern": RATE_PATTERN,
        "exclusiveMinimum": 0,
        "maximum": 10**9,
        "title": "a rate such as 20/s, 100/m or 5/10s, or a number a second",
        "examples": ["20/s", "100/m"],
    },
    rate,
)
DURATION_OR_NONE = Shape(
    {word: value for word, value in DURATION.fragment.items() if word != "exclusiveMinimum"} | {"minimum": 0},
    duration,
)
"""A duration that may be no time at all."""
SIZE = Shape(
    {
        "type": ["integer", "string"],
        "pattern": SIZE_PATTERN,
        "minimum": 1,
        "maximum": 2**63 - 1,
        "title": "a size such as 512MB or 4GiB, or a number of bytes",
        "examples": ["512MB", "4GiB"],
    },
    size,
)
