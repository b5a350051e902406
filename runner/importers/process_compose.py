"""A file of process-compose: processes that wait for each other become jobs, those that others need started go on.

depends_on: {db: {condition: process_healthy}}      needs: db, and db: {background: true}
depends_on: {migrate: {condition: process_completed_successfully}}      needs: migrate
readiness_probe: {http_get: …}                      ready: {http: …}
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from runner.importers.go_templates import filled, has_templates
from runner.importers.model import ImportedFile, ImportedJob, ImportedStep, Note, Outcome, to_do
from runner.importers.nodes import hand_out, note, source_line, text_of, texts_of
from runner.spec.source.positions import SourceDocument, SourceNode

_COMPLETED = ("process_completed", "process_completed_successfully")
_MOST_ATTEMPTS = 1000
_SCREEN = "it is about the screen of process-compose"
_DROPPED_ABOVE = {
    "version": "one version of mprun reads all files",
    **dict.fromkeys(("is_strict", "is_tui_disabled", "ordered_shutdown", "disable_env_expansion"), _SCREEN),
    **dict.fromkeys(
        ("log_level", "log_location", "log_length", "log_format", "log_configuration"), "logs are kept anyway"
    ),
    "processes_order": "jobs run as they need each other",
}
_DROPPED = {
    **dict.fromkeys(
        ("log_location", "log_configuration", "disable_ansi_colors", "log_length"), "logs are kept anyway"
    ),
    **dict.fromkeys(
        ("is_foreground", "is_elevated", "namespace", "launch_timeout_seconds", "is_tty"), _SCREEN
    ),
    "shutdown": "a job is ended with all its processes: a signal first, SIGKILL after `limits.stop_timeout`",
    "is_dotenv_disabled": "only what `dotenv` names is read",
}


def read_process_compose(source: SourceDocument) -> ImportedFile:
    """Return what a file of process-compose comes to."""
    return _File(source).read()


class _File:
    def __init__(self, source: SourceDocument) -> None:
        self._root = source.root
        self.imported = ImportedFile("process-compose", source.file, {"params": {}})
        self._shell = ""
        self._awaited: dict[str, set[str]] = {}
        """By process, the conditions that others wait for."""

    def read(self) -> ImportedFile:
        """Read all of it."""
        known: dict[str, Callable[[SourceNode], None]] = {
            "environment": self._environment,
            "vars": self._vars,
            "shell": self._read_shell,
            "processes": self._processes,
            "name": self._name,
            "description": self._name,
        }
        for key, why in _DROPPED_ABOVE.items():
            known[key] = self._drop(why)
        hand_out(self._root, known, self._unknown, ("environment", "vars", "shell"))
        if not self.imported.keys["params"]:
            del self.imported.keys["params"]
        return self.imported

    def _drop(self, why: str) -> Callable[[SourceNode], None]:
        return lambda node: self.imported.notes.append(note(node, Outcome.DROPPED, why))

    def _unknown(self, key: str, node: SourceNode) -> None:
        outcome = Outcome.DROPPED if key.startswith("x-") else Outcome.LEFT
        self.imported.notes.append(note(node, outcome, f"'{key}' is not known here"))

    def _name(self, node: SourceNode) -> None:
        key = "name" if "name" not in self.imported.keys else "description"
        self.imported.keys[key] = text_of(node)
        self.imported.notes.append(note(node, Outcome.KEPT))

    def _environment(self, node: SourceNode) -> None:
        env, notes = variables(node)
        self.imported.keys["env"] = env
        self.imported.notes += notes

    def _vars(self, node: SourceNode) -> None:
        for name, each in node.entries().items():
            self.imported.keys["params"][name] = {"default": text_of(each)}
            self.imported.notes.append(note(each, Outcome.TRANSLATED, f"the param '{name}'"))

    def _read_shell(self, node: SourceNode) -> None:
        entries = node.entries()
        self._shell = text_of(entries.get("shell_command"))
        self.imported.notes.append(note(node, Outcome.TRANSLATED, "each job has it"))

    def _processes(self, node: SourceNode) -> None:
        processes = node.entries()
        for each in processes.values():
            needed = each.entries().get("depends_on")
            for name, about in (needed.entries() if needed else {}).items():
                condition = text_of(about.entries().get("condition")) or "process_started"
                self._awaited.setdefault(name, set()).add(condition)
        for name, each in processes.items():
            job = self.imported.add(name, source_line(each))
            goes_on = any(condition not in _COMPLETED for condition in self._awaited.get(name, ()))
            _Process(job, each, self.imported, goes_on=goes_on).read()
            if self._shell:
                job.keys["shell"] = self._shell


class _Process:
    def __init__(self, job: ImportedJob, node: SourceNode, imported: ImportedFile, *, goes_on: bool) -> None:
        self._job = job
        self._node = node
        self._imported = imported
        self._goes_on = goes_on

    def read(self) -> None:
        """Read a process."""
        job = self._job
        if self._goes_on:
            job.keys["background"] = True
            job.notes.append(Note(job.line, Outcome.TRANSLATED, job.name, "others need it while it goes on"))
        known: dict[str, Callable[[SourceNode], None]] = {
            "description": self._description,
            "command": self._command,
            "entrypoint": self._entrypoint,
            "working_dir": self._folder,
            "environment": self._environment,
            "env_file": self._dotenv,
            "depends_on": self._needs,
            "readiness_probe": self._ready,
            "ready_log_line": self._prints,
            "liveness_probe": lambda node: job.notes.append(
                note(node, Outcome.LEFT, "only what is ready at first is looked at")
            ),
            "availability": self._availability,
            "disabled": self._disabled,
            "is_daemon": lambda node: job.notes.append(
                note(node, Outcome.LEFT, "let it run in the foreground: a job is its processes")
            ),
            "is_interactive": self._interactive,
            "replicas": self._replicas,
        }
        known |= {key: self._drop(why) for key, why in _DROPPED.items()}
        hand_out(
            self._node, known, self._unknown, ("description", "depends_on", "environment", "working_dir")
        )
        if not job.steps:
            job.notes.append(Note(job.line, Outcome.LEFT, job.name, "it has no command"))
            job.steps.append(
                ImportedStep(job.line, to_do(self._imported.file, job.line, job.name, "it has no command"))
            )

    def _drop(self, why: str) -> Callable[[SourceNode], None]:
        return lambda node: self._job.notes.append(note(node, Outcome.DROPPED, why))

    def _unknown(self, key: str, node: SourceNode) -> None:
        outcome = Outcome.DROPPED if key.startswith("x-") else Outcome.LEFT
        self._job.notes.append(note(node, outcome, f"'{key}' is not known here"))

    def _keep(
        self, node: SourceNode, key: str, value: Any, outcome: Outcome = Outcome.KEPT, said: str = ""
    ) -> None:
        self._job.keys[key] = value
        self._job.notes.append(note(node, outcome, said))

    def _description(self, node: SourceNode) -> None:
        self._keep(node, "description", text_of(node))

    def _command(self, node: SourceNode) -> None:
        text, left = filled(text_of(node).rstrip("\n"), self._value)
        text = text.replace("$$", "$")
        line = source_line(node)
        if left:
            what = f"write it without {left[0]}"
            keys = to_do(self._imported.file, line, "command", what)
            self._job.steps.append(ImportedStep(line, keys, [note(node, Outcome.LEFT, what)]))
            return
        outcome = Outcome.KEPT if text == text_of(node).rstrip("\n") else Outcome.TRANSLATED
        if text.strip():
            self._job.steps.append(
                ImportedStep(line, {"run": text}, [note(node, outcome, "names of params")])
            )

    def _value(self, name: str, default: str | None) -> str | None:
        params = self._imported.keys["params"]
        if name not in params and default is None:
            return None
        params.setdefault(name, {"default": default})
        return "${{ params." + name + " }}"

    def _entrypoint(self, node: SourceNode) -> None:
        words = texts_of(node)
        if words and not any(map(has_templates, words)):
            step = ImportedStep(source_line(node), {"run": words}, [note(node, Outcome.KEPT)])
            self._job.steps.append(step)
        else:
            self._job.notes.append(note(node, Outcome.LEFT, "write it as `run`"))

    def _folder(self, node: SourceNode) -> None:
        self._keep(node, "working-directory", text_of(node))

    def _environment(self, node: SourceNode) -> None:
        env, notes = variables(node)
        if env:
            self._job.keys["env"] = env
        self._job.notes += notes

    def _dotenv(self, node: SourceNode) -> None:
        self._keep(node, "dotenv", texts_of(node), Outcome.TRANSLATED, "dotenv")

    def _needs(self, node: SourceNode) -> None:
        needs: list[Any] = []
        for name, each in node.entries().items():
            condition = text_of(each.entries().get("condition")) or "process_started"
            needs.append({"job": name, "optional": True} if condition == "process_completed" else name)
            self._job.notes.append(note(each, Outcome.TRANSLATED, f"needs: {name} ({condition})"))
        if needs:
            self._job.keys["needs"] = needs

    def _ready(self, node: SourceNode) -> None:
        if not self._goes_on:
            self._job.notes.append(note(node, Outcome.DROPPED, "nobody waits for it"))
            return
        entries = node.entries()
        ready: dict[str, Any] = {}
        http = entries["http_get"].entries() if "http_get" in entries else {}
        command = text_of(entries["exec"].entries().get("command")) if "exec" in entries else ""
        if http:
            host, port = text_of(http.get("host")) or "127.0.0.1", text_of(http.get("port"))
            path = text_of(http.get("path")) or "/"
            ready["http"] = (
                f"{text_of(http.get('scheme')) or 'http'}://{host}{':' + port if port else ''}/{path.lstrip('/')}"
            )
        elif command:
            ready["run"] = command.replace("$$", "$")
        else:
            self._job.notes.append(note(node, Outcome.LEFT, "say in `ready` when it is ready"))
            return
        period, tries = text_of(entries.get("period_seconds")), text_of(entries.get("failure_threshold"))
        if period.isdecimal() and int(period):
            ready["every"] = f"{period}s"
            if tries.isdecimal() and int(tries) * int(period) > 30:
                ready["timeout"] = f"{int(tries) * int(period)}s"
        self._keep(node, "ready", ready, Outcome.TRANSLATED, "ready")

    def _prints(self, node: SourceNode) -> None:
        if self._goes_on:
            self._keep(
                node,
                "ready",
                {"prints": re.escape(text_of(node))},
                Outcome.TRANSLATED,
                "ready, when it prints that",
            )
        else:
            self._job.notes.append(note(node, Outcome.DROPPED, "nobody waits for it"))

    def _availability(self, node: SourceNode) -> None:
        entries = node.entries()
        restart = text_of(entries.get("restart")) or "no"
        if restart not in ("always", "on_failure"):
            self._job.notes.append(note(node, Outcome.DROPPED, f"restart: {restart} is what a job does"))
            return
        most, wait = text_of(entries.get("max_restarts")), text_of(entries.get("backoff_seconds"))
        tries = int(most) + 1 if most.isdecimal() and int(most) else _MOST_ATTEMPTS
        attempts: dict[str, Any] = {"max": min(tries, _MOST_ATTEMPTS)}
        if wait.isdecimal() and int(wait):
            attempts |= {"backoff": f"{wait}s", "max-backoff": f"{wait}s"}
        said = "attempts, where it fails" + ("; one that ends well is over" if restart == "always" else "")
        self._keep(node, "attempts", attempts, Outcome.TRANSLATED, said)

    def _disabled(self, node: SourceNode) -> None:
        if node.data is True:
            self._keep(
                node, "manual", True, Outcome.TRANSLATED, "manual: it runs where it is named or needed"
            )
        else:
            self._job.notes.append(note(node, Outcome.DROPPED, "it runs"))

    def _interactive(self, node: SourceNode) -> None:
        if node.data is True:
            self._keep(node, "interactive", True, Outcome.TRANSLATED, "interactive: it has the terminal")

    def _replicas(self, node: SourceNode) -> None:
        number = text_of(node)
        if number.isdecimal() and 1 < int(number) <= 100:
            matrix = {"matrix": {"replica": [*range(int(number))]}}
            self._keep(node, "strategy", matrix, Outcome.TRANSLATED, "a leg for each")
        else:
            self._job.notes.append(note(node, Outcome.DROPPED, "one"))


def variables(node: SourceNode) -> tuple[dict[str, Any], list[Note]]:
    """Return the variables of a list of `NAME=value`, or of a mapping."""
    if isinstance(node.data, dict):
        return {name: text_of(each) for name, each in node.entries().items()}, [
            note(each, Outcome.KEPT) for each in node.entries().values()
        ]
    env: dict[str, Any] = {}
    notes: list[Note] = []
    for each in node.items():
        name, equals, value = text_of(each).partition("=")
        if equals and name:
            env[name] = value
        notes.append(note(each, Outcome.KEPT if equals and name else Outcome.LEFT))
    return env, notes
