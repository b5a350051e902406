"""The page of reference for a kind of document, from its JSON Schema. Pure: a schema in, Markdown out.

    {"properties": {"queues": {…}}} ──► ## `queues.<name>` ──► - `maxsize`: an integer of at least 1. The most items …

Every key is described where it is declared, and nowhere else: what the page says is what the loader checks.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from runner.facts import dataclass
from runner.loader.schema.wording import expected

_WIDTH = 120
_BARE_TYPES = {"string": "text", "array": "a list", "object": "a mapping"}

ReadOnlyFragment = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Style:
    """What stands behind a key that must be there, and behind one that need not; how a repetition is shown."""

    required: str = ""
    optional: str = ""
    refers: bool = False
    """Whether a key that is described elsewhere on the page is only referred to."""


TO_WRITE = Style(required=" (required)", refers=True)
"""For a document that people write: they want to know what they can't leave out."""
TO_READ = Style(optional=" (not always there)")
"""For one that mprun writes: whoever reads it wants to know what may be missing."""


WHICH_YAML = (
    "The file is YAML 1.2, or JSON, in UTF-8, with one document. Without quotes `true` and `false` are truth values, "
    "`null` and `~` nothing, and what looks like a number is one, except for `0777`, `1_000` and `12:30`, which "
    "readers do not agree about: these stay text, and so do `yes`, `no`, `on` and dates. Keys are text. Anchors, "
    "aliases and `<<` are followed, and what `<<` brings in comes before the own keys; an anchor's name has letters a "
    "to z, digits, `-` and `_`. Tags are refused but for YAML's own, such as `!!str`. A tab may not indent; where "
    "PyYAML was built without libyaml, which its wheels have, one may not stand before or behind a value either."
)


def schema_page(schema: ReadOnlyFragment, style: Style = TO_WRITE, *, notes: Sequence[str] = ()) -> str:
    """Return the page. `notes` are paragraphs below the title: how the page was made, say."""
    introduction = [str(schema.get("description", "")), *notes]
    parts = [f"# {schema['title']}", *(line for text in introduction for line in _wrapped(text))]
    page = _Page(style)
    for section in _kinds(schema["oneOf"]) if "oneOf" in schema else _sections(_Section("", schema)):
        parts += page.lines_of(section)
    return "\n\n".join(part for part in parts if part) + "\n"


@dataclass(frozen=True, slots=True)
class _Section:
    """One mapping of the document: where it is, and what keys it has."""

    path: str
    fragment: ReadOnlyFragment


def _sections(section: _Section) -> Iterator[_Section]:
    """Yield a mapping that has keys of its own, and those below it, in the order of their declaration."""
    yield section
    for key, fragment in _keys(section.fragment).items():
        path = f"{section.path}.{key}".removeprefix(".")
        yield from _below(path, fragment)


def _below(path: str, fragment: ReadOnlyFragment) -> Iterator[_Section]:
    named, listed = fragment.get("additionalProperties"), fragment.get("items")
    if _keys(fragment):
        yield from _sections(_Section(path, fragment))
    elif isinstance(named, Mapping) and _keys(named):
        yield from _sections(_Section(f"{path}.<name>", named))
    elif isinstance(listed, Mapping) and _keys(listed):
        yield from _sections(_Section(f"{path}[]", listed))


def _kinds(kinds: list[ReadOnlyFragment]) -> Iterator[_Section]:
    """Yield one section for each kind of a document that comes in several, after one for what they share."""
    shared = {
        key: fragment
        for key, fragment in _keys(kinds[0]).items()
        if all(_keys(kind).get(key) == fragment for kind in kinds)
    }
    required = [key for key in shared if key in kinds[0].get("required", ())]
    yield _Section("", {"properties": shared, "required": required})
    for kind in kinds:
        own = {
            key: fragment
            for key, fragment in _keys(kind).items()
            if key not in shared and "const" not in fragment
        }
        yield _Section(kind["title"], {**kind, "properties": own})


def _keys(fragment: ReadOnlyFragment) -> Mapping[str, ReadOnlyFragment]:
    keys: Mapping[str, ReadOnlyFragment] = fragment.get("properties", {})
    return keys


@dataclass(slots=True)
class _Page:
    """What was said so far, so that a key that is declared once is described once."""

    style: Style
    described: list[tuple[str, ReadOnlyFragment, str]] = field(default_factory=list)
    referred: set[str] = field(default_factory=set)

    def lines_of(self, section: _Section) -> list[str]:
        """Return the blocks of one section: heading, what it is, its keys. Nothing if it is referred to."""
        if section.path in self.referred:
            return []
        about = _wrapped(section.fragment.get("description", "")) if section.path else []
        required = section.fragment.get("required", ())
        rows = [
            self._row(section.path, key, fragment, key in required)
            for key, fragment in _keys(section.fragment).items()
        ]
        free = [
            _bullet(f"{pattern.removeprefix('^')}…", fragment["description"])
            for pattern, fragment in section.fragment.get("patternProperties", {}).items()
        ]
        return [f"## `{section.path}`" if section.path else "## At the top", *about, "\n".join(rows + free)]

    def _row(self, path: str, key: str, fragment: ReadOnlyFragment, required: bool) -> str:
        known = next((at for name, other, at in self.described if (name, other) == (key, fragment)), None)
        if known and self.style.refers:
            self.referred.add(f"{path}.{key}")
            return _bullet(key, f"as in `{known}`.")
        self.described.append((key, fragment, path))
        return _bullet(key, _meaning(fragment, self.style.required if required else self.style.optional))


def _meaning(fragment: ReadOnlyFragment, mark: str) -> str:
    what = _what(fragment) + mark
    sentences = [f"{what.strip()}." if what else "", fragment.get("description", "")]
    if "default" in fragment:
        sentences.append(f"Default: {_code(fragment['default'])}.")
    if fragment.get("examples"):
        sentences.append(f"Such as {', '.join(map(_code, fragment['examples']))}.")
    return " ".join(filter(None, sentences))


def _what(fragment: ReadOnlyFragment) -> str:
    """Say in a few words what the value is; nothing where it may be anything."""
    if "enum" in fragment and "title" not in fragment:
        return "one of " + ", ".join(map(_code, fragment["enum"]))
    kind = fragment.get("type")
    if isinstance(kind, str) and kind in _BARE_TYPES and "pattern" in fragment and "title" not in fragment:
        return _BARE_TYPES[kind]  # a regular expression helps a machine; the description says it in words
    of_rows = _keys(fragment.get("items", {})) if kind == "array" else {}
    if of_rows and not any("description" in row for row in of_rows.values()):
        # Else they have their own section.
        return f"a list of mappings with {', '.join(map(_code, of_rows))}"
    return expected(fragment) if kind is not None else ""


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


_AS_WRITTEN: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def _bullet(key: str, text: str) -> str:
    return "\n".join(textwrap.wrap(f"- `{key}`: {text}", _WIDTH, subsequent_indent="  ", **_AS_WRITTEN))


def _wrapped(text: str) -> list[str]:
    return ["\n".join(textwrap.wrap(text, _WIDTH, **_AS_WRITTEN))] if text else []
