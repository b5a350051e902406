"""References in a script for a POSIX shell: each becomes a parameter of the shell's own. Pure.

    rm ${{ item }} '${{ item.old }}'  ──as_script──►  rm "${1}" ''"${2}"''  and  ["${{ item }}", "${{ item.old }}"]

What a value holds never becomes part of the script itself, where a quote or a `;` in it would be obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_REFERENCE = re.compile(r"(\$?)(\$\{\{.*?\}\})", re.DOTALL)


def as_script(text: str, name_of: Callable[[int], str]) -> tuple[str, list[str]]:
    """Return the script, and the references in their order; `name_of` names the parameter of the nth, 1 first."""
    script, references, done = "", [], 0
    for found in _REFERENCE.finditer(text):
        script += text[done : found.start()]
        done = found.end()
        if found[1]:  # `$${{` stands for a literal `${{`
            script += found[2]
            continue
        references.append(found[2])
        parameter = f"${{{name_of(len(references))}}}"
        script += {"": f'"{parameter}"', '"': parameter, "'": f"'\"{parameter}\"'"}[_open_quote(script)]
    return script + text[done:], references


def _open_quote(script: str) -> str:
    """Return the quote that is still open at the end of a script, or an empty text."""
    quote, escaped, before, comment = "", False, "\n", False
    for character in script:
        if comment:
            comment = character != "\n"
        elif escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif character == quote:
            quote = ""
        elif character in "\"'" and not quote:
            quote = character
        elif character == "#" and not quote and (before.isspace() or before in ";&|("):
            comment = True  # an apostrophe in it opens nothing
        before = character
    return quote
