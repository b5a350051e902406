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

import click

import runner
from runner.cells import cells, visible
from runner.plan_labels import count
from runner.problems import Problem, Severity

# A longer line (a whole file on one line, say) is cut to what surrounds the problem.
SNIPPET_WIDTH = 120
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(problems: Sequence[Problem], form: str, *, colour: bool = False) -> str:
    """Show problems in one of `FORMATS`. The text ends with a newline, or is empty."""
    return render_text(problems, colour=colour) if form == "text" else FORMATS[form](problems)


def render_text(problems: Sequence[Problem], *, colour: bool = False) -> str:
    """Show each problem with its line, a caret under the place and the fix; a blank line between problems."""
    return "\n".join(_text_block(problem, colour) for problem in problems)


def render_json(problems: Sequence[Problem]) -> str:
    """Show problems as a list of objects."""
    return json.dumps([_as_dict(problem) for problem in problems], indent=2, ensure_ascii=False) + "\n"


def render_github(problems: Sequence[Problem]) -> str:
    """Show each problem as a workflow command, which GitHub pins to the line of a pull request."""
    return "".join(_github_line(problem) + "\n" for problem in problems)


def render_sarif(problems: Sequence[Problem]) -> str:
    """Show problems as one SARIF run."""
    codes = sorted({problem.code for problem in problems})
    rules = [{"id": code, "shortDescription": {"text": code.replace("-", " ")}} for code in codes]
    run = {
        "tool": {"driver": {"name": "mprun", "version": runner.__version__, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(problem, codes.index(problem.code)) for problem in problems],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Problem]], str]] = {
    "text": render_text,
    "json": render_json,
    "github": render_github,
    "sarif": render_sarif,
}


def count_line(problems: Sequence[Problem]) -> str:
    """Sum problems up: `2 errors and 1 warning in workflows/baozi.yaml`."""
    found = Counter(problem.severity for problem in problems)
    parts = [count(found[severity], severity.value) for severity in Severity if found[severity]]
    files = {problem.file for problem in problems}
    return f"{' and '.join(parts)} in {visible(files.pop()) if len(files) == 1 else f'{len(files)} files'}"


def _text_block(problem: Problem, colour: bool) -> str:
    def paint(text: str, fg: str | None = None, *, bold: bool = False) -> str:
        return click.style(text, fg=fg, bold=bold or None) if colour else text

    hue = _COLOURS[problem.severity]
    where = f"{visible(problem.file)}:{problem.span.line}:{problem.span.column}:"
    verdict = paint(f"{problem.severity}[{problem.code}]:", hue, bold=True)
    lines = [f"{paint(where, bold=True)} {verdict} {_visible_lines(problem.message, '    ')}"]
    if problem.snippet:
        text, carets = _snippet(problem)
        number = str(problem.span.line)
        lines += [f"  {number} | {text}", f"  {' ' * len(number)} | {paint(carets, hue)}"]
    if problem.help:
        lines.append(f"  {paint('help:', 'cyan')} {_visible_lines(problem.help, '        ')}")
    return "\n".join(lines) + "\n"


def _visible_lines(text: str, indent: str) -> str:
    return f"\n{indent}".join(visible(line) for line in text.splitlines())


def _snippet(problem: Problem) -> tuple[str, str]:
    """Return the line as a terminal shows it, and the carets that line up under the span."""
    start = problem.span.column - 1
    end = start + problem.span.width
    first = max(0, start - SNIPPET_WIDTH // 3) if len(problem.snippet) > SNIPPET_WIDTH else 0
    last = min(len(problem.snippet), first + SNIPPET_WIDTH)
    before = "…" if first else ""
    after = "…" if last < len(problem.snippet) else ""
    lead = before + visible(problem.snippet[first:start])
    marked = cells(visible(problem.snippet[start : min(end, last)]))
    return (before + visible(problem.snippet[first:last]) + after), " " * cells(lead) + "^" * max(1, marked)


def _as_dict(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.span.line,
        "column": problem.span.column,
        "width": problem.span.width,
        "code": problem.code,
        "severity": problem.severity.value,
        "message": problem.message,
        "help": problem.help,
    }


def _message_with_help(problem: Problem) -> str:
    return f"{problem.message}\n{problem.help}" if problem.help else problem.message


def _github_line(problem: Problem) -> str:
    properties = {
        "file": problem.file,
        "line": problem.span.line,
        "col": problem.span.column,
        "endColumn": problem.span.column + problem.span.width,
        "title": problem.code,
    }
    shown = ",".join(f"{key}={_github_property(str(value))}" for key, value in properties.items())
    return f"::{problem.severity} {shown}::{_github_data(_message_with_help(problem))}"


def _github_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_data(text).replace(":", "%3A").replace(",", "%2C")


def _sarif_result(problem: Problem, rule: int) -> dict[str, Any]:
    region: dict[str, Any] = {
        "startLine": problem.span.line,
        "startColumn": problem.span.column,
        "endColumn": problem.span.column + problem.span.width,
    }
    if problem.snippet:
        region["snippet"] = {"text": problem.snippet}
    place = {"artifactLocation": {"uri": _uri(problem.file)}, "region": region}
    return {
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": problem.severity.value,
        "message": {"text": _message_with_help(problem)},
        "locations": [{"physicalLocation": place}],
    }


def _uri(file: str) -> str:
    if Path(file).is_absolute():
        return Path(file).as_uri()
    return quote(Path(file).as_posix(), errors="surrogateescape")
