"""How problems are shown: one interface, four formats.

problems ──► render ──► text     for people: the line, a caret under it, what to do
                        json     for programs
                        github   annotations on a pull request
                        sarif    code scanning, 2.1.0
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runner import __version__
from runner.spec.diagnostics import LocatedDiagnostic, Severity, UseSite
from runner.text import cells, visible
from runner.units import counted

# A longer line (a whole file on one line, say) is cut to what surrounds the problem.
SNIPPET_WIDTH = 120
_LEAST_SNIPPET = 20
_COLOURS = {Severity.ERROR: "31", Severity.WARNING: "33"}
_BOLD, _CYAN = "1", "36"
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_diagnostics(
    diagnostics: Sequence[LocatedDiagnostic], form: str, *, colour: bool = False, width: int | None = None
) -> str:
    """Show problems in one of `FORMATS`. The text ends with a newline, or is empty."""
    if form == "text":
        return render_text(diagnostics, colour=colour, width=width)
    return FORMATS[form](diagnostics)


def render_text(
    diagnostics: Sequence[LocatedDiagnostic], *, colour: bool = False, width: int | None = None
) -> str:
    """
    Show each problem with its line, a caret under the place and the fix; a blank line between problems.

    On a terminal of `width` cells a line of a file takes no more than that: on a second row of the screen the caret
    would stand below the wrong one.
    """
    return "\n".join(_text_block(diagnostic, colour, width) for diagnostic in diagnostics)


def render_json(diagnostics: Sequence[LocatedDiagnostic]) -> str:
    """Show problems as a list of objects."""
    return json.dumps(as_dicts(diagnostics), indent=2, ensure_ascii=False) + "\n"


def as_dicts(diagnostics: Sequence[LocatedDiagnostic]) -> list[dict[str, Any]]:
    """Return problems as plain data."""
    return [_as_dict(diagnostic) for diagnostic in diagnostics]


def render_github(diagnostics: Sequence[LocatedDiagnostic]) -> str:
    """Show each problem as a workflow command, which GitHub pins to the line of a pull request."""
    return "".join(_github_line(diagnostic) + "\n" for diagnostic in diagnostics)


def render_sarif(diagnostics: Sequence[LocatedDiagnostic]) -> str:
    """Show problems as one SARIF run."""
    codes = sorted({diagnostic.code for diagnostic in diagnostics})
    rules = [{"id": code, "shortDescription": {"text": code.replace("-", " ")}} for code in codes]
    run = {
        "tool": {"driver": {"name": "mprun", "version": __version__, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "newlineSequences": ["\r\n", "\n", "\r"],
        "results": [_sarif_result(diagnostic, codes.index(diagnostic.code)) for diagnostic in diagnostics],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[LocatedDiagnostic]], str]] = {
    "text": render_text,
    "json": render_json,
    "github": render_github,
    "sarif": render_sarif,
}


def count_line(diagnostics: Sequence[LocatedDiagnostic]) -> str:
    """Sum problems up: `2 errors and 1 warning in workflows/baozi.yaml`."""
    found = Counter(diagnostic.severity for diagnostic in diagnostics)
    parts = [counted(found[severity], severity.value) for severity in Severity if found[severity]]
    files = {diagnostic.file for diagnostic in diagnostics}
    return f"{' and '.join(parts)} in {visible(files.pop()) if len(files) == 1 else f'{len(files)} files'}"


def _text_block(diagnostic: LocatedDiagnostic, colour: bool, width: int | None) -> str:
    def paint(text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if colour else text

    hue = _COLOURS[diagnostic.severity]
    where = f"{visible(diagnostic.file)}:{diagnostic.span.line}:{diagnostic.span.column}:"
    verdict = paint(f"{diagnostic.severity}[{diagnostic.code}]:", hue, _BOLD)
    lines = [f"{paint(where, _BOLD)} {verdict} {_visible_lines(diagnostic.message, '    ')}"]
    if diagnostic.snippet:
        number = str(diagnostic.span.line)
        text, carets = _snippet(diagnostic, _room(width, len(number)))
        lines += [f"  {number} | {text}", f"  {' ' * len(number)} | {paint(carets, hue)}"]
    if diagnostic.help:
        lines.append(f"  {paint('help:', _CYAN)} {_visible_lines(diagnostic.help, '        ')}")
    lines += (f"  {paint('used:', _CYAN)} {each}" for each in _uses(diagnostic))
    return "\n".join(lines) + "\n"


def _uses(diagnostic: LocatedDiagnostic) -> list[str]:
    """Say where the template is used in which something is wrong."""
    return [
        f"as '{visible(site.name)}' at {visible(site.file)}:{site.span.line}:{site.span.column}"
        for site in diagnostic.used
    ]


def _visible_lines(text: str, indent: str) -> str:
    return f"\n{indent}".join(visible(line) for line in text.splitlines())


def _room(width: int | None, digits: int) -> int:
    """How many characters of a line have room behind its number and between two ellipses."""
    return SNIPPET_WIDTH if width is None else max(_LEAST_SNIPPET, min(SNIPPET_WIDTH, width - digits - 7))


def _snippet(diagnostic: LocatedDiagnostic, most: int) -> tuple[str, str]:
    """Return the line as a terminal shows it, and the carets that line up under the span."""
    start = diagnostic.span.column - 1
    end = start + diagnostic.span.width
    first = max(0, start - most // 3) if len(diagnostic.snippet) > most else 0
    last = min(len(diagnostic.snippet), first + most)
    before = "…" if first else ""
    after = "…" if last < len(diagnostic.snippet) else ""
    lead = before + visible(diagnostic.snippet[first:start])
    marked = cells(visible(diagnostic.snippet[start : min(end, last)]))
    return (before + visible(diagnostic.snippet[first:last]) + after), " " * cells(lead) + "^" * max(
        1, marked
    )


def _as_dict(diagnostic: LocatedDiagnostic) -> dict[str, Any]:
    return {
        "file": diagnostic.file,
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
        "width": diagnostic.span.width,
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "help": diagnostic.help,
        "used": [
            {"file": site.file, "line": site.span.line, "column": site.span.column, "name": site.name}
            for site in diagnostic.used
        ],
    }


def _message_with_help(diagnostic: LocatedDiagnostic) -> str:
    uses = (f"used {each}" for each in _uses(diagnostic))
    return "\n".join([diagnostic.message, *filter(None, [diagnostic.help]), *uses])


def _github_line(diagnostic: LocatedDiagnostic) -> str:
    # Of the report on jobs, which takes longer to import than to check a file.
    from runner.render.github import (
        workflow_command,
    )

    return workflow_command(
        diagnostic.severity,
        _message_with_help(diagnostic),
        file=diagnostic.file,
        line=diagnostic.span.line,
        col=diagnostic.span.column,
        endColumn=diagnostic.span.column + diagnostic.span.width,
        title=diagnostic.code,
    )


def _sarif_result(diagnostic: LocatedDiagnostic, rule: int) -> dict[str, Any]:
    region: dict[str, Any] = {
        "startLine": diagnostic.span.line,
        "startColumn": diagnostic.span.column,
        "endColumn": diagnostic.span.column + diagnostic.span.width,
    }
    if diagnostic.snippet:
        region["snippet"] = {"text": diagnostic.snippet}
    place = {"artifactLocation": {"uri": _uri(diagnostic.file)}, "region": region}
    related = [_sarif_use(site) for site in diagnostic.used]
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity.value,
        "message": {"text": _message_with_help(diagnostic)},
        "locations": [{"physicalLocation": place}],
        **({"relatedLocations": related} if related else {}),
    }


def _sarif_use(site: UseSite) -> dict[str, Any]:
    region = {"startLine": site.span.line, "startColumn": site.span.column}
    place = {"artifactLocation": {"uri": _uri(site.file)}, "region": region}
    return {"physicalLocation": place, "message": {"text": f"used as '{site.name}'"}}


def _uri(file: str) -> str:
    if Path(file).is_absolute():
        return Path(file).as_uri()
    return quote(Path(file).as_posix(), errors="surrogateescape")
