"""A task as a job: its commands are steps, `deps` are `needs`, and a command that calls a task is that task's steps."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from runner.importers.model import ImportedFile, ImportedJob, ImportedStep, Note, Outcome, to_do
from runner.importers.nodes import hand_out, note, source_line, text_of, texts_of
from runner.importers.taskfile.reading import Tasks, WrittenTask, task_called
from runner.importers.taskfile.scripts import PrintedValue, TemplateScope, Variable
from runner.spec.source.positions import SourceNode

_SYSTEMS = {"windows": "Windows", "darwin": "macOS", "linux": "Linux"}
_DEEPEST = 8
_DROPPED = {
    **dict.fromkeys(("silent", "output", "label", "prefix"), "it is about the screen of task"),
    "aliases": "a task has one name",
    "run": "a job runs once in a run",
    "method": "it is found out by what is in the files",
    "watch": "mprun watch does that for any of them",
    "failfast": "what has failed keeps back all that needs it",
    "interactive": "",
}


class TaskReader:
    """Makes jobs of tasks, those with vars of a caller among them."""

    def __init__(self, imported: ImportedFile, tasks: Tasks, shared: dict[str, Variable]) -> None:
        self.imported = imported
        self.tasks = tasks
        self.shared = shared
        self._made: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}

    def scope(self, own: dict[str, Variable]) -> TemplateScope:
        """Return what names stand for in a task with vars of its own."""
        return TemplateScope(self.imported.keys["params"], self.shared, own)

    def job(self, task: WrittenTask, given: dict[str, Variable], depth: int = 0) -> str:
        """Return the name of the job of a task, called with some vars."""
        shown = tuple((name, str(value)) for name, value in given.items())
        key = (task.name, shown)
        if key not in self._made:
            named = ", ".join(f"{name}={value}" for name, value in given.items() if isinstance(value, str))
            job = self.imported.add(f"{task.name} ({named})" if named else task.name, source_line(task.node))
            self._made[key] = job.name
            _TaskJob(self, job, task, given, depth).read()
        return self._made[key]


class _TaskJob:
    def __init__(
        self, reader: TaskReader, job: ImportedJob, task: WrittenTask, given: dict[str, Variable], depth: int
    ) -> None:
        self._reader = reader
        self._job = job
        self._task = task
        self._given = given
        self._depth = depth
        self._where = f"{task.file}: " if task.file else ""
        self._scope = reader.scope({})
        self._needs: dict[str, None] = {}
        self._guard: list[str] = []

    def note(self, node: SourceNode, outcome: Outcome, said: str = "") -> Note:
        """Say what became of a node, of an included file with its name."""
        made = note(node, outcome, said)
        return replace(made, source=f"{self._where}{made.source}")

    def _note(self, node: SourceNode, outcome: Outcome, said: str = "") -> None:
        self._job.notes.append(self.note(node, outcome, said))

    def read(self) -> None:
        """Read the task."""
        job, entries = self._job, self._task.node.entries()
        job.keys["manual"] = True
        self._scope = self._scope_of(self._task, entries, self._given)
        if not entries:
            job.steps += self._commands(self._task.node, self._task, self._scope, 0)
        else:
            self._read_keys()
        if self._task.folder and "working-directory" not in job.keys:
            job.keys["working-directory"] = self._task.folder
        if self._needs:
            job.keys["needs"] = [*self._needs]
        if self._guard:
            self._put_guard()

    def _scope_of(
        self, task: WrittenTask, entries: dict[str, SourceNode], given: dict[str, Variable]
    ) -> TemplateScope:
        own = variables_of(entries["vars"]) if "vars" in entries else {}
        return self._reader.scope({**own, **given, "TASK": task.name})

    def _read_keys(self) -> None:
        job = self._job
        known: dict[str, Callable[[SourceNode], None]] = {
            "desc": self._description,
            "summary": self._description,
            "vars": lambda node: self._note(
                node, Outcome.TRANSLATED, "their values stand where they are used"
            ),
            "requires": self._requires,
            "deps": self._deps,
            "dir": self._folder,
            "env": self._environment,
            "dotenv": self._dotenv,
            "preconditions": self._preconditions,
            "sources": lambda node: self._files(node, "inputs"),
            "generates": lambda node: self._files(node, "outputs"),
            "status": self._status,
            "cmds": lambda node: job.steps.extend(self._commands(node, self._task, self._scope, 0)),
            "cmd": lambda node: job.steps.extend(self._commands(node, self._task, self._scope, 0)),
            "ignore_error": self._ignore,
            "internal": lambda node: self._note(node, Outcome.DROPPED, "it runs where it is needed"),
            "platforms": self._platforms,
            "prompt": lambda node: self._note(
                node, Outcome.LEFT, "nobody is asked: a step could read the answer"
            ),
            "interactive": self._interactive,
            "set": self._options,
            "shopt": self._options,
        }
        for key, why in _DROPPED.items():
            known.setdefault(key, self._dropping(why))
        order = (
            "desc",
            "deps",
            "platforms",
            "dir",
            "env",
            "dotenv",
            "sources",
            "generates",
            "requires",
            "preconditions",
        )
        hand_out(
            self._task.node,
            known,
            lambda key, node: self._note(node, Outcome.LEFT, f"'{key}' is not known here"),
            order,
        )

    def _dropping(self, why: str) -> Callable[[SourceNode], None]:
        return lambda node: self._note(node, Outcome.DROPPED, why)

    def _description(self, node: SourceNode) -> None:
        if "description" not in self._job.keys:
            self._job.keys["description"] = text_of(node)
            self._note(node, Outcome.KEPT)

    def _requires(self, node: SourceNode) -> None:
        listed = node.entries().get("vars")
        for each in listed.items() if listed else ():
            name = text_of(each.entries().get("name")) if each.entries() else text_of(each)
            if name and name not in self._scope.own:
                value, _ = self._scope.text("{{." + name + "}}")
                run = f'[ -n "{value}" ] || {{ echo "give {name}: --param {name}=…" >&2; exit 1; }}'
                step = ImportedStep(source_line(each), {"name": f"{name} is given", "run": run})
                self._job.steps.append(step)
        self._note(node, Outcome.TRANSLATED, "steps that look")

    def _deps(self, node: SourceNode) -> None:
        for each in node.items() if isinstance(node.data, list) else [node]:
            entries = each.entries()
            name = text_of(entries.get("task")) if entries else text_of(each)
            task = task_called(self._scope.text(name)[0], self._task.prefix, self._reader.tasks.tasks)
            if task is None or task is self._task or self._depth > _DEEPEST or "for" in entries:
                self._note(each, Outcome.LEFT, f"add it to `needs`: '{name}'")
                continue
            given = self._called_with(entries.get("vars"), self._scope)
            self._needs[self._reader.job(task, given, self._depth + 1)] = None
            self._note(each, Outcome.TRANSLATED, "needs")

    def _called_with(self, node: SourceNode | None, scope: TemplateScope) -> dict[str, Variable]:
        """Return the vars of a call, with the names in them replaced by what they stand for where it stands."""
        given: dict[str, Variable] = {}
        for name, value in (variables_of(node) if node is not None else {}).items():
            given[name] = scope.text(value)[0] if isinstance(value, str) else value
        return given

    def _text(self, node: SourceNode) -> str | None:
        text, left = self._scope.text(text_of(node))
        if left or not text:
            self._note(node, Outcome.LEFT, f"write it without {left[0]}" if left else "it is no text")
            return None
        return text

    def _folder(self, node: SourceNode) -> None:
        text = self._text(node)
        if text is not None:
            self._job.keys["working-directory"] = f"{self._task.folder}/{text}" if self._task.folder else text
            self._note(node, Outcome.KEPT)

    def _environment(self, node: SourceNode) -> None:
        for name, each in node.entries().items():
            text = self._text(each)
            if text is not None:
                self._job.keys.setdefault("env", {})[name] = text
                self._note(each, Outcome.KEPT)

    def _dotenv(self, node: SourceNode) -> None:
        self._job.keys["dotenv"] = texts_of(node)
        self._note(node, Outcome.KEPT)

    def _files(self, node: SourceNode, key: str) -> None:
        globs: list[str] = []
        for each in node.items():
            text = self._text(each) if not each.entries() else None
            if text is None:
                self._note(each, Outcome.LEFT, f"no glob of `{key}`")
            else:
                globs.append(text)
                self._note(each, Outcome.TRANSLATED, key)
        if globs:
            self._job.keys[key] = globs if key == "inputs" else {"files": globs}

    def _preconditions(self, node: SourceNode) -> None:
        for each in node.items() if isinstance(node.data, list) else [node]:
            entries = each.entries()
            command = text_of(entries.get("sh")) if entries else text_of(each)
            message = text_of(entries.get("msg")) or f"{command} is false"
            script, left = self._scope.script(command)
            said, _ = self._scope.text(message)
            if left or not command:
                self._note(each, Outcome.LEFT, "a first step can look at it")
                continue
            run = f"{{ {script}; }} || {{ echo {shlex.quote(said)} >&2; exit 1; }}"
            self._job.steps.append(ImportedStep(source_line(each), {"name": "precondition", "run": run}))
            self._note(each, Outcome.TRANSLATED, "a first step")

    def _status(self, node: SourceNode) -> None:
        commands = texts_of(node)
        scripts = [self._scope.script(command) for command in commands]
        if any(left for _, left in scripts):
            self._note(node, Outcome.LEFT, "it runs each time: a first line can look whether it has to")
            return
        self._guard = [script for script, _ in scripts]
        self._note(node, Outcome.TRANSLATED, "its commands run unless all these succeed")

    def _put_guard(self) -> None:
        """Where all steps are mere scripts they become one, which looks first whether there is anything to do."""
        steps = self._job.steps
        if not steps or any(
            not isinstance(step.keys.get("run"), str) or set(step.keys) != {"run"} for step in steps
        ):
            self._job.notes.append(Note(self._job.line, Outcome.LEFT, "status", "it runs each time"))
            return
        looks = " && ".join(f"{{ {each}; }}" for each in self._guard)
        lines = [
            f"if {looks}; then echo up to date; exit 0; fi",
            "set -e",
            *(step.keys["run"].rstrip("\n") for step in steps),
        ]
        notes = [each for step in steps for each in step.notes]
        self._job.steps = [ImportedStep(steps[0].line, {"run": "\n".join(lines) + "\n"}, notes)]

    def _ignore(self, node: SourceNode) -> None:
        if node.data is True:
            self._job.keys["continue-on-error"] = True
        self._note(node, Outcome.TRANSLATED, "continue-on-error")

    def _interactive(self, node: SourceNode) -> None:
        if node.data is True:
            self._job.keys["interactive"] = True
            self._note(node, Outcome.KEPT)

    def _options(self, node: SourceNode) -> None:
        self._note(node, Outcome.LEFT, "say it in the scripts: set -e, shopt -s globstar, …")

    def _platforms(self, node: SourceNode) -> None:
        condition = _platforms_condition(texts_of(node))
        if condition:
            self._job.keys["if"] = condition
        self._note(node, Outcome.TRANSLATED, condition or "any")

    def _commands(
        self, node: SourceNode, task: WrittenTask, scope: TemplateScope, depth: int
    ) -> list[ImportedStep]:
        steps: list[ImportedStep] = []
        for each in node.items() if isinstance(node.data, list) else [node]:
            steps += self._command(each, task, scope, depth)
        return steps

    def _command(
        self, node: SourceNode, task: WrittenTask, scope: TemplateScope, depth: int
    ) -> list[ImportedStep]:
        entries = node.entries()
        if "for" in entries:
            return self._loop(node, entries, task, scope, depth)
        if "task" in entries:
            return self._call(node, entries, task, scope, depth)
        deferred = entries.get("defer")
        if deferred is not None and not deferred.entries():
            self._job.ensure += self._script(node, text_of(deferred), entries, scope)
            return []
        if deferred is not None:
            self._job.ensure += self._call(node, deferred.entries(), task, scope, depth)
            return []
        return self._script(node, text_of(entries.get("cmd")) if entries else text_of(node), entries, scope)

    def _script(
        self, node: SourceNode, text: str, entries: dict[str, SourceNode], scope: TemplateScope
    ) -> list[ImportedStep]:
        line = source_line(node)
        if not text.strip():
            return [ImportedStep(line, {}, [self.note(node, Outcome.LEFT, "it has no command")])]
        script, left = scope.script(text.rstrip("\n"))
        if left:
            what = f"write it without {left[0]}"
            failing = to_do(self._reader.imported.file, line, text.strip().splitlines()[0], what)
            more = tuple(text.splitlines())
            return [ImportedStep(line, failing, [replace(self.note(node, Outcome.LEFT, what), more=more)])]
        same = script == text.rstrip("\n")
        made = self.note(
            node,
            Outcome.KEPT if same else Outcome.TRANSLATED,
            "" if same else "names of params and variables",
        )
        keys: dict[str, Any] = {"run": script + ("\n" if "\n" in script else "")}
        if "ignore_error" in entries and entries["ignore_error"].data is True:
            keys["continue-on-error"] = True
        condition = _platforms_condition(texts_of(entries.get("platforms")))
        if condition:
            keys["if"] = condition
        return [ImportedStep(line, keys, [made])]

    def _call(
        self,
        node: SourceNode,
        entries: dict[str, SourceNode],
        task: WrittenTask,
        scope: TemplateScope,
        depth: int,
    ) -> list[ImportedStep]:
        """Return the steps of a task that is called: they stand where the call stood."""
        name, left = scope.text(text_of(entries.get("task")))
        called = None if left else task_called(name, task.prefix, self._reader.tasks.tasks)
        line = source_line(node)
        if called is None or depth > _DEEPEST:
            what = f"call the job '{name}' where it is needed, by `needs`"
            calling = to_do(self._reader.imported.file, line, f"task: {name}", what)
            return [ImportedStep(line, calling, [self.note(node, Outcome.LEFT, what)])]
        about = called.node.entries()
        inner = self._scope_of(called, about, self._called_with(entries.get("vars"), scope))
        body = about.get("cmds") or about.get("cmd") or (called.node if not about else None)
        steps = self._commands(body, called, inner, depth + 1) if body is not None else []
        for each in steps:
            self._in_place(each, called, about, inner)
        if "deps" in about and depth <= _DEEPEST:
            self._deps_of(called, about["deps"], inner)
        told = ImportedStep(line, {}, [self.note(node, Outcome.TRANSLATED, f"the steps of '{called.name}'")])
        return [told, *steps]

    def _deps_of(self, called: WrittenTask, node: SourceNode, scope: TemplateScope) -> None:
        for each in node.items():
            entries = each.entries()
            name = text_of(entries.get("task")) if entries else text_of(each)
            task = task_called(name, called.prefix, self._reader.tasks.tasks)
            if task is not None and task is not self._task and self._depth <= _DEEPEST:
                given = self._called_with(entries.get("vars"), scope)
                self._needs[self._reader.job(task, given, self._depth + 1)] = None

    def _in_place(
        self, step: ImportedStep, called: WrittenTask, about: dict[str, SourceNode], scope: TemplateScope
    ) -> None:
        """Give a step of another task that task's folder and variables."""
        folder, left = scope.text(text_of(about.get("dir")))
        folder = f"{called.folder}/{folder}" if called.folder and folder else folder or called.folder
        if folder and not left and step.keys and "working-directory" not in step.keys:
            step.keys["working-directory"] = folder
        env = about["env"].entries() if "env" in about else {}
        for name, each in env.items():
            text, left = scope.text(text_of(each))
            if step.keys and not left and text:
                step.keys.setdefault("env", {}).setdefault(name, text)

    def _loop(
        self,
        node: SourceNode,
        entries: dict[str, SourceNode],
        task: WrittenTask,
        scope: TemplateScope,
        depth: int,
    ) -> list[ImportedStep]:
        """Return the steps of a list that stands there, one after the other."""
        listed = entries["for"]
        values = texts_of(listed) if isinstance(listed.data, list) else []
        if not values:
            what = "write a step for each of them"
            keys = to_do(self._reader.imported.file, source_line(node), "for", what)
            return [ImportedStep(source_line(node), keys, [self.note(node, Outcome.LEFT, what)])]
        steps: list[ImportedStep] = []
        for value in values:
            inner = self._reader.scope({**scope.own, "ITEM": value})
            rest = {key: each for key, each in entries.items() if key != "for"}
            if "task" in rest:
                steps += self._call(node, rest, task, inner, depth)
            else:
                steps += self._script(node, text_of(rest.get("cmd")), rest, inner)
        return steps


def _platforms_condition(platforms: list[str]) -> str:
    systems = [_SYSTEMS[name] for name in (each.partition("/")[0] for each in platforms) if name in _SYSTEMS]
    return " || ".join(f"runner.os == '{system}'" for system in dict.fromkeys(systems))


def variables_of(node: SourceNode) -> dict[str, Variable]:
    """Return the vars of a mapping: texts, or commands that print them."""
    found: dict[str, Variable] = {}
    for name, each in node.entries().items():
        entries = each.entries()
        if "sh" in entries:
            found[name] = PrintedValue(text_of(entries["sh"]))
        elif not isinstance(each.data, dict | list):
            found[name] = text_of(each)
    return found
