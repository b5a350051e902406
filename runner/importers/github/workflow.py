"""A workflow of GitHub Actions, read into jobs.

on, permissions, runs-on        dropped: one types the run, and it runs here
env, defaults                   given to each job
needs, if, strategy, env, …     as they are; `${{ secrets.X }}` asks for X under the job's `secrets`
steps                           steps.py
${{ vars.X }}                   ${{ params.X }}, declared
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from runner.importers.github.steps import Artifacts, StepReader
from runner.importers.model import ImportedFile, ImportedJob, ImportedStep, Note, Outcome, to_do
from runner.importers.nodes import (
    changed_strings,
    env_of,
    hand_out,
    note,
    plain_data,
    source_line,
    strings_in,
    text_of,
    texts_of,
)
from runner.spec.source.positions import SourceDocument, SourceNode

_SHELL = "bash -e {0}"
"""What GitHub runs scripts with that name no shell."""
_SECRET = re.compile(r"\bsecrets\.([A-Za-z_]\w*)")
_VARIABLE = re.compile(r"\bvars\.([A-Za-z_]\w*)")
_EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
_OTHER_SYSTEM = re.compile(r"(?i)^(windows|macos)")


def read_workflow(source: SourceDocument) -> ImportedFile:
    """Return what a workflow comes to."""
    return _Workflow(source).read()


class _Workflow:
    def __init__(self, source: SourceDocument) -> None:
        self._root = source.root
        self.imported = ImportedFile("github", source.file)
        self.imported.keys = {"params": {}, "env": {}}
        self._env: dict[str, Any] = {}
        """What refers to something: each job has it, as only there all of it is known."""
        self._defaults: dict[str, str] = {}
        self._artifacts = Artifacts()

    def read(self) -> ImportedFile:
        """Read all of it."""
        notes = self.imported.notes
        known: dict[str, Callable[[SourceNode], None]] = {
            "name": self._name,
            "run-name": self._drop("a run has the name of its file"),
            "on": self._triggers,
            "permissions": self._drop("there is no token here whose rights could be less"),
            "concurrency": self._drop("it runs when it is typed; jobs have `concurrency` of their own"),
            "env": self._environment,
            "defaults": self._default_run,
            "jobs": self._jobs,
        }
        hand_out(
            self._root,
            known,
            lambda key, node: notes.append(note(node, Outcome.LEFT, f"there is no key '{key}' here")),
            ("name", "on", "env", "defaults"),
        )
        self._settle()
        return self.imported

    def _drop(self, why: str) -> Callable[[SourceNode], None]:
        return lambda node: self.imported.notes.append(note(node, Outcome.DROPPED, why))

    def _name(self, node: SourceNode) -> None:
        self.imported.keys = {"name": text_of(node), **self.imported.keys}
        self.imported.notes.append(note(node, Outcome.KEPT))

    def _triggers(self, node: SourceNode) -> None:
        events = [*node.entries()] or texts_of(node)
        told = f"it runs when it is typed: no {', '.join(events)}" if events else "it runs when it is typed"
        self.imported.notes.append(note(node, Outcome.DROPPED, told))
        for event in ("workflow_dispatch", "workflow_call"):
            below = node.entries().get(event)
            for name, each in (
                below.entries()["inputs"].entries() if below and "inputs" in below.entries() else {}
            ).items():
                self.imported.keys["params"][name] = _param(each)
                self.imported.notes.append(note(each, Outcome.TRANSLATED, f"the param '{name}'"))

    def _environment(self, node: SourceNode) -> None:
        env, notes = env_of(node)
        self._env = {name: value for name, value in env.items() if "${{" in value}
        self.imported.keys["env"] |= {name: value for name, value in env.items() if "${{" not in value}
        self.imported.notes += notes

    def _default_run(self, node: SourceNode) -> None:
        self._defaults = _run_defaults(node)
        self.imported.notes.append(note(node, Outcome.TRANSLATED, "each job has it"))

    def _jobs(self, node: SourceNode) -> None:
        for name, each in node.entries().items():
            _Job(
                self.imported.add(name, source_line(each)),
                each,
                self.imported.file,
                self._defaults,
                self._artifacts,
            ).read()

    def _settle(self) -> None:
        """Give jobs what the file says of all, and see to the names that expressions use."""
        for job in self.imported.jobs.values():
            used = " ".join(strings_in([job.keys.get("env", {}), *(step.keys for step in job.steps)]))
            mine = {name: value for name, value in self._env.items() if name not in job.keys.get("env", {})}
            if mine and ("$" in used or job.steps):
                job.keys["env"] = {**mine, **job.keys.get("env", {})}
            self._rename(job)
        keys = {key: value for key, value in self.imported.keys.items() if value}
        shell = self._defaults.get("shell", _SHELL)
        self.imported.keys = {**keys, "defaults": {"job": {"shell": shell}}}

    def _rename(self, job: ImportedJob) -> None:
        secrets: dict[str, None] = {}

        def change(text: str) -> str:
            return self._expressions(text, secrets)

        job.keys = {key: change_value(key, value, change) for key, value in job.keys.items()}
        for step in (*job.steps, *job.ensure):
            step.keys = {key: change_value(key, value, change) for key, value in step.keys.items()}
        if secrets:
            job.keys["secrets"] = [*secrets]
            said = f"without {'it' if len(secrets) == 1 else 'them'} in the environment the job fails"
            job.notes.append(Note(job.line, Outcome.TRANSLATED, f"secrets {', '.join(secrets)}", said))

    def _expressions(self, text: str, secrets: dict[str, None]) -> str:
        return _EXPRESSION.sub(lambda found: self._names(found[0], secrets), text)

    def _names(self, expression: str, secrets: dict[str, None]) -> str:
        expression = re.sub(r"\bgithub\.token\b", "secrets.GITHUB_TOKEN", expression)
        expression = re.sub(r"\bgithub\.event\.inputs\.", "inputs.", expression)
        secrets.update(dict.fromkeys(_SECRET.findall(expression)))
        for name in _VARIABLE.findall(expression):
            if name not in self.imported.keys["params"]:
                about = {"default": "", "description": f"the variable {name} of the repository"}
                self.imported.keys["params"][name] = about
                said = f"the param '{name}': its value is set on GitHub, give its own here"
                self.imported.notes.append(Note(1, Outcome.TRANSLATED, f"vars.{name}", said))
        return _VARIABLE.sub(r"params.\1", expression)


def change_value(key: str, value: Any, change: Callable[[str], str]) -> Any:
    """Change the expressions of a value; a condition is one as a whole."""
    if key == "if" and isinstance(value, str) and "${{" not in value:
        return change("${{" + value + "}}")[3:-2]
    return changed_strings(value, change)


def _param(node: SourceNode) -> dict[str, Any]:
    entries = node.entries()
    found: dict[str, Any] = {}
    kind = text_of(entries.get("type"))
    if kind in ("boolean", "number"):
        found["type"] = kind
    if "options" in entries:
        found["enum"] = texts_of(entries["options"])
    default = entries.get("default")
    usual: dict[str, Any] = {"boolean": False, "number": 0}
    found["default"] = plain_data(default) if default is not None else usual.get(kind, "")
    if kind == "choice" and found.get("enum") and default is None:
        found["default"] = found["enum"][0]
    if "description" in entries:
        found["description"] = text_of(entries["description"])
    return found


def _run_defaults(node: SourceNode) -> dict[str, str]:
    run = node.entries().get("run")
    return {key: text_of(each) for key, each in (run.entries() if run else {}).items() if text_of(each)}


class _Job:
    def __init__(
        self, job: ImportedJob, node: SourceNode, file: str, defaults: dict[str, str], artifacts: Artifacts
    ) -> None:
        self._job = job
        self._node = node
        self._file = file
        self._usual_shell = defaults.get("shell", "")
        self._defaults = dict(defaults)
        self._artifacts = artifacts
        self._systems: list[str] = []

    def read(self) -> None:
        """Read the job's keys in the order in which mprun's files have them."""
        same = {key: self._keep(key) for key in ("needs", "if", "continue-on-error", "services", "container")}
        known: dict[str, Callable[[SourceNode], None]] = {
            **same,
            "name": self._name,
            "runs-on": self._machine,
            "permissions": self._drop("there is no token here whose rights could be less"),
            "environment": self._drop("there are no environments here"),
            "snapshot": self._drop("all jobs run on this machine"),
            "concurrency": self._concurrency,
            "strategy": self._keep("strategy"),
            "env": self._environment,
            "defaults": self._default_run,
            "timeout-minutes": self._timeout,
            "services": self._services,
            "outputs": lambda _: None,
            "uses": self._reused,
            "with": self._with_reused,
            "secrets": self._with_reused,
            "steps": self._steps,
        }
        hand_out(
            self._node,
            known,
            self._unknown,
            ("name", "needs", "strategy", "runs-on", "if", "env", "defaults"),
        )
        if "outputs" in self._node.entries():
            self._outputs(self._node.entries()["outputs"])
        self._finish()

    def _note(self, node: SourceNode, outcome: Outcome, said: str = "") -> None:
        self._job.notes.append(note(node, outcome, said))

    def _keep(self, key: str) -> Callable[[SourceNode], None]:
        def keep(node: SourceNode) -> None:
            if node.data is not None:
                self._job.keys[key] = plain_data(node)
                self._note(node, Outcome.KEPT)

        return keep

    def _drop(self, why: str) -> Callable[[SourceNode], None]:
        return lambda node: self._note(node, Outcome.DROPPED, why)

    def _unknown(self, key: str, node: SourceNode) -> None:
        self._note(node, Outcome.LEFT, f"GitHub has no key '{key}' that is known here")

    def _name(self, node: SourceNode) -> None:
        if "${{" in text_of(node):
            self._note(node, Outcome.DROPPED, "a job and its legs are called by their keys")
        else:
            self._job.keys["description"] = text_of(node)
            self._note(node, Outcome.TRANSLATED, "the description")

    def _machine(self, node: SourceNode) -> None:
        """Jobs for another system are for that: legs too, where the matrix says which."""
        labels = texts_of(node)
        found = next((m for m in map(_OTHER_SYSTEM.match, labels) if m), None)
        if found is not None:
            self._job.keys["manual"] = True
            self._note(
                node, Outcome.TRANSLATED, "manual: it is for another system, and runs where it is named"
            )
            return
        key = re.fullmatch(r"\$\{\{\s*matrix\.([\w-]+)\s*\}\}", labels[0]) if len(labels) == 1 else None
        others = (
            {value for value in self._values_of_matrix(key[1]) if _OTHER_SYSTEM.match(value)}
            if key
            else set()
        )
        if key and others:
            prefix = f"matrix.{key[1]}"
            self._job.keys["if"] = f"!startsWith({prefix}, 'windows') && !startsWith({prefix}, 'macos')"
            self._note(node, Outcome.TRANSLATED, "legs for Windows and macOS are skipped")
        else:
            self._note(node, Outcome.DROPPED, "all jobs run on this machine")

    def _values_of_matrix(self, key: str) -> list[str]:
        matrix = self._job.keys.get("strategy", {})
        matrix = matrix.get("matrix") if isinstance(matrix, dict) else None
        if not isinstance(matrix, dict):
            return []
        listed = matrix.get(key)
        include = matrix.get("include")
        more = (
            [each.get(key) for each in include if isinstance(each, dict)] if isinstance(include, list) else []
        )
        return [str(value) for value in [*(listed if isinstance(listed, list) else []), *more]]

    def _concurrency(self, node: SourceNode) -> None:
        found = plain_data(node)
        found = {"group": found} if isinstance(found, str) else found
        self._job.keys["concurrency"] = {**found, "scope": "machine"} if isinstance(found, dict) else found
        self._note(node, Outcome.TRANSLATED, "over all runs on this machine")

    def _environment(self, node: SourceNode) -> None:
        env, notes = env_of(node)
        if env:
            self._job.keys["env"] = env
        self._job.notes += notes

    def _default_run(self, node: SourceNode) -> None:
        self._defaults |= _run_defaults(node)
        self._note(node, Outcome.KEPT)

    def _timeout(self, node: SourceNode) -> None:
        minutes = text_of(node)
        self._job.keys["timeout"] = f"{minutes}m"
        self._note(node, Outcome.TRANSLATED, f"timeout: {minutes}m")

    def _services(self, node: SourceNode) -> None:
        services: dict[str, Any] = {}
        for name, each in node.entries().items():
            container = plain_data(each)
            services[name] = {"container": container if isinstance(container, dict) else str(container)}
            port = _first_port(each)
            if port is not None:
                services[name]["ready"] = {"port": port}
            said = "a container" + (f", ready when port {port} answers" if port is not None else "")
            self._note(each, Outcome.TRANSLATED, said)
        if services:
            self._job.keys["services"] = services

    def _reused(self, node: SourceNode) -> None:
        uses = text_of(node)
        if uses.startswith("./"):
            what = f"import that file too (mprun import {uses[2:]} -o OTHER.yaml), and say `uses: OTHER.yaml` here"
        else:
            what = f"{uses} is a workflow of another project: write what it does"
        self._job.steps.append(
            ImportedStep(
                source_line(node),
                to_do(self._file, source_line(node), f"uses: {uses}", what),
                [note(node, Outcome.LEFT, what)],
            )
        )

    def _with_reused(self, node: SourceNode) -> None:
        for name, each in node.entries().items():
            self._note(each, Outcome.LEFT, f"'{name}' is for the workflow that it uses")
        if not node.entries():
            self._note(node, Outcome.LEFT, "it is for the workflow that it uses")

    def _steps(self, node: SourceNode) -> None:
        reader = StepReader(self._job, self._file, self._artifacts)
        for each in node.items():
            reader.read(each)

    def _outputs(self, node: SourceNode) -> None:
        """A job hands on what it writes, so a last step writes what GitHub takes from its steps."""
        names = [*node.entries()]
        if not names:
            return
        outputs = self._job.keys.setdefault("outputs", {})
        outputs["values"] = names
        lines = [f'echo "{name}={text_of(each)}" >> "$MPRUN_OUTPUT"' for name, each in node.entries().items()]
        said = "a last step writes them"
        self._job.steps.append(
            ImportedStep(
                source_line(node),
                {"name": "outputs", "run": "\n".join(lines) + "\n"},
                [note(node, Outcome.TRANSLATED, said)],
            )
        )

    def _finish(self) -> None:
        job = self._job
        written = self._node.entries().get("if")
        system = job.keys.get("if")
        if written is not None and isinstance(system, str) and system != text_of(written):
            job.keys["if"] = f"({_bare(text_of(written))}) && ({system})"
        shell = self._defaults.get("shell", "")
        if shell != self._usual_shell:
            job.keys["shell"] = shell
        if "working-directory" in self._defaults:
            job.keys["working-directory"] = self._defaults["working-directory"]
        order = ("description", "needs", "if", "strategy", "env", "secrets", "container", "services")
        job.keys = {
            **{key: job.keys[key] for key in order if key in job.keys},
            **{key: value for key, value in job.keys.items() if key not in order},
        }


def _bare(condition: str) -> str:
    found = re.fullmatch(r"\s*\$\{\{(.*?)\}\}\s*", condition, re.DOTALL)
    return found[1].strip() if found else condition


def _first_port(node: SourceNode) -> int | None:
    """Return the port of this machine that a service's container answers at."""
    for written in texts_of(node.entries().get("ports")):
        parts = written.partition("/")[0].split(":")
        if len(parts) > 1 and parts[-2].isdecimal() and 0 < int(parts[-2]) < 65536:
            return int(parts[-2])
    return None
