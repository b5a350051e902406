"""The parts that the schema of a workflow is made of: names, texts, durations, mappings with certain keys.

What stands as a `title` is the noun phrase for what is expected, as messages use it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.units import DURATION_PATTERN, SIZE_PATTERN

Fragment = dict[str, Any]

ALSO_KNOWN_AS = "x-also-known-as"
"""What other tools call a key: who writes that is told the word that is right here."""

# Any script is welcome. Written so that Python and ECMAScript agree on it: `\w` and `\p{L}` would not do.
NAME_PATTERN = (
    r"^(?![\s\S]*[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff])"  # no control characters, no half characters
    r"(?!\s)(?![\s\S]*\s$)"  # no space at either end
    r"[\s\S]*[^\s!-\/:-@\[-`{-~]"  # something that is neither space nor ASCII punctuation
)
ENV_NAME_PATTERN = r"^[^=\x00]+$"
NO_NUL_PATTERN = r"^[^\x00]*$"

NAMING = "any script; at least one letter or digit, no control characters, no space at either end"
NAME: Fragment = {"type": "string", "pattern": NAME_PATTERN, "title": "a name with a letter or digit in it"}
ENV_VALUE: Fragment = {
    "type": ["string", "number", "boolean"],
    "pattern": NO_NUL_PATTERN,
    "title": "text without NUL characters, a number, or true or false",
}


def closed(properties: Fragment, required: Iterable[str] = ()) -> Fragment:
    """A mapping with these keys and no others."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needed, "additionalProperties": False}


def named(entry: Fragment, description: str, **more: Any) -> Fragment:
    """Entries by names of the user's own."""
    named = {"type": "object", "propertyNames": NAME, "additionalProperties": entry}
    return {**named, "description": f"{description} Names: {NAMING}.", **more}


def text(description: str, **more: Any) -> Fragment:
    """Any text."""
    return {"type": "string", "description": description, **more}


def texts(description: str, entry: Fragment, title: str) -> Fragment:
    """One text, or a list of them."""
    single = {key: value for key, value in entry.items() if key not in ("type", "title")}
    both = {"type": ["string", "array"], "items": entry, "uniqueItems": True, **single}
    return {**both, "title": title, "description": description}


def env(description: str) -> Fragment:
    """Environment variables by name."""
    names = {"type": "string", "pattern": ENV_NAME_PATTERN, "title": "a variable's name, without '='"}
    return {
        "type": "object",
        "propertyNames": names,
        "additionalProperties": ENV_VALUE,
        "description": description,
    }


def duration(description: str) -> Fragment:
    """A length of time."""
    return {
        "type": ["string", "number"],
        "pattern": DURATION_PATTERN,
        "exclusiveMinimum": 0,
        "maximum": 10**9,
        "title": "a duration such as 300ms, 1.5s, 2m or 1h30m, or a number of seconds",
        "description": description,
        "examples": ["300ms", "1h30m", 5],
    }


def size(description: str) -> Fragment:
    """A number of bytes."""
    return {
        "type": ["string", "integer"],
        "pattern": SIZE_PATTERN,
        "minimum": 1,
        "maximum": 2**63 - 1,
        "title": "a size such as 512MB or 4GiB, or a number of bytes",
        "description": description,
        "examples": ["512MB", "4GiB"],
    }
