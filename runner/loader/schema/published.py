"""The schema for editors and other validators, made from the one that mprun checks with. Pure.

mprun looks at a file whose references are replaced, whose included files are in, and whose slips it knows by words of
its own. Others see what is written, so theirs differs in this:

    port: "${{ params.port }}"      stands for a value of any kind: a text with a reference may stand there
    use: resize.yaml                stands for stages, and has keys of its own beside it
    include: more.yaml              may have the stages; and what is included need not have a name
    jobs: {a: {timeout: null}}      changes what a default or an included file says, and need not say what it runs
    x-also-known-as, maxProperties  a strict validator refuses the one; by the other editors propose no key
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations

from runner.loader.schema.templates import use_schema
from runner.loader.schema.workflow import USE
from runner.spec.keys import ALSO_KNOWN_AS, Fragment

_REFERENCE = r"\$\{\{"
_ONE_REFERENCE = r"^\$\{\{[^{}]*\}\}$"
_PROBE = "${{ params.x }}"
_HALF_CHARACTERS = r"\ud800-\udfff"
"""No YAML file holds one, and not every engine of regular expressions knows them."""
_WITHOUT_REFERENCES = ("$schema", "params", "include", "tests")
_WORDS = re.compile(r"\^\(([a-z|]+)\)\$")


def published(schema: Fragment) -> Fragment:
    """Return the schema of workflow files as they are written."""
    properties = {
        name: _portable(each, name, name not in _WITHOUT_REFERENCES)
        for name, each in schema["properties"].items()
    }
    properties["stages"] = _with_uses(properties["stages"])
    properties["jobs"] = _with_changes(properties["jobs"])
    own = {key: value for key, value in schema.items() if key != "required"}
    either: list[Fragment] = [*schema["anyOf"], {"required": ["include"]}, {"not": {"required": ["name"]}}]
    return {**own, "properties": properties, "anyOf": either}


def _with_uses(stages: Fragment) -> Fragment:
    """Return the schema of stages of which some use templates."""
    stage = stages["additionalProperties"]
    uses = {key: _portable(each, key, refers=True) for key, each in use_schema()["properties"].items()}
    own = {key: value for key, value in stage.items() if key != "required"}
    either = [{"required": ["run"]}, {"required": [USE]}]
    return {
        **stages,
        "additionalProperties": {**own, "properties": {**uses, **stage["properties"]}, "anyOf": either},
    }


def _with_changes(jobs: Fragment) -> Fragment:
    """Return the schema of jobs of which some say what is other than in a file that is included."""
    if "additionalProperties" not in jobs:
        return jobs
    job = jobs["additionalProperties"]
    keys = {name: _or_null(each) for name, each in job["properties"].items()}
    own = {key: value for key, value in job.items() if key != "anyOf"}
    return {**jobs, "additionalProperties": {**own, "properties": keys}}


def _or_null(fragment: Fragment) -> Fragment:
    types = fragment.get("type")
    if types is None:
        return fragment
    return {**fragment, "type": [*([types] if isinstance(types, str) else types), "null"]}


def _portable(fragment: Fragment, name: str, refers: bool) -> Fragment:
    """
    Return a fragment, for the value of `name`, as every validator and editor takes it; `refers` if it may refer.
    """
    found = {key: value for key, value in fragment.items() if key != ALSO_KNOWN_AS}
    if "properties" in found:
        found.setdefault("title", name)
        found["properties"] = {key: _portable(each, key, refers) for key, each in found["properties"].items()}
    for keyword, each in (("items", name), ("additionalProperties", name.removesuffix("s"))):
        if isinstance(found.get(keyword), Mapping):
            found[keyword] = _portable(found[keyword], each, refers)
    if "propertyNames" in found:
        found["propertyNames"] = _portable(found["propertyNames"], name, refers=False)
    if found.pop("maxProperties", None) == 1:
        # Editors propose no key where a mapping has as many as it may, the one that is being typed included.
        found["not"] = {"anyOf": [{"required": list(pair)} for pair in combinations(found["properties"], 2)]}
    if "not" in found:
        found["not"] = {
            "type": "object",
            **found["not"],
        }  # of a text too it could be said that no key is missing
    found |= _told(found)
    return _with_reference(found) if refers else found


def _told(fragment: Fragment) -> Fragment:
    """Return the pattern and the examples that editors can do with: words, and no mappings among them."""
    told: Fragment = {}
    if "pattern" in fragment:
        told["pattern"] = fragment["pattern"].replace(_HALF_CHARACTERS, "")
    examples = [each for each in fragment.get("examples", ()) if not isinstance(each, Mapping)]
    if words := _WORDS.fullmatch(fragment.get("pattern", "")):
        examples = words[1].split("|")
    elif fragment.get("minimum", 0) > 0 and "default" not in fragment and not examples:
        examples = [fragment["minimum"]]  # an editor would write 0
    return told | ({"examples": examples} if examples else {})


def _with_reference(fragment: Fragment) -> Fragment:
    """Return what may stand where a value has to fit `fragment`."""
    types = [fragment["type"]] if isinstance(fragment.get("type"), str) else list(fragment.get("type", ()))
    if "enum" in fragment and not types:
        either = [{"enum": fragment["enum"]}, {"type": "string", "pattern": _REFERENCE}]
        return {"anyOf": either, **{key: value for key, value in fragment.items() if key != "enum"}}
    if types and "string" not in types:
        return fragment | {"type": [*types, "string"], "pattern": _ONE_REFERENCE}
    if "pattern" in fragment and not re.search(fragment["pattern"], _PROBE):
        return fragment | {"pattern": f"(?:{fragment['pattern']})|{_REFERENCE}"}
    return fragment
