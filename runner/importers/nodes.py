"""Reading nodes of YAML that may be anything: their lines, how they are written, texts and lists of texts in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from runner.importers.model import Note, Outcome
from runner.spec.keys import ENV_NAME_PATTERN
from runner.spec.source.positions import SourceNode
from runner.text import clip

_LONGEST = 80
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?(?:\s+#.*)?$")
"""Behind which the lines of a text begin."""
_ENV_NAME = re.compile(ENV_NAME_PATTERN)


def source_line(node: SourceNode) -> int:
    """Return the line of a node's key, or of the node where it has none."""
    return node.mark.at_key().span.line


def shown(node: SourceNode) -> str:
    """Return the line that a node stands in, in short."""
    text = node.mark.at_key().snippet.strip().removeprefix("- ")
    if isinstance(node.data, str) and (begun := _BLOCK.search(text)):
        text = text[: begun.start()] + next((line for line in node.data.splitlines() if line.strip()), "")
    return clip(" ".join(text.split()), _LONGEST)


def note(node: SourceNode, outcome: Outcome, said: str = "") -> Note:
    """Say what became of a node."""
    return Note(source_line(node), outcome, shown(node), said)


def text_of(node: SourceNode | None) -> str:
    """Return a scalar as text, numbers as they were typed; of anything else, nothing."""
    if node is None or node.data is None or isinstance(node.data, dict | list):
        return ""
    return written_scalar(node)


def written_scalar(node: SourceNode) -> str:
    """Return a scalar as it is written, `3.10` for the number 3.1."""
    if isinstance(node.data, str):
        return node.data
    text, start, end = node.mark.written()
    return text.text[start:end].strip("'\"") or str(node.data)


def texts_of(node: SourceNode | None) -> list[str]:
    """Return a text or a list of texts as a list, lists in it laid flat."""
    if node is None:
        return []
    if isinstance(node.data, list):
        return [text for each in node.items() for text in texts_of(each)]
    text = text_of(node)
    return [text] if text else []


def plain_data(node: SourceNode) -> Any:
    """Return a node's data with numbers that lose something by it, such as 3.10, as the texts that they are."""
    if isinstance(node.data, dict):
        return {key: plain_data(each) for key, each in node.entries().items()}
    if isinstance(node.data, list):
        return [plain_data(each) for each in node.items()]
    if isinstance(node.data, int | float) and not isinstance(node.data, bool):
        typed = written_scalar(node)
        return node.data if typed == str(node.data) else typed
    return node.data


def env_of(node: SourceNode) -> tuple[dict[str, Any], list[Note]]:
    """Return the variables of a mapping, with a note on each."""
    env: dict[str, Any] = {}
    notes: list[Note] = []
    for name, each in node.entries().items():
        if isinstance(each.data, dict | list) or not _ENV_NAME.match(name):
            notes.append(note(each, Outcome.LEFT, "a variable is a text"))
        else:
            env[name] = text_of(each)
            notes.append(note(each, Outcome.KEPT))
    return env, notes


Taking = Callable[[SourceNode], None]


def hand_out(
    node: SourceNode,
    known: Mapping[str, Taking],
    unknown: Callable[[str, SourceNode], None],
    order: Iterable[str] = (),
) -> None:
    """Hand each entry of a mapping to who knows its key: those of `order` first."""
    entries = node.entries()
    for key in (*(key for key in order if key in entries), *(key for key in entries if key not in order)):
        taking = known.get(key)
        if taking is None:
            unknown(key, entries[key])
        else:
            taking(entries[key])


def strings_in(data: Any) -> Iterator[str]:
    """Yield the texts in data."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for each in data.values():
            yield from strings_in(each)
    elif isinstance(data, list | tuple):
        for each in data:
            yield from strings_in(each)


def changed_strings(data: Any, change: Callable[[str], str]) -> Any:
    """Return data with each of its texts changed."""
    if isinstance(data, str):
        return change(data)
    if isinstance(data, dict):
        return {key: changed_strings(each, change) for key, each in data.items()}
    return [changed_strings(each, change) for each in data] if isinstance(data, list) else data
