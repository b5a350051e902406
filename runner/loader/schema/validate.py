"""Data that does not fit the schema, in plain English: code, message, help, place. The one module with jsonschema.

    data ──► one of each kind ──► does it surely fit? ──no──► jsonschema ──► Violation(…) ──► explain ──► Diagnostic

One diagnostic for each wrong value, unknown or missing key. jsonschema spends some 40 µs on a small stage, so ten
thousand of them would take most of the time of a check: entries of `stages`, `queues` and `params` that the schema
can't tell apart share one verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from runner.facts import dataclass
from runner.handlers.registry import all_kinds, built_in_kinds, is_built_in, why_unloadable
from runner.loader.schema.fitting import surely_fits
from runner.loader.schema.foreign_keys import instead_of, is_told_of
from runner.loader.schema.wording import as_written, expected, subject, types_of
from runner.loader.schema.workflow import workflow_schema
from runner.spec.diagnostics import DataPath, Diagnostic
from runner.spec.keys import ALSO_KNOWN_AS, NAME_PATTERN, NAMING, Fragment
from runner.spec.suggestions import did_you_mean, is_affordable, look_alike, nearest
from runner.text import describe_value

if TYPE_CHECKING:
    from jsonschema import ValidationError

Written = Callable[[DataPath], str | None]
"""Returns the text of a scalar as the file has it."""

# The keywords that judge one value, each with the code of its problems, the most telling first.
VALUE_CODES = {
    "type": "wrong-type",
    "const": "unknown-value",
    "enum": "unknown-value",
    "minimum": "out-of-range",
    "maximum": "out-of-range",
    "exclusiveMinimum": "out-of-range",
    "exclusiveMaximum": "out-of-range",
    "minItems": "out-of-range",
    "maxItems": "out-of-range",
    "minLength": "out-of-range",
    "maxLength": "out-of-range",
    "minProperties": "out-of-range",
    "maxProperties": "out-of-range",
    "pattern": "wrong-format",
}
_OTHER_CODE = "wrong-value"


@dataclass(frozen=True, slots=True)
class Violation:
    """What jsonschema found, without its words: which keyword of which fragment the value at `path` fails."""

    path: DataPath
    keyword: str
    fragment: Fragment
    key: str | None = None
    """For a bad key of a mapping: that key."""


def explain(violation: Violation, data: Any, written: Written) -> Iterator[Diagnostic]:
    """Return what to tell about a violation of `data`; `written` returns scalars as they were typed."""
    value = value_at(data, violation.path)
    match violation.keyword:
        case "additionalProperties":
            yield from _unknown_keys(violation, value)
        case "required":
            yield from _missing_keys(violation, value)
        case "propertyNames":
            yield _bad_key(violation)
        case "not" if "required" in violation.fragment.get("not", {}):
            yield _conflict(violation)
        case "uniqueItems" if isinstance(value, list):
            yield _repeated(violation, value)
        case "anyOf" if all(branch.keys() == {"required"} for branch in violation.fragment["anyOf"]):
            if not any(
                is_told_of(violation.path, b["required"][0], value) for b in violation.fragment["anyOf"]
            ):
                yield _without_any(violation)
        case _:
            yield _wrong_value(violation, value, written)


def _unknown_keys(violation: Violation, value: Mapping[str, Any]) -> Iterator[Diagnostic]:
    known = violation.fragment.get("properties", {})
    free = [re.compile(pattern) for pattern in violation.fragment.get("patternProperties", {})]
    unknown = [key for key in value if key not in known and not any(each.search(key) for each in free)]
    also = tuple((word, right) for right in known for word in known[right].get(ALSO_KNOWN_AS, ()))
    taken = frozenset(word for word in known if word in value)
    is_slip = is_affordable(len(unknown), len(known) + len(also))  # so many are no slips of the finger
    for key in unknown:
        path = (*violation.path, key)
        if is_told_of(violation.path, key, value):
            continue
        if _is_kind(path):
            why = why_unloadable(key)
            message = (
                f"the handler kind '{key}' can't be loaded: {why}"
                if why
                else f"there is no handler kind '{key}'"
            )
            code = "unknown-kind"
        else:
            message, code = f"{_owner(violation.path)} has no key '{key}'", "unknown-key"
        help_, meant = look_alike(key) or instead_of(violation.path, key, value), None
        if help_ is None and is_slip:
            help_, meant = _right_key(key, tuple(known), taken, also)
        yield Diagnostic(path, code, message, "key", help_, meant=meant)


@lru_cache(maxsize=1024)  # the same slip is often made in many places
def _right_key(
    key: str, known: tuple[str, ...], taken: frozenset[str], also: tuple[tuple[str, str], ...]
) -> tuple[str | None, str | None]:
    """
    Return the help line for an unknown key, and the one key, not taken yet, that it was meant for.

    `also` are the words of other tools, each with the right one.
    """
    words = dict(also)
    theirs = words.get(key)
    if theirs is None and nearest(key, known) is None:
        theirs = words.get(nearest(key, words) or "")
    if theirs is not None:
        return f"did you mean '{theirs}'?", None if theirs in taken else theirs
    return did_you_mean(key, known), nearest(key, [word for word in known if word not in taken])


def _is_kind(path: DataPath) -> bool:
    """Say whether `path` is that of the name of a kind: `stages.<name>.run.<kind>`."""
    return len(path) == 4 and path[0] == "stages" and path[2] == "run"


def _missing_keys(violation: Violation, value: Mapping[str, Any]) -> Iterator[Diagnostic]:
    for key in violation.fragment["required"]:
        if key not in value and not is_told_of(violation.path, key, value):
            about = violation.fragment.get("properties", {}).get(key, {}).get("description", "")
            help_ = f"'{key}': {_first_sentence(about)}" if about else None
            yield Diagnostic(
                violation.path, "missing-key", f"{_owner(violation.path)} has no '{key}'", "key", help_
            )


def _bad_key(violation: Violation) -> Diagnostic:
    wanted = expected(violation.fragment)
    path = (*violation.path, str(violation.key))
    help_ = NAMING if violation.fragment.get("pattern") == NAME_PATTERN else None
    return Diagnostic(
        path, "bad-name", f"expected {wanted}, got {describe_value(violation.key)}", "key", help_
    )


def _conflict(violation: Violation) -> Diagnostic:
    one, other = violation.fragment["not"]["required"]
    message = f"{subject(violation.path)} has both '{one}' and '{other}'"
    return Diagnostic(
        (*violation.path, one),
        "conflicting-keys",
        message,
        "key",
        violation.fragment["not"].get("description"),
    )


def _repeated(violation: Violation, value: list[Any]) -> Diagnostic:
    at = next(i for i, entry in enumerate(value) if entry in value[:i])
    message = f"{subject(violation.path)} has {describe_value(value[at])} twice"
    return Diagnostic((*violation.path, at), "duplicate-entry", message, help="each must be there once")


def _without_any(violation: Violation) -> Diagnostic:
    """Say that none of several keys is there, one of which is needed."""
    keys = [f"'{branch['required'][0]}'" for branch in violation.fragment["anyOf"]]
    message = f"{_owner(violation.path)} has {'neither' if len(keys) == 2 else 'none of'} {_join_keys(keys)}"
    return Diagnostic(violation.path, "missing-key", message, "key", _WITHOUT.get(violation.path[:1]))


def _join_keys(keys: list[str]) -> str:
    return " nor ".join(keys) if len(keys) == 2 else f"{', '.join(keys[:-1])} and {keys[-1]}"


_WITHOUT: Mapping[DataPath, str] = {
    ("params",): "add a type, such as type: integer, or a default that shows it",
    (): "'stages' has pools of worker processes, 'jobs' what a CI system calls by that name",
    ("jobs",): "add one, such as run: pytest",
}


def _wrong_value(violation: Violation, value: object, written: Written) -> Diagnostic:
    code = VALUE_CODES.get(violation.keyword, _OTHER_CODE)
    message = f"{subject(violation.path)}: {mismatch(violation, value)}"
    return Diagnostic(violation.path, code, message, help=_advice(violation, value, written))


_MOST_SHOWN = 5
_WORDS = re.compile(r"\^\(([\w|]+)\)\$")
"""A pattern that is one of several words."""
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}


def mismatch(violation: Violation, value: object) -> str:
    """Say what was expected of a value, and what it is."""
    fragment = violation.fragment
    # A bound that only keeps the absurd away has no place in the title, which speaks of what is usual.
    beyond = violation.keyword in _BOUNDS and "title" in fragment and not _is_nan(value)
    wanted = f"{_BOUNDS[violation.keyword]} {fragment[violation.keyword]}" if beyond else expected(fragment)
    got = describe_value(value)
    if violation.keyword == "maxProperties" and isinstance(value, Mapping):
        got += f" with {len(value)}: {', '.join(list(value)[:_MOST_SHOWN])}"
    return f"expected {wanted}, got {got}"


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _advice(violation: Violation, value: object, written: Written) -> str | None:
    wanted = types_of(violation.fragment)
    if violation.path == ("default",) and isinstance(value, dict):
        return "did you mean 'defaults'?"
    kind = "null" if value is None else value
    if violation.path[::2] == ("stages", "run") and isinstance(kind, str) and is_built_in(kind):
        quoted = '"null"' if kind == "null" else kind
        return f"the kind of handler '{kind}' is written run: {{{quoted}: {{}}}}, with its options within"
    if isinstance(value, str) and "object" in wanted and (odd := look_alike(value)) is not None:
        return odd
    if isinstance(value, str) and violation.fragment.get("pattern") == NAME_PATTERN:
        return NAMING
    if isinstance(value, str) and "enum" in violation.fragment:
        return did_you_mean(value, map(as_written, violation.fragment["enum"]))
    if isinstance(value, str) and (words := _WORDS.fullmatch(violation.fragment.get("pattern", ""))):
        return did_you_mean(value, words[1].split("|"))
    is_beyond = violation.keyword in _BOUNDS and not _is_nan(value)  # quotes would not help
    if "string" in wanted and isinstance(value, bool | int | float) and not is_beyond:
        return _quote_it(value, written(violation.path))
    if isinstance(value, str) and "boolean" in wanted and value.casefold() in _WORDS_FOR_TRUTH:
        return f"write {_WORDS_FOR_TRUTH[value.casefold()]}"
    if isinstance(value, str) and {"integer", "number"} & set(wanted) and _is_number(value):
        return f"write it without quotes: {value.strip()}"
    return None


_WORDS_FOR_TRUTH = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _quote_it(value: float, text: str | None) -> str:
    text = as_written(value) if text is None else text
    lost = "" if text == as_written(value) else f"; without quotes, {text} is the number {as_written(value)}"
    return f'quote it if text is meant: "{text}"{lost}'


def _is_number(text: str) -> bool:
    # 010 is no number to YAML either, and one of a thousand digits is none that anything takes.
    return re.fullmatch(r"\s*[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?\s*", text) is not None


def _owner(path: DataPath) -> str:
    return subject(path) if path else "a workflow"


def _first_sentence(description: str) -> str:
    sentence = re.split(r"(?<=[.:]) ", description, maxsplit=1)[0]
    return sentence[0].lower() + sentence[1:].rstrip(".:")


def value_at(data: Any, path: DataPath) -> Any:
    """Return what stands at `path`, which must be there."""
    for step in path:
        data = data[step]
    return data


_FREELY_NAMED = ("params", "queues", "stages", "jobs")


def check_value(fragment: Mapping[str, Any], value: object) -> list[str]:
    """Return what is wrong with a value that should fit a schema fragment, each as `expected …, got …`."""
    return [
        mismatch(violation, value_at(value, violation.path))
        for violation in _violations(dict(fragment), value)
    ]


def schema_for(data: Any) -> Fragment:
    """Return the schema with what `data` may need of it: kinds of handler, others' only if it does, and jobs."""
    named = set(_kinds_named(data))
    kinds = built_in_kinds(named)
    with_jobs, with_tests = (isinstance(data, dict) and key in data for key in ("jobs", "tests"))
    known = kinds if named <= kinds.keys() else all_kinds()
    return workflow_schema(known, with_jobs=with_jobs, with_tests=with_tests)


def check_shape(schema: Fragment, data: Any, written: Written = lambda _: None) -> list[Diagnostic]:
    """Return one diagnostic for each value, unknown key or missing key that does not fit `schema`."""
    sample, alike = _one_of_each(schema, data)
    violations = [
        each for violation in _violations(schema, sample) for each in _for_all_alike(violation, alike)
    ]
    return [
        diagnostic
        for violation in _worst_of_each_place(violations)
        for diagnostic in explain(violation, data, written)
    ]


def unknown_keys(schema: Fragment, data: Any, path: DataPath = ()) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each key that its mapping can't have, whatever the values are: all that renaming needs."""
    if isinstance(data, dict) and schema.get("additionalProperties") is False:
        yield from _unknown_keys(Violation(path, "additionalProperties", schema), data)
    for step, value, fragment in fragments_below(schema, data):
        yield from unknown_keys(fragment, value, (*path, step))


def fragments_below(schema: Fragment, data: Any) -> Iterator[tuple[str | int, Any, Fragment]]:
    """Yield what is in a mapping or a list, each under its key or number, with the fragment that it has to fit."""
    if isinstance(data, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        below: Iterable[tuple[str | int, Any, Any]] = (
            (key, value, known.get(key, others)) for key, value in data.items()
        )
    else:
        entries = data if isinstance(data, list) else ()
        below = ((at, value, schema.get("items")) for at, value in enumerate(entries))
    yield from (each for each in below if isinstance(each[2], dict))


def _kinds_named(data: Any) -> Iterator[str]:
    stages = data.get("stages") if isinstance(data, dict) else None
    for stage in stages.values() if isinstance(stages, dict) else ():
        if isinstance(stage, dict) and isinstance(stage.get("run"), dict):
            yield from stage["run"]


# ── one of each ──


def _one_of_each(schema: Fragment, data: Any) -> tuple[Any, dict[DataPath, list[DataPath]]]:
    """
    Return the data with one entry of each kind in the freely named sections, and who else is like it.
    """
    if not isinstance(data, dict):
        return data, {}
    sample = dict(data)
    alike: dict[DataPath, list[DataPath]] = {}
    for section in _FREELY_NAMED:
        if isinstance(data.get(section), dict) and section in schema["properties"]:
            groups = _groups(schema["properties"][section], data[section])
            sample[section] = {names[0]: data[section][names[0]] for names in groups}
            alike.update({(section, names[0]): [(section, name) for name in names] for names in groups})
    return sample, alike


def _groups(section: Fragment, entries: dict[str, Any]) -> Iterable[list[str]]:
    groups: dict[object, list[str]] = {}
    for name, entry in entries.items():
        kind = (_likeness(section["propertyNames"], name), _likeness(section["additionalProperties"], entry))
        groups.setdefault(kind, []).append(name)
    return groups.values()


def _likeness(fragment: Fragment, value: object) -> object:
    """
    Return something that is equal for two values only if the fragment must judge them alike.
    """
    match value:
        case dict() if "properties" in fragment:
            return tuple(
                (key, _likeness(fragment["properties"].get(key, _ANYTHING), v)) for key, v in value.items()
            )
        case dict() | list() if _asks_only_for_a_type(fragment):
            return type(value)
        case str() if "enum" not in fragment and fragment is not _ANYTHING:
            return str, bool(value), bool(re.search(fragment.get("pattern", ""), value))
        case int() if type(value) is int and "enum" not in fragment and fragment is not _ANYTHING:
            return int, fragment.get("minimum", value) <= value <= fragment.get("maximum", value)
    return type(value), repr(value)


_ANYTHING: Fragment = {}


def _asks_only_for_a_type(fragment: Fragment) -> bool:
    return fragment.keys() <= {"type", "title", "description", "default", "examples"} and "type" in fragment


def _for_all_alike(violation: Violation, alike: dict[DataPath, list[DataPath]]) -> Iterator[Violation]:
    owner, rest = violation.path[:2], violation.path[2:]
    if violation.key is not None and len(violation.path) == 1:
        owner, rest = (*violation.path, violation.key), ()
        for path in alike.get(owner, [owner]):
            yield Violation(violation.path, violation.keyword, violation.fragment, str(path[-1]))
        return
    for path in alike.get(owner, [owner]):
        yield Violation((*path, *rest), violation.keyword, violation.fragment, violation.key)


# ── what jsonschema says ──


def _violations(schema: Fragment, data: Any) -> Iterator[Violation]:
    if surely_fits(schema, data):
        return
    for error in _validator()(schema).iter_errors(data):
        yield from _of_error(error)


@cache
def _validator() -> Any:
    """Return JSON Schema's own rules, but that NaN, which compares false with every bound, is within none."""
    import jsonschema  # slow to import, so only where a file is checked

    def bounded(rule: Any) -> Any:
        def judge(validator: Any, bound: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
            if isinstance(value, float) and math.isnan(value):
                yield jsonschema.ValidationError("NaN is within no bounds")
            else:
                yield from rule(validator, bound, value, schema) or ()

        return judge

    bounds = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    usual = jsonschema.Draft202012Validator
    extend: Any = jsonschema.validators.extend  # its stubs give it no types
    return extend(usual, {word: bounded(usual.VALIDATORS[word]) for word in bounds})


def _of_error(error: ValidationError) -> Iterator[Violation]:
    path: DataPath = tuple(error.absolute_path)
    steps = list(error.absolute_schema_path)
    keyword = str(error.validator)
    if steps[-2:-1] == ["propertyNames"]:
        yield Violation(path, "propertyNames", _fragment_of(error), str(error.instance))
    elif keyword in ("anyOf", "oneOf") and (closest := _branch_meant(error)):
        for inner in closest:
            yield from _of_error(inner)
    else:
        yield Violation(path, keyword, _fragment_of(error))


def _fragment_of(error: ValidationError) -> Fragment:
    """Return what the value had to fit. (`false` as a schema fits nothing, and has no words.)"""
    return dict(error.schema) if isinstance(error.schema, Mapping) else {}


def _branch_meant(error: ValidationError) -> list[ValidationError]:
    """Return the errors of the branch of an `anyOf` that is of the value's own type, if there is just one."""
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    fitting = [
        errors for errors in branches.values() if all(e.validator != "type" or e.path for e in errors)
    ]  # an error of type deeper down, with a path, means that the branch itself was of the right type
    return fitting[0] if len(fitting) == 1 and not _is_about_keys(fitting[0]) else []


def _is_about_keys(errors: Iterable[ValidationError]) -> bool:
    """A branch that only asks for keys, such as `{required: [type]}`, is explained by who has the `anyOf`."""
    return all(error.validator == "required" and "properties" not in _fragment_of(error) for error in errors)


def _worst_of_each_place(violations: Iterable[Violation]) -> list[Violation]:
    """Keep one violation for each place and matter: a wrong text may fail several keywords at once."""
    ranks = {keyword: rank for rank, keyword in enumerate(VALUE_CODES)}
    kept: dict[tuple[object, ...], Violation] = {}
    for violation in sorted(violations, key=lambda f: ranks.get(f.keyword, len(ranks))):
        matter = "value" if violation.keyword in ranks else violation.keyword
        kept.setdefault((violation.path, violation.key, matter), violation)
    wrong_values = {violation.path for violation in kept.values() if violation.keyword == "type"}
    return [f for f in kept.values() if f.keyword == "type" or f.path not in wrong_values]
