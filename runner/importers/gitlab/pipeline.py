"""A pipeline of GitLab as a whole: its jobs in their stages, each after those of the stages before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.importers.gitlab.jobs import JobReader
from runner.importers.gitlab.resolving import Pipeline
from runner.importers.gitlab.variables import KNOWN, expanded, gitlabs_own, unknown_in
from runner.importers.model import ImportedFile, ImportedJob, Note, Outcome
from runner.importers.nodes import note, source_line, strings_in, text_of, texts_of
from runner.spec.source.positions import SourceDocument, SourceNode

_STAGES = ["build", "test", "deploy"]
"""What GitLab has where the file names none."""
_FILLED_IN = ("default", "image", "services", "before_script", "after_script", "cache")
_ABOVE = {*_FILLED_IN, "stages", "types", "variables", "workflow", "include", "spec"}


def read_pipeline(source: SourceDocument) -> ImportedFile:
    """Return what a pipeline comes to."""
    return _Reading(source).read()


class _Reading:
    def __init__(self, source: SourceDocument) -> None:
        self._pipeline = Pipeline(source)
        self.imported = ImportedFile("gitlab", source.file, {"params": {}, "env": {}})
        self._known: dict[str, str] = {}
        self._stages: dict[str, list[str]] = {}

    def read(self) -> ImportedFile:
        """Read all of it."""
        entries = self._pipeline.entries()
        self._above(entries)
        listed = texts_of(entries.get("stages", entries.get("types"))) or _STAGES
        names = [".pre", *(name for name in listed if name not in (".pre", ".post")), ".post"]
        self._stages = {name: [] for name in names}
        own_needs: set[str] = set()
        for name, node in entries.items():
            if name in _ABOVE or name.startswith(".") or not isinstance(node.data, dict):
                continue
            whole = self._pipeline.job(name)
            job = self.imported.add(name, source_line(node))
            reader = JobReader(job, whole, self._pipeline, self._known, self.imported.file)
            reader.read()
            stage = text_of(whole.entries().get("stage")) or "test"
            self._stages.setdefault(stage, []).append(job.name)
            own_needs |= {job.name} if reader.needs_written else set()
        self._order(own_needs)
        self.imported.notes += self._pipeline.notes
        self._finish()
        return self.imported

    def _above(self, entries: Mapping[str, SourceNode]) -> None:
        notes = self.imported.notes
        if "variables" in entries:
            self._variables(entries["variables"])
        for key in _FILLED_IN:
            if key in entries:
                notes.append(note(entries[key], Outcome.TRANSLATED, "each job has it"))
        for key in ("stages", "types"):
            if key in entries:
                notes.append(
                    note(entries[key], Outcome.TRANSLATED, "each job needs those of the stage before")
                )
        if "workflow" in entries:
            notes.append(note(entries["workflow"], Outcome.DROPPED, "it runs when it is typed"))
        if "spec" in entries:
            notes.append(
                note(
                    entries["spec"],
                    Outcome.LEFT,
                    "what stands behind its `---` is not read: import that alone",
                )
            )
        for name, node in entries.items():
            if name.startswith("."):
                notes.append(note(node, Outcome.TRANSLATED, "it is filled in where it is used"))
            elif name not in _ABOVE and not isinstance(node.data, dict):
                notes.append(note(node, Outcome.LEFT, "a job is a mapping"))

    def _variables(self, node: SourceNode) -> None:
        written = {
            name: text_of(each.entries().get("value")) if each.entries() else text_of(each)
            for name, each in node.entries().items()
        }
        self._known = written
        for name, each in node.entries().items():
            others = {key: value for key, value in written.items() if key != name}
            value = expanded(written[name], others)
            left = unknown_in(value)
            if "description" in each.entries() and "${{" not in value:
                param: dict[str, Any] = {
                    "default": value,
                    "description": text_of(each.entries()["description"]),
                }
                self.imported.keys["params"][name] = param
                value = "${{ params." + name + " }}"
            self.imported.keys["env"][name] = value
            said = f"nobody fills in ${left[0]} here" if left else ""
            self.imported.notes.append(note(each, Outcome.LEFT if left else Outcome.KEPT, said))

    def _order(self, own_needs: set[str]) -> None:
        """Give each job that says nothing of its own the needs of its stage."""
        before: list[str] = []
        for jobs in self._stages.values():
            for name in jobs:
                job = self.imported.jobs[name]
                if name not in own_needs and before:
                    job.keys["needs"] = [*before]
            held = [name for name in jobs if not self._is_apart(self.imported.jobs[name])]
            if held:
                inside = {need for name in held for need in _needs_of(self.imported.jobs[name])}
                before = [*(name for name in before if name not in inside), *held]
        self._known_needs()

    def _is_apart(self, job: ImportedJob) -> bool:
        """Say whether what comes later does not wait for it: it is clicked, or only for failures."""
        return "manual" in job.keys or job.keys.get("if") == "failure()"

    def _known_needs(self) -> None:
        for job in self.imported.jobs.values():
            wanted = job.keys.get("needs", [])
            there = [need for need in wanted if _name(need) in self.imported.jobs]
            for need in wanted:
                if need not in there:
                    job.notes.append(
                        Note(job.line, Outcome.LEFT, f"needs: {_name(need)}", "there is no such job here")
                    )
            if there:
                job.keys["needs"] = there
            else:
                job.keys.pop("needs", None)

    def _finish(self) -> None:
        texts = [
            *strings_in(self.imported.keys),
            *strings_in([[*(s.keys for s in j.steps)] for j in self.imported.jobs.values()]),
        ]
        usual: dict[str, Any] = {"shell": "bash"}
        env: dict[str, str] = {}
        for name in gitlabs_own(texts):
            if name in self.imported.keys["env"]:
                continue
            if name in KNOWN:
                env[name] = KNOWN[name]
            elif name == "CI_JOB_NAME":
                for job in self.imported.jobs.values():
                    job.keys.setdefault("env", {})[name] = job.name
            else:
                self.imported.notes.append(
                    Note(1, Outcome.LEFT, f"${name}", "GitLab sets it: set it here where it is needed")
                )
        if env:
            self.imported.notes.append(
                Note(1, Outcome.TRANSLATED, ", ".join(env), "set as far as it is known here")
            )
            usual["env"] = env
        keys = {key: self.imported.keys[key] for key in ("params", "env") if self.imported.keys[key]}
        self.imported.keys = {**keys, "defaults": {"job": usual}}


def _name(need: Any) -> str:
    return str(need["job"]) if isinstance(need, dict) else str(need)


def _needs_of(job: ImportedJob) -> list[str]:
    return [_name(need) for need in job.keys.get("needs", [])]
