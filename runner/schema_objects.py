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
