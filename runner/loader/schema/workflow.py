"""The JSON Schema (draft 2020-12) of a workflow file.

The loader validates with it, editors complete from it, and the reference page is made from its descriptions. It is
closed: a key that is not declared is an error, so that a slip never passes for a default. What the keys of a mapping
are is declared on the fields of the spec; here they are put together, with what no field says.

Two habits keep it quick to validate with and easy to explain. Keywords of JSON Schema only look at values of their own
type, so a value that may be text or a list needs no `anyOf`. And a `title`, where there is one, is the noun phrase for
what is expected, as messages use it: "expected a duration such as 300ms, got …".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.handlers.kinds import HandlerKind
from runner.spec.keys import (
    ALSO_KNOWN_AS,
    Fragment,
    closed,
    closed_mapping,
    fragments_of,
    named,
    text,
    texts,
    usual_fragments_of,
)
from runner.spec.model import StageSpec, WorkflowSpec
from runner.spec.resources import LockSpec, PipeSpec, QueueSpec, SharedSpec

USE = "use"
"""The key by which a stage stands for those of a template."""
PARAM_TYPES = ("string", "integer", "number", "boolean", "array", "object")


def workflow_schema(
    kinds: Mapping[str, HandlerKind], *, with_jobs: bool = True, with_tests: bool = True
) -> Fragment:
    """Return the schema of a workflow file in which `run` may name any of `kinds`.

    Without jobs, `jobs` is a key that has no keys of its own: enough for a file that has none. So are tests.
    """
    own = fragments_of(WorkflowSpec)
    keys = {
        **{name: own[name] for name in ("name", "description", "version", "transport")},
        "params": named(param_schema(), "Values by name, for `--param name=value` to set."),
        "env": own["env"],
        "queues": named(
            closed_mapping(QueueSpec), "Queues by name; one that stages use need not be listed here."
        ),
        "stages": named(_stage(kinds), "Stages by name: pools of worker processes.", minProperties=1),
        "jobs": _jobs(with_jobs),
        "default": own["default"],
        **_shared_sections(),
        "defaults": _defaults(with_jobs),
        "limits": own["limits"],
        "resume": own["resume"],
        "notify": own["notify"],
        "include": _include(),
        "tests": _tests(with_tests),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mprun workflow",
        "description": "One workflow: stages of worker processes and the queues between them, or jobs.",
        **closed(keys, required=("name",)),
        "not": {
            "required": ["stages", "jobs"],
            "description": "a workflow has one of them; put the other in a file",
        },
        "anyOf": [{"required": ["stages"]}, {"required": ["jobs"]}],
        "patternProperties": {"^x-": {"description": "Ignored: room for your own notes and YAML anchors."}},
    }


def _stage(kinds: Mapping[str, HandlerKind]) -> Fragment:
    stage = closed_mapping(StageSpec)
    stage["properties"]["run"]["properties"] = {
        name: {"description": kind.summary, **kind.options} for name, kind in kinds.items()
    }
    # `use` has been followed by the time that this judges: it is here to be known where it is misspelt.
    stage["properties"][USE] = use_key()
    return stage | {
        "not": {"required": ["count", "names"], "description": "keep one; 'names' says how many, too"}
    }


def use_key() -> Fragment:
    """Return the schema of `use`."""
    return {
        "type": "string",
        "minLength": 1,
        "description": "Instead of `run`: a template, which is a file with stages, queues and typed params. Its stages "
        "stand here as `<name>-<stage>`, and its queues are called `<name>-<queue>`. Beside it may stand `with`, with "
        "values for the template's params, and `queues` and `stages`, each a mapping from names in the template to "
        "the names to have here instead: `queues: {in: photos}`. The path starts at this file's folder.",
        "examples": ["templates/resize.yaml"],
        ALSO_KNOWN_AS: ["template", "uses", "extends"],
    }


def _jobs(wanted: bool) -> Fragment:
    if not wanted:
        return {}
    from runner.loader.schema.jobs import jobs_section  # only those who have jobs wait for it

    return jobs_section()


def _tests(wanted: bool) -> Fragment:
    if not wanted:
        return {}
    from runner.spec.file_tests.model import file_tests_schema  # only those who have tests wait for it

    return file_tests_schema()


def _shared_sections() -> Fragment:
    """What a file declares for its handlers to share."""
    lock = closed_mapping(LockSpec) | {"type": ["object", "null"], "title": "a mapping, or nothing"}
    return {
        "locks": named(
            lock,
            "Locks by name, for handlers that must not do a thing at the same time. A stage names one in `lock`; or a "
            "handler has a parameter of that name, and gets it with the methods of `multiprocessing.Lock`: "
            "`with mutex:`, `acquire(timeout=…)`, `release()`, `locked()`.",
            examples=[{"mutex": {"description": "Whoever prints."}}],
        ),
        "shared": named(
            closed_mapping(SharedSpec),
            "Objects that workers share, by name: a handler that has a parameter of that name gets it. A process of "
            "the run's own holds them, so each use is a message to it and back: for a board that some look at, not for "
            "items. Steps of several uses, such as `board['x'] += 1`, need a lock to be whole. Under `inline` a "
            "handler gets the thing itself.",
            examples=[{"board": {"kind": "dict"}, "scores": {"kind": "Array", "type": "i", "value": [0, 0]}}],
        ),
        "pipes": named(
            closed_mapping(PipeSpec),
            "Pipes between two workers, by name: a handler that has a parameter of that name gets its end, a "
            "`multiprocessing.connection.Connection`. When one of the two ends, or is killed, the other's `recv()` "
            "raises EOFError. Not under `inline`.",
            examples=[{"wire": {"ends": ["asker", "answerer"]}}],
        ),
    }


def _defaults(with_jobs: bool) -> Fragment:
    """The keys that make sense as defaults, each described where it belongs."""
    keys = {
        "stage": {
            "description": "For every stage that does not say otherwise.",
            **closed(usual_fragments_of(StageSpec)),
        },
        "queue": {
            "description": "For every queue that does not say otherwise.",
            **closed(usual_fragments_of(QueueSpec)),
        },
        "job": _job_defaults() if with_jobs else {"type": "object"},
    }
    return {"description": "What stages, queues and jobs have if they leave it out.", **closed(keys)}


def _job_defaults() -> Fragment:
    from runner.spec.jobs.model import LegSpec  # only those who have jobs wait for it

    return {
        "description": "For every job that does not say otherwise; `env` is joined. In a job `null` takes one away.",
        **closed(usual_fragments_of(LegSpec)),
    }


def _include() -> Fragment:
    paths = texts(text(minLength=1), "the path of a file, or a list of paths")
    return paths.fragment | {
        "description": "Other workflow files, whose stages, queues, jobs, params, env, defaults and limits come in as "
        "if written here. Paths start at this file's folder."
    }


def param_schema() -> Fragment:
    """Return the schema of one entry of `params`, which is itself the schema of a value."""
    length = {"type": "integer", "minimum": 0}
    words: Fragment = {
        "type": {
            "enum": list(PARAM_TYPES),
            "description": "What the value must be. Left out, `default` shows it: one of the two is needed.",
        },
        "default": {
            "description": "The value if `--param` gives none. Without a default, `--param` must give one.",
            "type": ["string", "number", "boolean", "array", "object"],
        },
        "description": {"type": "string", "description": "What the param is for."},
        "enum": {"type": "array", "minItems": 1, "description": "The only values it may have."},
        "minimum": {"type": "number", "description": "For numbers: the smallest value it may have."},
        "maximum": {"type": "number", "description": "For numbers: the largest value it may have."},
        "pattern": {
            "type": "string",
            "description": "For text: a regular expression that must be found in it.",
            "examples": ["^[a-z]+$"],
        },
        "minLength": {**length, "description": "For text: the fewest characters it may have."},
        "maxLength": {**length, "description": "For text: the most characters it may have."},
        "minItems": {**length, "description": "For lists: the fewest entries it may have."},
        "maxItems": {**length, "description": "For lists: the most entries it may have."},
    }
    one_of_the_two: list[Any] = [{"required": ["type"]}, {"required": ["default"]}]
    return {"description": "One param.", **closed(words), "anyOf": one_of_the_two}
