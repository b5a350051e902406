"""The templates of Go in Taskfiles and files of process-compose, where they are no more than names.

{{.NAME}}                   ${{ params.NAME }}, or the value where it is known
{{.NAME | default "x"}}     the same, with a default
{{if .X}}…                  left: that is a program
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ANY = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_NAME = re.compile(r"\.([A-Za-z_]\w*)")
_DEFAULT = re.compile(
    r"""\.([A-Za-z_]\w*)\s*\|\s*default\s+(?:"([^"]*)"|'([^']*)'|`([^`]*)`|(\d+))|default\s+"([^"]*)"\s+\.([A-Za-z_]\w*)"""
)
_DEFAULT_NAME = re.compile(
    r"default\s+\.([A-Za-z_]\w*)\s+\.([A-Za-z_]\w*)|\.([A-Za-z_]\w*)\s*\|\s*default\s+\.([A-Za-z_]\w*)"
)
_NOTHING_HERE = frozenset({"exeExt"})
"""What is empty on any system but Windows."""

Value = Callable[[str, str | None], str | None]
"""Returns what a name is to be replaced by, given its default; None leaves it."""


def has_templates(text: str) -> bool:
    """Say whether there is any template in a text."""
    return _ANY.search(text.replace("${{", "")) is not None


def filled(text: str, value: Value) -> tuple[str, list[str]]:
    """Return a text with its templates replaced, and those that could not be."""
    left: list[str] = []

    def replace(found: re.Match[str]) -> str:
        made = _replaced(found[1], value)
        if made is None:
            left.append(found[0])
            return found[0]
        return made

    return _ANY.sub(replace, text), left


def _replaced(inside: str, value: Value) -> str | None:
    if inside in _NOTHING_HERE or inside.startswith("/*"):
        return ""
    if quoted := re.fullmatch(r'"([^"]*)"|`([^`]*)`', inside):
        return quoted[1] if quoted[1] is not None else quoted[2]
    if name := _NAME.fullmatch(inside):
        return value(name[1], None)
    if either := _DEFAULT_NAME.fullmatch(inside):
        return value(either[2] or either[3], value(either[1] or either[4], None))
    if usual := _DEFAULT.fullmatch(inside):
        default = next(
            (text for text in (usual[2], usual[3], usual[4], usual[5], usual[6]) if text is not None), ""
        )
        return value(usual[1] or usual[7], default)
    return None
