"""The keys that say how items flow: what bounds a queue and what it does when full, who gets an item, in what order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.spec import QueueSpec, WhenFull

Fragment = dict[str, Any]

_PATH_PATTERN = r"^[^\s.]+(\.[^\s.]+)*$"


def queue_flow_keys(size: Callable[[str], Fragment]) -> Fragment:
    """Return the keys of a queue by name. `size` makes the fragment of a size from its description."""
    return {
        "max_bytes": {
            **size(
                "The most bytes of pickled items, big arrays included, that may wait in it or be in its readers' hands "
                "and not done with. An item that is bigger fails at its put. `maxsize` holds as well. Without it, only "
                "the number of items is bounded. Items are then pickled one by one, and sent only as there is room: "
                "small ones travel more slowly. Needs `leased`."
            ),
            "examples": ["64MiB", "1GB"],
        },
        "when_full": {
            "enum": [str(choice) for choice in WhenFull],
            "default": str(QueueSpec("").when_full),
            "description": "What becomes of an item that is put to a full queue: `block` lets its writer wait; "
            "`drop_newest` drops it; `drop_oldest` drops what has waited longest and no reader holds; `fail` ends the "
            "run, naming queue and writer. Items that are dropped are counted, and told of a few times a second at "
            "the most; they are no failures. All but `block` need `leased`.",
        },
        "sentinel": {
            "type": ["null", "string", "number", "boolean"],
            "title": "null, a text, a number, true or false",
            "description": "What `get()` returns at the end of the queue to a handler that drives it itself: once to "
            "each reader, after every writer has finished and every item before it was taken. Without it, `get()` "
            "raises EndOfStream there, which ends the worker. No writer puts it: it takes no room, is no item of the "
            "ledger, and needs no `task_done()`. A handler that is called with items is not called with it.",
            "examples": [None, "end"],
        },
    }


def stage_flow_keys() -> Fragment:
    """Return the keys of a stage by name."""
    return {
        "shard_by": {
            "type": "string",
            "pattern": _PATH_PATTERN,
            "title": "a path such as user.id",
            "description": "The way from an item to its key, through mappings, attributes and places in lists; `item` "
            "is the item itself. Items with equal keys go to the same worker, in the order in which they were put, "
            "also when that worker dies and is restarted. A key is text, bytes, a number, or a tuple of these; an item "
            "without one fails at its put. An item that waits for its next attempt holds up those behind it, so with "
            "`retry` each worker has one item at a time. No other stage may read the queue. Needs `leased`.",
            "examples": ["user.id", "item"],
        },
        "order": {
            "enum": ["keep"],
            "description": "`keep`: what a pipe stage makes of its items goes on in the order of those items, however "
            "many workers it has. What is made early is held back; workers run ahead as far as the queue they write "
            "to has room for, or 10,000 items. No other stage may read its queue. Needs `leased`.",
        },
    }
