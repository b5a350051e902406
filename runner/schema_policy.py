"""The keys that say what becomes of items that fail and of workers that die, for the schema of a stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.spec import OnError, RestartOn, RestartPolicy, RetryPolicy

_EXCEPTION_PATTERN = r"^[^\s.:]+(\.[^\s.:]+)*$"

Fragment = dict[str, Any]


def policy_keys(duration: Callable[[str], Fragment]) -> Fragment:
    """Return the keys by name. `duration` makes the fragment of a duration from its description."""
    return {
        "on_error": {
            "enum": [str(choice) for choice in OnError],
            "default": str(OnError.FAIL),
            "description": "When the handler raises on an item, and `retry` has no attempt left: `fail` ends the "
            "run, `skip` counts the item as failed and goes on, `dead_letter` also keeps it with its error, for "
            "`mprun dlq` to show and replay. `limits.max_errors` says how many a good run may have.",
        },
        "retry": _retry(duration),
        "restart": _restart(duration),
        "deterministic": {
            "type": "boolean",
            "default": False,
            "description": "For a producer: whether it makes the same items in the same order each time. One that "
            "is restarted then leaves out those that are already in the queue.",
        },
    }


def _retry(duration: Callable[[str], Fragment]) -> Fragment:
    usual = RetryPolicy()
    keys: Fragment = {
        "attempts": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1000,
            "title": "an integer of at least 1",
            "default": usual.attempts,
            "description": "How often an item is handed to the handler, the first time included. A worker's death "
            "counts too: with `1`, an item that is in hand when its worker dies is not handed out again. Without this "
            "key, an item that the handler raised on is not, and one that was in hand at a death is, once.",
        },
        "backoff": {
            **duration(
                "How long an item waits before its second attempt; twice as long before each further one."
            ),
            "default": usual.backoff,
        },
        "max_backoff": {**duration("The longest that it waits between two."), "default": usual.max_backoff},
        "on": {
            "type": ["string", "array"],
            "items": {"type": "string", "pattern": _EXCEPTION_PATTERN},
            "pattern": _EXCEPTION_PATTERN,
            "uniqueItems": True,
            "title": "the name of an exception, or a list of names",
            "description": "The exceptions that are worth another try, subclasses included: `ValueError`, or with "
            "their module as in `requests.Timeout`. Without it, all are.",
            "examples": ["ConnectionError", ["TimeoutError", "requests.Timeout"]],
        },
    }
    return {
        **_closed(keys),
        "description": "Whether an item that a handler raised on is tried again. While it waits it keeps its room "
        "in the queue, and others go on. The handler sees the number in `worker.attempt`. Needs `leased`.",
        "examples": [{"attempts": 3, "backoff": "1s", "on": "ConnectionError"}],
    }


def _restart(duration: Callable[[str], Fragment]) -> Fragment:
    usual = RestartPolicy()
    choices = [str(choice) for choice in RestartOn]
    keys: Fragment = {
        "on": {
            "enum": choices,
            "default": str(usual.on),
            "description": "`crash`: after a death; `always`: also where a worker ends by itself before the end of "
            "its stream; `never`.",
        },
        "max": {
            "type": "integer",
            "minimum": 0,
            "title": "an integer of at least 0",
            "default": usual.max,
            "description": "How many deaths of its workers are made good within `within`. One more fails the run. "
            "A worker that ends by its own fault before its first item, such as one that can't connect, is tried "
            "again after 100ms, then later and later, up to 5s, and as many times in a row as this says; where the "
            "stage has no `restart`, once. A death with an item in hand costs that item an attempt; the stage is only "
            "charged once the item has gone through. `0` allows none of any kind.",
        },
        "within": {**duration("The time in which deaths are counted."), "default": usual.within},
    }
    return {
        "type": ["object", "string"],
        "title": "a mapping, or one of crash, always and never",
        "pattern": f"^({'|'.join(choices)})$",
        "properties": keys,
        "additionalProperties": False,
        "description": "Whether a worker that dies is replaced by another of the same name. Under `leased`, "
        "consumers and pipe stages are, after a crash, five times within a minute; a producer only where this key "
        "is there, and its handler has a parameter `offset` or the stage is `deterministic`. An item that kills "
        "its workers becomes a dead letter, and its deaths do not count; where many in a row do so, none goes through "
        "and `limits.max_errors` is exceeded, the stage has failed. An exception that a handler lets pass "
        "outside any item fails the run, unless this key is there: then it counts as a crash.",
        "examples": [{"on": "crash", "max": 3, "within": "10m"}, "never"],
    }


def _closed(properties: Fragment) -> Fragment:
    return {"type": "object", "properties": properties, "additionalProperties": False}
