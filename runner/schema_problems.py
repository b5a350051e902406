"""Validate data with jsonschema. The one module that knows it; our own words for what it says are elsewhere.

    data ──► one of each kind ──► Draft202012Validator ──► errors ──► Finding(path, code, message, help)

jsonschema spends some 40 µs on a small stage, so ten thousand of them would take most of the time of a check.
Entries of `stages`, `queues` and `params` that the schema can't tell apart share one verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from runner.findings import Finding, located
from runner.handlers.base import all_kinds, built_in_kinds
from runner.problems import Problem
from runner.schema import Fragment, workflow_schema
from runner.schema_explain import VALUE_CODES, Fault, Written, explain, mismatch, value_at
from runner.source_marks import DataPath, Source

if TYPE_CHECKING:
    from jsonschema import ValidationError

_FREELY_NAMED = ("params", "queues", "stages", "jobs")


def check_shape(source: Source, data: Any) -> list[Problem]:
    """Return what is wrong with the shape of a workflow's data, its references replaced, as problems."""
    return located(shape_findings(schema_for(data), data, source.scalar_text), source)


def check_value(fragment: Mapping[str, Any], value: object) -> list[str]:
    """Return what is wrong with a value that should fit a schema fragment, each as `expected …, got …`."""
    return [mismatch(fault, value_at(value, fault.path)) for fault in _faults(dict(fragment), value)]


def schema_for(data: Any) -> Fragment:
    """Return the schema with what `data` may need of it: kinds of handler, others' only if it does, and jobs."""
    named = set(_kinds_named(data))
    kinds = built_in_kinds() if named else {}
    with_jobs = isinstance(data, dict) and "jobs" in data
    return workflow_schema(kinds if named <= kinds.keys() else all_kinds(), with_jobs=with_jobs)


def shape_findings(schema: Fragment, data: Any, written: Written = lambda _: None) -> list[Finding]:
    """Return one finding for each value, unknown key or missing key that does not fit `schema`."""
    sample, alike = _one_of_each(schema, data)
    faults = [each for fault in _faults(schema, sample) for each in _for_all_alike(fault, alike)]
    return [finding for fault in _worst_of_each_place(faults) for finding in explain(fault, data, written)]


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
        if isinstance(data.get(section), dict):
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


def _for_all_alike(fault: Fault, alike: dict[DataPath, list[DataPath]]) -> Iterator[Fault]:
    owner, rest = fault.path[:2], fault.path[2:]
    if fault.key is not None and len(fault.path) == 1:
        owner, rest = (*fault.path, fault.key), ()
        for path in alike.get(owner, [owner]):
            yield Fault(fault.path, fault.keyword, fault.fragment, str(path[-1]))
        return
    for path in alike.get(owner, [owner]):
        yield Fault((*path, *rest), fault.keyword, fault.fragment, fault.key)


# ── what jsonschema says ──


def _faults(schema: Fragment, data: Any) -> Iterator[Fault]:
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


def _of_error(error: ValidationError) -> Iterator[Fault]:
    path: DataPath = tuple(error.absolute_path)
    steps = list(error.absolute_schema_path)
    keyword = str(error.validator)
    if steps[-2:-1] == ["propertyNames"]:
        yield Fault(path, "propertyNames", _fragment_of(error), str(error.instance))
    elif keyword in ("anyOf", "oneOf") and (closest := _branch_meant(error)):
        for inner in closest:
            yield from _of_error(inner)
    else:
        yield Fault(path, keyword, _fragment_of(error))


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


def _worst_of_each_place(faults: Iterable[Fault]) -> list[Fault]:
    """Keep one fault for each place and matter: a wrong text may fail several keywords at once."""
    ranks = {keyword: rank for rank, keyword in enumerate(VALUE_CODES)}
    kept: dict[tuple[object, ...], Fault] = {}
    for fault in sorted(faults, key=lambda f: ranks.get(f.keyword, len(ranks))):
        matter = "value" if fault.keyword in ranks else fault.keyword
        kept.setdefault((fault.path, fault.key, matter), fault)
    wrong_values = {fault.path for fault in kept.values() if fault.keyword == "type"}
    return [f for f in kept.values() if f.keyword == "type" or f.path not in wrong_values]
