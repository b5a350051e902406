"""The keys that say what a file declares for its handlers to share, for the schema: locks, and who works under them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Fragment = dict[str, Any]

Named = Callable[..., Fragment]
"""Makes the fragment of a section whose names the file chooses, from that of an entry and a description."""


def lock_section(named: Named) -> Fragment:
    """Return the fragment of `locks`."""
    entry: Fragment = {
        "type": ["object", "null"],
        "title": "a mapping, or nothing",
        "description": "One lock: held by one worker at a time, and let go by the system when that worker dies.",
        "properties": {"description": {"type": "string", "description": "What it is held for."}},
        "additionalProperties": False,
    }
    return named(
        entry,
        "Locks by name, for handlers that must not do a thing at the same time. A stage names one in `lock`; or a "
        "handler has a parameter of that name, and gets it with the methods of `multiprocessing.Lock`: "
        "`with mutex:`, `acquire(timeout=…)`, `release()`, `locked()`.",
        examples=[{"mutex": {"description": "Whoever prints."}}],
    )


def shared_section(named: Named) -> Fragment:
    """Return the fragment of `shared`."""
    keys: Fragment = {
        "kind": {
            "enum": ["dict", "list", "Namespace", "Value", "Array", "Event"],
            "description": "What it is, as `multiprocessing.Manager()` has it: handlers get a proxy with its methods.",
        },
        "value": {
            "type": ["object", "array", "number", "boolean", "string"],
            "description": "What it holds at first. Without it, nothing, or zero.",
        },
        "type": {
            "enum": list("bBhHiIlLqQfd"),
            "description": "For a `Value` or an `Array`: the type of its numbers, as in Python's `array`: `i` is an "
            "integer, `q` a long one, `d` a float.",
        },
        "description": {"type": "string", "description": "What it is for."},
    }
    entry: Fragment = {
        "type": "object",
        "description": "One object that a process of its own holds.",
        "properties": keys,
        "required": ["kind"],
        "additionalProperties": False,
    }
    return named(
        entry,
        "Objects that workers share, by name: a handler that has a parameter of that name gets it. A process of the "
        "run's own holds them, so each use is a message to it and back: for a board that some look at, not for items. "
        "Steps of several uses, such as `board['x'] += 1`, need a lock to be whole. Under `inline` a handler gets the "
        "thing itself.",
        examples=[{"board": {"kind": "dict"}, "scores": {"kind": "Array", "type": "i", "value": [0, 0]}}],
    )


def pipe_section(named: Named, name: Fragment) -> Fragment:
    """Return the fragment of `pipes`; `name` is the fragment of a name."""
    keys: Fragment = {
        "ends": {
            "type": "array",
            "items": name,
            "minItems": 2,
            "title": "a list of two stages",
            "description": "The two stages that it joins: plain ones, of one worker each.",
            "examples": [["asker", "answerer"]],
        },
        "description": {"type": "string", "description": "What is said through it."},
    }
    entry: Fragment = {
        "type": "object",
        "description": "One pipe, both ways.",
        "properties": keys,
        "required": ["ends"],
        "additionalProperties": False,
    }
    return named(
        entry,
        "Pipes between two workers, by name: a handler that has a parameter of that name gets its end, a "
        "`multiprocessing.connection.Connection`. When one of the two ends, or is killed, the other's `recv()` raises "
        "EOFError. Not under `inline`.",
        examples=[{"wire": {"ends": ["asker", "answerer"]}}],
    )


def stage_lock_key(name: Fragment) -> Fragment:
    """Return the key of a stage by name; `name` is the fragment of a name."""
    return {
        "lock": {
            **name,
            "description": "The lock, one of `locks`, that a worker holds while its handler is at work: a plain worker "
            "for the whole of its run, a reader round each item, a producer while it makes each. Never while it waits "
            "at a queue: what a handler yields for an item is gathered, and put once the lock is free. A handler that "
            "drives its queue asks for the lock by its name instead.",
            "examples": ["mutex"],
        },
    }
