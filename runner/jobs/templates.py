"""The texts of a job: which references wait for later, which texts a shell reads, and how all of them are filled. Pure.

    `${{ params.x }}`  `${{ env.X }}`   when the file is read           loader/interpolation.py
                                        an X that itself refers to what comes later: with that
    `${{ matrix.x }}`                   when the legs are laid out      loader/jobs.py
    `${{ needs.x.outputs.y }}`          when the job starts             TemplateFiller, here
    `${{ secrets.X }}`  `${{ args }}`
    any of them, in a script            when the job starts             TemplateFiller, here

No value ever becomes part of a shell's script, where a quote or a `;` in it would be obeyed: the script gets a variable
in its place, quoted to suit it, and the value goes into the environment.

    echo "${{ params.x }} ${{ matrix.y }}"      stays as it is when the file is read and when legs are laid out
                                                values {params.x: …, matrix.y: …} ──► variables, when the job runs

Only where a script is one reference and nothing else is it that value: `run: ${{ matrix.command }}` says what to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, fields, is_dataclass, replace
from typing import Any

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath
from runner.spec.dotted_names import follow
from runner.spec.expressions.ast import Reference as InCondition
from runner.spec.expressions.ast import walk
from runner.spec.expressions.evaluate import NeedContext, parse_condition
from runner.spec.jobs.commands import CommandSpec
from runner.spec.jobs.model import LegSpec
from runner.spec.references import ARGS, EARLY, TextReference, fill_text, is_one_reference, names_used
from runner.spec.shell_quoting import as_script

_NOTHING: Mapping[str, str] = {}


@dataclass(slots=True)
class TemplateFiller:
    """Fills the texts of one leg."""

    needs: Mapping[str, NeedContext] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    args: Sequence[str] = ()
    """What stands behind `--`: where they are referred to, each is a word of its own."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of its own, filled: what `env.X` is where that could not be known earlier."""

    def for_process(self, own: Mapping[str, str]) -> tuple[TemplateFiller, dict[str, str]]:
        """Return the variables of a process of the leg, filled, and what fills its texts: they are over the leg's."""
        filled = {name: self.text(value) for name, value in own.items()}
        return replace(self, env={**self.env, **filled}) if filled else self, filled

    def of_leg(self, leg: LegSpec) -> tuple[TemplateFiller, dict[str, str]]:
        """As `for_process`, for all that a leg runs: its secrets are among its variables."""
        own = {name: self.secrets[name] for name in leg.secrets if name in self.secrets}
        filler, filled = self.for_process(leg.env)
        return replace(filler, env={**own, **filled}), {**own, **filled}

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

        def value(reference: TextReference) -> str:
            found = known.get(reference.expression)
            return self._value(reference) if found is None else found

        variables: dict[str, str] = {}
        for n, raw in enumerate(references, start=1):
            if is_arguments(raw):
                script, own = self._with_arguments(script, _variable(n))
                variables |= own
            else:
                variables[_variable(n)] = fill_text(raw, value)
        return script, variables

    def words(self, template: str) -> Sequence[str]:
        """Return the words that an entry of a list stands for: one, or as many as there are arguments."""
        return self.args if is_arguments(template) else [self.text(template)]

    def _with_arguments(self, script: str, name: str) -> tuple[str, dict[str, str]]:
        """Put a variable for each argument in the place of the one, with the quotes that were round that."""
        own = {f"{name}_{number}": word for number, word in enumerate(self.args, start=1)}
        words, one = " ".join(f'"${{{each}}}"' for each in own), f'"${{{name}}}"'
        return script.replace(f"''{one}''", words).replace(one, words), own

    def _value(self, reference: TextReference) -> str:
        root, *names = reference.names
        scopes: dict[str, Mapping[str, Any]] = {"secrets": self.secrets, "env": self.env}
        value, depth = follow(scopes.get(root, self.needs), names)
        if depth < len(names):
            return ""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return str(reference.apply(text))


def is_arguments(text: str) -> bool:
    """Say whether a text is the reference to the arguments behind `--`, and nothing else."""
    return "${{" in text and is_one_reference(text) and (ARGS,) in names_used(text)


def names_in_conditions(jobs: Any) -> set[tuple[str, ...]]:
    """Return the names that the conditions of some jobs refer to, such as `("params", "speed")`."""
    return {names for text in _conditions(jobs) for names in _names_in(text)}


def names_of_leg(leg: LegSpec) -> set[tuple[str, ...]]:
    """Return the names that the texts and the conditions of a leg refer to, such as `("needs", "build", "result")`."""
    return {names for condition, text in _texts_of(leg, "") for names in _names_of(condition, text)}


def takes_arguments(leg: LegSpec) -> bool:
    """Say whether a leg does something with the arguments behind `--`."""
    return (ARGS,) in names_of_leg(leg)


def _names_of(field: str, text: str) -> Iterable[tuple[str, ...]]:
    return _names_in(text) if field == "condition" else names_used(text)


def _texts_of(fact: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the texts in some facts that may refer to something, each with the field that it is in."""
    if isinstance(fact, str):
        if "${{" in fact or (name == "condition" and fact):
            yield name, fact
    elif is_dataclass(fact):
        for each in fields(fact):
            yield from _texts_of(getattr(fact, each.name), each.name)
    elif isinstance(fact, Mapping):
        for value in fact.values():
            yield from _texts_of(value, name)
    elif isinstance(fact, tuple):
        for value in fact:
            yield from _texts_of(value, name)


def _variable(number: int) -> str:
    return f"MPRUN_VALUE_{number}"


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


KNOWN_EARLY = EARLY | {"params", "env"}
"""The roots of references whose values are known when the file is read."""


def is_script(path: DataPath) -> bool:
    """Say whether a text at this path, from the top of the file, is read by a shell."""
    match path[2:]:
        case ("run",) | ("steps" | "ensure", int()) | ("steps" | "ensure", int(), "run"):
            return path[0] == "jobs"
        case ("services", _, "run") | ("services", _, "ready", "run"):
            return path[0] == "jobs"
    return False


def restore_scripts(written: Any, filled: Any, path: DataPath) -> Any:
    """Return `filled`, which `written` at `path` became, with the scripts in it as they were written."""
    if isinstance(written, dict):
        return {key: restore_scripts(value, filled[key], (*path, key)) for key, value in written.items()}
    if isinstance(written, list):
        return [
            restore_scripts(value, filled[number], (*path, number)) for number, value in enumerate(written)
        ]
    is_kept = isinstance(written, str) and is_script(path) and not is_one_reference(written)
    return written if is_kept else filled


def display_command(command: CommandSpec) -> str | list[str]:
    """Return what is run for people to read: with what is known of its references put in."""
    if not isinstance(command.run, str):
        return list(command.run)
    known = command.values
    return fill_text(command.run, lambda one: known.get(one.expression, one.raw)) if known else command.run
