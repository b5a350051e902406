"""Plain data -> YAML text as a person would write it: block style, in the order given, comments where they are wanted.

    {"run": "__live__:load"}, {"__live__:load": "lives in …"} ──► run: __live__:load  # lives in …

What is read from the text again is what was given: PyYAML quotes whatever would be read as something else. Texts with
`${{` in them are templates to whoever reads the file; what is meant as it is, is given as `as_template` makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

_WIDTH = 116


class _Dumper(yaml.SafeDumper):
    """Writes lists indented under their key, and texts of several lines as such."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not any(line.endswith(" ") for line in text.split("\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    short = all(not isinstance(each, list | dict) for each in values) and len(str(values)) < _WIDTH // 2
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=short)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def to_yaml(data: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """Return data of mappings, lists and scalars as YAML; each line that ends with one of `comments` gets that."""
    text = yaml.dump(
        dict(data),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=_WIDTH,
    )
    if not comments:
        return text
    return "".join(f"{_commented(line, comments)}\n" for line in text.splitlines())


def _commented(line: str, comments: Mapping[str, str]) -> str:
    last = line.rpartition(" ")[2].strip("'\"")
    return f"{line}  # {comments[last]}" if last in comments else line
