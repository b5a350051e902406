"""The texts of a job: which references wait for later, and how they are filled when the job runs. Pure.

    `${{ params.x }}`  `${{ env.X }}`   when the file is read           interpolation.py
    `${{ matrix.x }}`                   when the legs are laid out      expansion.py
    `${{ needs.x.outputs.y }}`          when the job starts             Filling, here
    `${{ secrets.X }}`
    any of them, in a script            when the job starts             Filling, here

No value ever becomes part of a shell's script, where a quote or a `;` in it would be obeyed: the script gets a variable
in its place, quoted to suit it, and the value goes into the environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.jobs.condition_tree import Reference as InCondition
from runner.jobs.condition_tree import walk
from runner.jobs.conditions import Need, parse_condition
from runner.quoting import as_script
from runner.references import Reference, fill_text

_NOTHING: Mapping[str, str] = {}


@dataclass(slots=True)
class Filling:
    """Fills the texts of one leg."""

    needs: Mapping[str, Need] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    def text(self, template: str) -> str:
        """Return a text with its references replaced by their values."""
        return fill_text(template, self._value) if "${{" in template else template

    def script(self, template: str, known: Mapping[str, str] = _NOTHING) -> tuple[str, dict[str, str]]:
        """
        Return a script for a POSIX shell, and the variables that it needs: one for each reference.

        `known` has what its references stand for, by name, that was known before the run.
        """
        if "${{" not in template:
            return template, {}
        script, references = as_script(template, _variable)

        def value(reference: Reference) -> str:
            found = known.get(reference.dotted)
            return self._value(reference) if found is None else found

        return script, {_variable(n): fill_text(raw, value) for n, raw in enumerate(references, start=1)}

    def _value(self, reference: Reference) -> str:
        root, *rest = reference.names
        value: Any = self.secrets if root == "secrets" else self.needs
        for name in rest:
            value = _below(value, name)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def names_in_conditions(jobs: Any) -> set[tuple[str, ...]]:
    """Return the names that the conditions of some jobs refer to, such as `("params", "speed")`."""
    return {names for text in _conditions(jobs) for names in _names_in(text)}


def _variable(number: int) -> str:
    return f"MPRUN_VALUE_{number}"


def _below(value: Any, name: str) -> Any:
    if isinstance(value, Need):
        return value.outputs if name == "outputs" else value.result
    return value.get(name, "") if isinstance(value, Mapping) else ""


def _conditions(data: Any) -> Iterator[object]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "if":
                yield value
            else:
                yield from _conditions(value)
    elif isinstance(data, list):
        for value in data:
            yield from _conditions(value)


def _names_in(text: object) -> Iterator[tuple[str, ...]]:
    condition, _ = parse_condition(text, ())
    if condition is not None:
        yield from (node.names for node in walk(condition.tree) if isinstance(node, InCondition))
