"""The words for YAML's traps: what a reader takes without a murmur, and not as its author meant it. Pure.

A trap says the cause and the fix; the place is for whoever met it to add. The codes are stable.
"""

from __future__ import annotations

from typing import NamedTuple


class Trap(NamedTuple):
    """What is wrong, without where."""

    code: str
    message: str
    help: str | None = None


MANY_DOCUMENTS = Trap(
    "many-documents",
    "a second document starts here; a workflow file holds one",
    "put the second into a file of its own; 'include' brings it in",
)
UNUSABLE_ESCAPE = Trap(
    "control-character",
    "the escapes in this text make a NUL or half a character, which no program can be given",
    "take the escape out",
)
COLLECTION_KEY = Trap("collection-key", "this key is a list or a mapping; keys are text", "write a name here")
MERGE_KEY = Trap(
    "merge-key", "'<<' takes a mapping or a list of mappings", "write '<<: *name', where name marks a mapping"
)


def duplicate_key(key: str, first_line: int) -> Trap:
    """Say that a mapping has `key` twice."""
    return Trap(
        "duplicate-key",
        f"'{key}' is given twice; first on line {first_line}",
        "YAML readers would silently keep one of them: remove or rename the other",
    )


def second_merge(first_line: int) -> Trap:
    """Say that a mapping has two merge keys."""
    message = f"'<<' is given twice; first on line {first_line}"
    return Trap("duplicate-key", message, "put both into one list: '<<: [*one, *two]'")


def boolean_key(key: str) -> Trap:
    """Say that YAML 1.1 readers take this key for a truth value."""
    message = f"many YAML readers take the key {key} for true or false"
    return Trap("boolean-key", message, f"quote it if text is meant: '{key}'")


def null_key(key: str) -> Trap:
    """Say that a key is null or left out."""
    if not key:
        return Trap("null-key", "there is no key before this ':'", "write a name there")
    return Trap("null-key", f"the key {key} means null in YAML", f"quote it if text is meant: '{key}'")


def number_key(key: str) -> Trap:
    """Say that a key is a number."""
    return Trap("number-key", f"the key {key} is a number; keys are text", f"quote it: '{key}'")


def tag(name: str) -> Trap:
    """Say that a tag is not one of the core schema."""
    shown = name.replace("tag:yaml.org,2002:", "!!", 1)
    help_ = "remove it; a text that starts with '!' needs quotes"
    return Trap("yaml-tag", f"the tag {shown} has no meaning here", help_)


def tag_misfit(name: str, value: str) -> Trap:
    """Say that a core tag and its value do not fit."""
    shown = name.replace("tag:yaml.org,2002:", "!!", 1)
    message = f"{shown} does not fit the value {value[:40]!r}"
    return Trap("yaml-tag", message, "remove the tag or change the value")


def alias_bomb(limit: int) -> Trap:
    """Say that aliases would grow the file beyond reason."""
    message = f"the aliases up to here repeat more than {limit:,} values"
    return Trap("alias-bomb", message, "write out what is needed, or generate the file")


def recursive_alias(name: str) -> Trap:
    """Say that an alias stands inside what it names."""
    message = f"*{name} stands inside the value that it names, so it would never end"
    return Trap("recursive-alias", message, f"move what *{name} should repeat out of it")


def unknown_alias(name: str, suggestion: str | None) -> Trap:
    """Say that nothing is marked with this name."""
    quote = f"mark a value with &{name} above, or quote the text if it is meant to start with '*'"
    return Trap("unknown-alias", f"nothing above is marked &{name}", suggestion or quote)


def too_deep(limit: int) -> Trap:
    """Say that collections nest too deep."""
    return Trap("too-deep", f"this is nested more than {limit} levels deep", "flatten it")


def too_many_nodes(limit: int) -> Trap:
    """Say that there are too many values."""
    message = f"the file holds more than {limit:,} values"
    return Trap("too-large", message, "keep data in data files, which handlers read")
