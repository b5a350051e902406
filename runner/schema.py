"""The JSON Schema (draft 2020-12) of a workflow file, as one declaration.

The loader validates with it, editors complete from it, and the reference page is made from its descriptions.
It is closed: a key that is not declared here is an error, so that a slip never passes for a default.

Two habits keep it quick to validate with and easy to explain. Keywords of JSON Schema only look at values of
their own type, so a value that may be text or a list needs no `anyOf`. And a `title`, where there is one, is
the noun phrase for what is expected, as messages use it: "expected a duration such as 300ms, got …".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runner.handlers.base import HandlerKind
from runner.schema_flow import queue_flow_keys, stage_flow_keys
from runner.schema_policy import policy_keys
from runner.spec import Limits, QueueSpec, StageSpec, WorkflowSpec
from runner.units import DURATION_PATTERN, SIZE_PATTERN

Fragment = dict[str, Any]

MOST_WORKERS = 10_000
LARGEST_QUEUE = 2**31 - 1
"""What a semaphore of the system counts up to."""
PARAM_TYPES = ("string", "integer", "number", "boolean", "array", "object")
TRANSPORTS = ("leased", "joinable", "inline")
START_METHODS = ("fork", "spawn")

# Any script is welcome. Written so that Python and ECMAScript agree on it: `\w` and `\p{L}` would not do.
NAME_PATTERN = (
    r"^(?![\s\S]*[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff])"  # no control characters, no half characters
    r"(?!\s)(?![\s\S]*\s$)"  # no space at either end
    r"[\s\S]*[^\s!-\/:-@\[-`{-~]"  # something that is neither space nor ASCII punctuation
)
HANDLER_PATTERN = r"^[^\s:]+:[^\s:]+$"
SHARE_PATTERN = r"^(100|[0-9]{1,2}(\.[0-9]+)?)%$"
ENV_NAME_PATTERN = r"^[^=\x00]+$"
NO_NUL_PATTERN = r"^[^\x00]*$"

NAMING = "any script; at least one letter or digit, no control characters, no space at either end"
_NAME: Fragment = {"type": "string", "pattern": NAME_PATTERN, "title": "a name with a letter or digit in it"}
_ENV_VALUE: Fragment = {
    "type": ["string", "number", "boolean"],
    "pattern": NO_NUL_PATTERN,
    "title": "text without NUL characters, a number, or true or false",
}


def workflow_schema(kinds: Mapping[str, HandlerKind]) -> Fragment:
    """Return the schema of a workflow file in which `run` may name any of `kinds`."""
    stage = _stage_keys(kinds)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mprun workflow",
        "description": "One workflow: stages of worker processes, and the queues between them.",
        **_closed(_top_level_keys(stage), required=("name", "stages")),
        "patternProperties": {"^x-": {"description": "Ignored: room for your own notes and YAML anchors."}},
    }


def _top_level_keys(stage: Fragment) -> Fragment:
    return {
        "name": {**_NAME, "description": "The workflow's name, shown wherever the run is."},
        "description": _text("What the workflow is for, in your own words."),
        "version": _text("Your own version of this workflow, as text.", examples=["1.0"]),
        "transport": {
            "enum": list(TRANSPORTS),
            "default": WorkflowSpec.__dataclass_fields__["transport"].default,
            "description": "How queues and workers exist. `leased`: each worker at a private stream, so that a worker "
            "may be killed at any moment and no item is lost. `joinable`: processes round "
            "`multiprocessing.JoinableQueue`, which one dead worker breaks: the run then ends. `inline`: everything in "
            "one process, one step at a time, for tests and debugging.",
        },
        "params": _named(param_schema(), "Values by name, for `--param name=value` to set."),
        "env": _env("Environment variables of every worker."),
        "queues": _named(_queue(), "Queues by name; one that stages use need not be listed here."),
        "stages": _named(_stage(stage), "Stages by name: pools of worker processes.", minProperties=1),
        "defaults": _defaults(stage),
        "limits": _limits(),
        "include": _texts(
            "Other workflow files, whose stages, queues, params, env, defaults and limits come in as if "
            "written here. Paths start at this file's folder.",
            {"type": "string", "minLength": 1},
            title="the path of a file, or a list of paths",
        ),
    }


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
        "description": _text("What the param is for."),
        "enum": {"type": "array", "minItems": 1, "description": "The only values it may have."},
        "minimum": {"type": "number", "description": "For numbers: the smallest value it may have."},
        "maximum": {"type": "number", "description": "For numbers: the largest value it may have."},
        "pattern": _text("For text: a regular expression that must be found in it.", examples=["^[a-z]+$"]),
        "minLength": {**length, "description": "For text: the fewest characters it may have."},
        "maxLength": {**length, "description": "For text: the most characters it may have."},
        "minItems": {**length, "description": "For lists: the fewest entries it may have."},
        "maxItems": {**length, "description": "For lists: the most entries it may have."},
    }
    one_of_the_two = [{"required": ["type"]}, {"required": ["default"]}]
    return {"description": "One param.", **_closed(keys), "anyOf": one_of_the_two}


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
        **queue_flow_keys(_size),
        "description": _text("What travels through the queue."),
    }
    return {"description": "One bounded, joinable queue: first in, first out.", **_closed(keys)}


def _stage(keys: Fragment) -> Fragment:
    return {
        "description": "A pool of processes that run the same handler. With only `to` it is a producer, "
        "with only `from` a consumer, with both a pipe stage, with neither a plain process.",
        **_closed(keys, required=("run",)),
        "not": {"required": ["count", "names"]},
    }


def _stage_keys(kinds: Mapping[str, HandlerKind]) -> Fragment:
    stage = {
        "run": _run(kinds),
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
            "items": _NAME,
            "minItems": 1,
            "maxItems": MOST_WORKERS,
            "uniqueItems": True,
            "title": "a list of names",
            "description": "The workers by name, instead of `count`.",
            "examples": [["neo", "alex", "egon"]],
        },
        "from": {**_NAME, "description": "The queue that it takes items from."},
        "to": {**_NAME, "description": "The queue that it puts items on."},
        "needs": _texts(
            "Stages that must have ended before this one starts.",
            _NAME,
            title="a stage's name, or a list of names",
        ),
        **stage_flow_keys(),
        "description": _text("What the stage does."),
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
        **policy_keys(_duration),
        "start_method": {
            "enum": list(START_METHODS),
            "default": _default_of("start_method"),
            "description": "How its processes begin: `fork` is quick, `spawn` is a fresh interpreter.",
        },
        "env": _env("Environment variables of its workers, on top of the workflow's own."),
        "cwd": _text(
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
        "timeout": _duration(
            "The longest its handler may take for one item; waiting for room downstream does not count. A worker "
            "that takes longer is killed, the item counts as one that killed its worker, and the worker is replaced "
            "as `restart` says. Needs `leased`; under `joinable` the death of a worker ends the run."
        ),
        "memory_limit": _size(
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
        "stage": {"description": "For every stage that does not say otherwise.", **_closed(for_stage)},
        "queue": {
            "description": "For every queue that does not say otherwise.",
            **_closed({"maxsize": maxsize}),
        },
    }
    return {"description": "What stages and queues have if they leave it out.", **_closed(keys)}


def _limits() -> Fragment:
    keys = {
        "timeout": _duration(
            "The longest the run may take; it is then stopped and exits 5. Without it, no bound."
        ),
        "stall_timeout": _duration(
            "The longest that nothing may move: no item put, taken or done, no worker started or ended. The run "
            "then fails, naming who holds it up, and exits 5. A worker within its stage's `timeout` counts as "
            "moving. Without it, nobody who is at work is disturbed, however long an item takes; a run in which "
            "all wait for each other ends after a minute."
        ),
        "stop_timeout": {
            **_duration("How long workers may take to end once they are asked to, before they are killed."),
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
    return {"description": "Bounds of the whole run.", **_closed(keys)}


def _closed(properties: Fragment, required: Iterable[str] = ()) -> Fragment:
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needed, "additionalProperties": False}


def _named(entry: Fragment, description: str, **more: Any) -> Fragment:
    named = {"type": "object", "propertyNames": _NAME, "additionalProperties": entry}
    return {**named, "description": f"{description} Names: {NAMING}.", **more}


def _text(description: str, **more: Any) -> Fragment:
    return {"type": "string", "description": description, **more}


def _texts(description: str, entry: Fragment, title: str) -> Fragment:
    """One text, or a list of them."""
    single = {key: value for key, value in entry.items() if key not in ("type", "title")}
    both = {"type": ["string", "array"], "items": entry, "uniqueItems": True, **single}
    return {**both, "title": title, "description": description}


def _env(description: str) -> Fragment:
    names = {"type": "string", "pattern": ENV_NAME_PATTERN, "title": "a variable's name, without '='"}
    return {
        "type": "object",
        "propertyNames": names,
        "additionalProperties": _ENV_VALUE,
        "description": description,
    }


def _duration(description: str) -> Fragment:
    return {
        "type": ["string", "number"],
        "pattern": DURATION_PATTERN,
        "exclusiveMinimum": 0,
        "maximum": 10**9,
        "title": "a duration such as 300ms, 1.5s, 2m or 1h30m, or a number of seconds",
        "description": description,
        "examples": ["300ms", "1h30m", 5],
    }


def _size(description: str) -> Fragment:
    return {
        "type": ["string", "integer"],
        "pattern": SIZE_PATTERN,
        "minimum": 1,
        "maximum": 2**63 - 1,
        "title": "a size such as 512MB or 4GiB, or a number of bytes",
        "description": description,
        "examples": ["512MB", "4GiB"],
    }


def _default_of(field: str) -> Any:
    """Defaults live in the spec; the schema only shows them."""
    return StageSpec.__dataclass_fields__[field].default
