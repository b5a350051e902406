"""The schema of a stage that uses a template, and of the file that is one.

    stages:
      small:                                       templates/resize.yaml
        use: templates/resize.yaml   ──────────►     params: {size: {type: integer}}
        with: {size: 128}            ── checked ──►  queues: {between: {maxsize: 10}}
        queues: {in: photos}         ── renames ──►  stages: {shrink: {…, from: in, to: between}, …}

What stages and queues may have in a template is checked where they have been put in, as what it is then.
"""

from __future__ import annotations

from runner.loader.schema.workflow import USE, param_schema, use_key
from runner.spec.keys import NAME, Fragment, closed, named


def use_schema() -> Fragment:
    """Return the schema of a stage that uses a template."""
    return {
        "description": "A stage that stands for those of a template.",
        **closed(
            {
                USE: use_key(),
                "with": {
                    "type": "object",
                    "description": "The template's params by name. References are to what this file has.",
                },
                "queues": _names(
                    "Queues of the template that have another name here: those that it shares with "
                    "others. The rest are called `<name>-<queue>`."
                ),
                "stages": _names(
                    "Stages of the template that have another name here. The rest are called "
                    "`<name>-<stage>`."
                ),
                "description": {"type": "string", "description": "What it is used for."},
            },
            required=(USE,),
        ),
    }


def _names(description: str) -> Fragment:
    entry = {**NAME.fragment}
    return {"type": "object", "additionalProperties": entry, "description": description}


def uses_schema() -> Fragment:
    """Return the schema of a file of which only the stages that use templates are looked at."""
    return {"type": "object", "properties": {"stages": named(use_schema(), "")}}


def template_schema() -> Fragment:
    """Return the schema of a template, less what its stages and queues may have."""
    anything: Fragment = {"type": "object"}
    keys: Fragment = {
        "name": NAME.fragment,
        "description": {"type": "string"},
        "version": {"type": "string"},
        "params": named(param_schema(), "Values by name, for `with` to give."),
        "defaults": {**closed({"stage": anything, "queue": anything})},
        "queues": named(anything, ""),
        "stages": named({**anything, "title": "a mapping with the keys of a stage"}, "", minProperties=1),
    }
    return {**closed(keys, required=("stages",)), "patternProperties": {"^x-": {}}}
