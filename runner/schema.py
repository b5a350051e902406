"""The JSON Schema (draft 2020-12) of a workflow file, as one declaration.

The loader validates with it, editors complete from it, and the reference page is made from its descriptions.
It is closed: a key that is not declared here is an error, so that a slip never passes for a default.

Two habits keep it quick to validate with and easy to explain. Keywords of JSON Schema only look at values of
their own type, so a value that may be text or a list needs no `anyOf`. And a `title`, where there is one, is
the noun phrase for what is expected, as messages use it: "expected a duration such as 300ms, got …".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.handlers.base import HandlerKind
from runner.schema_flow import queue_flow_keys, stage_flow_keys
from runner.schema_objects import lock_section, pipe_section, shared_section, stage_lock_key
from runner.schema_parts import NAME, closed, duration, env, named, size, text, texts
from runner.schema_policy import policy_keys
from runner.spec import Limits, QueueSpec, StageSpec, Start, WorkflowSpec

Fragment = dict[str, Any]

MOST_WORKERS = 10_000
LARGEST_QUEUE = 2**31 - 1
"""What a semaphore of the system counts up to."""
PARAM_TYPES = ("string", "integer", "number", "boolean", "array", "object")
TRANSPORTS = ("leased", "joinable", "inline")
START_METHODS = ("fork", "spawn")

HANDLER_PATTERN = r"^[^\s:]+:[^\s:]+$"
SHARE_PATTERN = r"^(100|[0-9]{1,2}(\.[0-9]+)?)%$"


def workflow_schema(kinds: Mapping[str, HandlerKind], *, with_jobs: bool = True) -> Fragment:
    """Return the schema of a workflow file in which `run` may name any of `kinds`.

    Without jobs, `jobs` is a key that has no keys of its own: enough for a file that has none.
    """
    stage = _stage_keys(kinds)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mprun workflow",
        "description": "One workflow: stages of worker processes and the queues between them, or jobs.",
        **closed({**_top_level_keys(stage), "jobs": _jobs(with_jobs)}, required=("name",)),
        "not": {
            "required": ["stages", "jobs"],
            "description": "a workflow has one of them; put the other in a file",
        },
        "anyOf": [{"required": ["stages"]}, {"required": ["jobs"]}],
        "patternProperties": {"^x-": {"description": "Ignored: room for your own notes and YAML anchors."}},
    }


def _top_level_keys(stage: Fragment) -> Fragment:
    return {
        "name": {**NAME, "description": "The workflow's name, shown wherever the run is."},
        "description": text("What the workflow is for, in your own words."),
        "version": text("Your own version of this workflow, as text.", examples=["1.0"]),
        "transport": {
            "enum": list(TRANSPORTS),
            "default": WorkflowSpec.__dataclass_fields__["transport"].default,
            "description": "How queues and workers exist. `leased`: each worker at a private stream, so that a worker "
            "may be killed at any moment and no item is lost. `joinable`: processes round "
            "`multiprocessing.JoinableQueue`, which one dead worker breaks: the run then ends. `inline`: everything in "
            "one process, one step at a time, for tests and debugging.",
        },
        "params": named(param_schema(), "Values by name, for `--param name=value` to set."),
        "env": env("Environment variables of every worker."),
        "queues": named(_queue(), "Queues by name; one that stages use need not be listed here."),
        "stages": named(_stage(stage), "Stages by name: pools of worker processes.", minProperties=1),
        "jobs": {},
        "locks": lock_section(named),
        "shared": shared_section(named),
        "pipes": pipe_section(named, NAME),
        "defaults": _defaults(stage),
        "limits": _limits(),
        "include": texts(
            "Other workflow files, whose stages, queues, jobs, params, env, defaults and limits come in as if "
            "written here. Paths start at this file's folder.",
            {"type": "string", "minLength": 1},
            title="the path of a file, or a list of paths",
        ),
    }


def _jobs(wanted: bool) -> Fragment:
    if not wanted:
        return {}
    from runner.schema_jobs import jobs_section  # only those who have jobs wait for it

    return jobs_section()


def param_schema() -> Fragment:
    """Return the schema of one entry of `params`."""
    length = {"type": "integer", "minimum": 0}
    keys: Fragment = {
        "type": {
            "enum": list(PARAM_TYPES),
            "description": "What the value must be. Left out, `default` shows it: one of the two is needed.",
        },
        "default": {
            "description": "The value if `--param` gives none. Without a default, `--param` must give one.",
            "type": ["string", "number", "boolean", "array", "object"],
        },
        "description": text("What the param is for."),
        "enum": {"type": "array", "minItems": 1, "description": "The only values it may have."},
        "minimum": {"type": "number", "description": "For numbers: the smallest value it may have."},
        "maximum": {"type": "number", "description": "For numbers: the largest value it may have."},
        "pattern": text("For text: a regular expression that must be found in it.", examples=["^[a-z]+$"]),
        "minLength": {**length, "description": "For text: the fewest characters it may have."},
        "maxLength": {**length, "description": "For text: the most characters it may have."},
        "minItems": {**length, "description": "For lists: the fewest entries it may have."},
        "maxItems": {**length, "description": "For lists: the most entries it may have."},
    }
    one_of_the_two = [{"required": ["type"]}, {"required": ["default"]}]
    return {"description": "One param.", **closed(keys), "anyOf": one_of_the_two}


def _queue() -> Fragment:
    keys = {
        "maxsize": {
            "type": "integer",
            "minimum": 1,
            "maximum": LARGEST_QUEUE,
            "title": "an integer of at least 1",
            "default": QueueSpec("").maxsize,
            "description": "The most items that may wait in it. Whoever puts to a full queue waits, if `when_full` "
            "says nothing else.",
        },
        **queue_flow_keys(size),
        "description": text("What travels through the queue."),
    }
    return {"description": "One bounded, joinable queue: first in, first out.", **closed(keys)}


def _stage(keys: Fragment) -> Fragment:
    return {
        "description": "A pool of processes that run the same handler. With only `to` it is a producer, "
        "with only `from` a consumer, with both a pipe stage, with neither a plain process.",
        **closed(keys, required=("run",)),
        "not": {"required": ["count", "names"], "description": "keep one; 'names' says how many, too"},
    }


def _stage_keys(kinds: Mapping[str, HandlerKind]) -> Fragment:
    stage = {
        "run": _run(kinds),
        "args": {
            "type": "array",
            "title": "a list",
            "description": "Arguments by place for a Python handler, as `args` of `multiprocessing.Process`. They go "
            "to its parameters in their order, but for those that mprun fills: `worker`, `queue`, the item.",
            "examples": [["neo", 3]],
        },
        "with": {
            "type": "object",
            "description": "Arguments by name for a Python handler: for the function, or to build the class.",
        },
        "count": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_WORKERS,
            "default": 1,
            "description": "How many workers, called `<stage>-1`, `<stage>-2` and so on. Not with `names`.",
        },
        "names": {
            "type": "array",
            "items": NAME,
            "minItems": 1,
            "maxItems": MOST_WORKERS,
            "uniqueItems": True,
            "title": "a list of names",
            "description": "The workers by name, instead of `count`.",
            "examples": [["neo", "alex", "egon"]],
        },
        "from": {**NAME, "description": "The queue that it takes items from."},
        "to": {**NAME, "description": "The queue that it puts items on."},
        "needs": texts(
            "Stages that must have ended before this one starts.",
            NAME,
            title="a stage's name, or a list of names",
        ),
        "start": {
            "enum": [str(choice) for choice in Start],
            "default": str(_default_of("start")),
            "description": "`parallel`: all its workers start at once. `serial`: one after the other, in the order of "
            "their names; the next starts when the one before has ended. For stages that read no queue, since the "
            "first reader would leave nothing for the next.",
        },
        **stage_lock_key(NAME),
        **stage_flow_keys(),
        "description": text("What the stage does."),
    }
    return stage | _process_keys()


def _process_keys() -> Fragment:
    """The keys that say what a worker's process is like: those that make sense as defaults for all stages."""
    return {
        "daemon": {
            "type": "boolean",
            "default": False,
            "description": "Whether the run may end while this stage still waits for items: once all the "
            "other stages have ended and the queues are joined, its workers are stopped.",
        },
        **policy_keys(duration),
        "start_method": {
            "enum": list(START_METHODS),
            "default": _default_of("start_method"),
            "description": "How its processes begin: `fork` is quick, `spawn` is a fresh interpreter.",
        },
        "env": env("Environment variables of its workers, on top of the workflow's own."),
        "cwd": text(
            "The folder its workers work in. A relative path starts at the workflow file's folder.",
            pattern=r"^[^\x00]+$",
            title="the path of a folder",
        ),
        "nice": {
            "type": "integer",
            "minimum": -20,
            "maximum": 19,
            "default": _default_of("nice"),
            "description": "How much its workers give way to others: 19 the most; below 0 needs privileges.",
        },
        "timeout": duration(
            "The longest its handler may take for one item; waiting for room downstream does not count. A worker "
            "that takes longer is killed, the item counts as one that killed its worker, and the worker is replaced "
            "as `restart` says. Needs `leased`; under `joinable` the death of a worker ends the run."
        ),
        "memory_limit": size(
            "The most memory of its own a worker may have: its heap and private mappings, not what it shares "
            "(RLIMIT_DATA). A handler that asks for more gets a MemoryError, which fails the item. Processes that "
            "it starts have the same limit, each for itself."
        ),
    }


def _run(kinds: Mapping[str, HandlerKind]) -> Fragment:
    return {
        "type": ["string", "object"],
        "title": "`module:callable`, or a mapping with one kind of handler",
        "description": "What its workers run: a Python callable, looked up beside the file first and then "
        "on the import path, or one kind of handler with its options.",
        "examples": ["baozi:steam", {"lines": {"path": "access.log"}}],
        "pattern": HANDLER_PATTERN,
        "properties": {name: {"description": kind.summary, **kind.options} for name, kind in kinds.items()},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _defaults(stage: Fragment) -> Fragment:
    """The keys that make sense as defaults, each described where it belongs."""
    maxsize = {
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": LARGEST_QUEUE,
        "pattern": "^unbounded$",
        "title": "an integer of at least 1, or 'unbounded'",
        "default": QueueSpec("").maxsize,
        "description": "The `maxsize` of queues that give none; `unbounded` takes every bound away.",
    }
    for_stage = {key: stage[key] for key in ("count", *_process_keys())}
    keys = {
        "stage": {"description": "For every stage that does not say otherwise.", **closed(for_stage)},
        "queue": {
            "description": "For every queue that does not say otherwise.",
            **closed({"maxsize": maxsize}),
        },
    }
    return {"description": "What stages and queues have if they leave it out.", **closed(keys)}


def _limits() -> Fragment:
    keys = {
        "timeout": duration(
            "The longest the run may take; it is then stopped and exits 5. Without it, no bound."
        ),
        "stall_timeout": duration(
            "The longest that nothing may move: no item put, taken or done, no worker started or ended. The run "
            "then fails, naming who holds it up, and exits 5. A worker within its stage's `timeout` counts as "
            "moving. Without it, nobody who is at work is disturbed, however long an item takes; a run in which "
            "all wait for each other ends after a minute."
        ),
        "stop_timeout": {
            **duration("How long workers may take to end once they are asked to, before they are killed."),
            "default": Limits().stop_timeout,
        },
        "max_errors": {
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": SHARE_PATTERN,
            "title": "an integer of at least 0, or a share such as 1%",
            "default": int(Limits().max_errors),
            "description": "How many items may fail in a run that still exits 0: a number for the whole run, or a "
            "share such as `1%` of the items of each queue. The stages that read a queue may fail on that share of "
            "what was put on it, so that more stages do not make the share more generous.",
            "examples": [10, "1%"],
        },
    }
    return {"description": "Bounds of the whole run.", **closed(keys)}


def _default_of(field: str) -> Any:
    """Defaults live in the spec; the schema only shows them."""
    return StageSpec.__dataclass_fields__[field].default
