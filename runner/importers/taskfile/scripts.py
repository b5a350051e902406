"""Commands of tasks as scripts: names of Go templates become variables of the shell, params, or what they stand for.

    vars: {WHO: bun}                    echo {{.WHO}}  ──►  WHO="${{ params.WHO }}"; echo ${WHO}
    vars: {REV: {sh: git rev-parse}}    echo {{.REV}}  ──►  REV=$(git rev-parse); echo ${REV}
    vars of one task, or of a call      echo {{.X}}    ──►  echo value

Task puts a value into the script as text, so that its words are words. A variable without quotes does the same; a value
with quotes or the like of them has to be read by the shell, so it stands there itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from runner.facts import dataclass
from runner.importers.go_templates import filled, has_templates

_SPECIAL: Mapping[str, str] = {
    "ROOT_DIR": "$PWD",
    "TASKFILE_DIR": "$PWD",
    "USER_WORKING_DIR": "$PWD",
    "TASK_EXE": "task",
}
_UNKNOWN = re.compile(r"TASK.*|OS|ARCH|ITEM|MATCH|CHECKSUM|TIMESTAMP|EXIT_CODE")
_FOR_THE_SHELL = re.compile(r"""['"`$\\|&;<>(){}*\[\]]""")
_OURS = re.compile(r"\$\{(\w+)\}")
_SINGLE_QUOTED = re.compile(r"'([^']*)'")
_UNSAFE_IN_DOUBLE = re.compile(r'["`\\$]')
_DEEPEST = 10


@dataclass(frozen=True, slots=True)
class PrintedValue:
    """A variable whose value a command prints."""

    command: str


Variable = str | PrintedValue


@dataclass(slots=True)
class TemplateScope:
    """What the names in the templates of one job stand for."""

    params: dict[str, Any]
    """Of the file: who names one that nobody has declared declares it."""
    shared: Mapping[str, Variable]
    """Of all tasks."""
    own: dict[str, Variable] = field(default_factory=dict)
    """Of the task, and of who calls it."""

    def text(self, template: str) -> tuple[str, list[str]]:
        """Return a text that is no script, and what is left in it."""
        return filled(template, lambda name, default: self._value(name, default, 0))

    def script(self, template: str) -> tuple[str, list[str]]:
        """Return a script that sets first the variables that it uses, and what is left in it."""
        used: dict[str, str] = {}
        text, left = filled(template, lambda name, default: self._in_script(name, default, used, 0))
        text, quoted = _double_quoted(text)
        return "\n".join([*(f"{name}={value}" for name, value in used.items()), text]), [
            *left,
            *quoted,
        ]

    def _known(self, name: str) -> Variable | None:
        return self.own.get(name, self.shared.get(name))

    def _value(self, name: str, default: str | None, depth: int) -> str | None:
        known = self._known(name)
        if (
            isinstance(known, PrintedValue)
            or depth > _DEEPEST
            or (known is None and _UNKNOWN.fullmatch(name))
        ):
            return None
        if name in _SPECIAL and known is None:
            return None
        if name == "CLI_ARGS":
            return "${{ args }}"
        if name in self.own or (known is not None and has_templates(known)):
            text, left = filled(known or "", lambda n, d: self._value(n, d, depth + 1))
            return None if left else text
        self._declare(name, known or default or "")
        return "${{ params." + name + " }}"

    def _in_script(self, name: str, default: str | None, used: dict[str, str], depth: int) -> str | None:
        known = self._known(name)
        if depth > _DEEPEST or (known is None and _UNKNOWN.fullmatch(name) and name not in _SPECIAL):
            return None
        if known is None and name in _SPECIAL:
            return _SPECIAL[name]
        if isinstance(known, PrintedValue):
            return self._printed(name, known.command, used, depth)
        if name == "CLI_ARGS":
            return "${{ args }}"
        if known is not None and (name in self.own or has_templates(known) or _FOR_THE_SHELL.search(known)):
            text, left = filled(known, lambda n, d: self._in_script(n, d, used, depth + 1))
            return None if left else text
        if default is not None and "$" in default:
            return self._printed(
                name, f'V="${{{{ params.{name} }}}}"; echo "${{V:-{default}}}"', used, depth, declare=True
            )
        self._declare(name, known or default or "")
        used.setdefault(name, f'"${{{{ params.{name} }}}}"')
        return f"${{{name}}}"

    def _printed(
        self, name: str, command: str, used: dict[str, str], depth: int, *, declare: bool = False
    ) -> str | None:
        if declare:
            self._declare(name, "")
            text, left = command, list[str]()
        else:
            text, left = filled(command, lambda n, d: self._in_script(n, d, used, depth + 1))
        if left:
            return None
        used.pop(name, None)
        used[name] = f"$({text})"
        return f"${{{name}}}"

    def _declare(self, name: str, default: str) -> None:
        self.params.setdefault(name, {"default": default})


def _double_quoted(script: str) -> tuple[str, list[str]]:
    """Return a script whose single quotes let the variables in them be seen, and the quotes where they can't."""
    left: list[str] = []

    def change(found: re.Match[str]) -> str:
        inside = found[1]
        before = script[script.rfind("\n", 0, found.start()) + 1 : found.start()]
        if not _OURS.search(inside) or before.count('"') % 2:
            return found[0]
        if _UNSAFE_IN_DOUBLE.search(_OURS.sub("", inside)):
            left.append(f"{found[0]}: in single quotes the shell puts no value")
            return found[0]
        return f'"{inside}"'

    return _SINGLE_QUOTED.sub(change, script), left
