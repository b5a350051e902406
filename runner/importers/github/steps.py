"""The steps of a job of GitHub Actions: scripts go over as they are, actions by what is known of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import field
from typing import Any

from runner.facts import dataclass
from runner.importers.github.actions import (
    ADVICE,
    COMMANDS,
    NOT_NEEDED,
    TOOLS,
    action_name,
    check_of_tool,
)
from runner.importers.model import ImportedJob, ImportedStep, Note, Outcome, to_do
from runner.importers.nodes import env_of, hand_out, note, plain_data, source_line, text_of, texts_of
from runner.importers.python_environments import environment_script, python_of
from runner.spec.source.positions import SourceNode

_GLOB = re.compile(r"[*?\[]")


@dataclass(slots=True)
class Artifacts:
    """What the jobs read so far put up under a name, and from which paths."""

    paths: dict[str, list[str]] = field(default_factory=dict)


class StepReader:
    """Reads the steps of one job, in their order."""

    def __init__(self, job: ImportedJob, file: str, artifacts: Artifacts) -> None:
        self._job = job
        self._file = file
        self._artifacts = artifacts

    def read(self, node: SourceNode) -> None:
        """Add what a step comes to."""
        entries = node.entries()
        step = ImportedStep(source_line(node))
        self._job.steps.append(step)
        if "uses" in entries:
            self._uses(step, entries)
        elif "run" in entries:
            self._takes(step, node, with_run=True)
        else:
            step.notes.append(note(node, Outcome.LEFT, "a step has `run` or `uses`"))
            step.keys = to_do(self._file, step.line, "a step", "it has neither `run` nor `uses`")

    def _takes(self, step: ImportedStep, node: SourceNode, *, with_run: bool) -> None:
        def keep(key: str) -> Callable[[SourceNode], None]:
            def kept(each: SourceNode) -> None:
                if each.data is not None:
                    step.keys[key] = plain_data(each)
                    step.notes.append(note(each, Outcome.KEPT))

            return kept

        def script(each: SourceNode) -> None:
            step.keys["run"] = tidy(text_of(each))
            step.notes.append(note(each, Outcome.KEPT))

        def timeout(each: SourceNode) -> None:
            step.keys["timeout"] = f"{text_of(each)}m"
            step.notes.append(note(each, Outcome.TRANSLATED, f"timeout: {text_of(each)}m"))

        def environment(each: SourceNode) -> None:
            env, notes = env_of(each)
            step.notes += notes
            if env:
                step.keys["env"] = env

        same = ("id", "name", "if", "continue-on-error", "shell", "working-directory")
        known: dict[str, Callable[[SourceNode], None]] = {
            key: keep(key) for key in same if with_run or key != "shell"
        }
        known |= {"timeout-minutes": timeout, "env": environment}
        known |= {"run": script} if with_run else {"uses": _nothing, "with": _nothing}
        hand_out(
            node,
            known,
            lambda key, each: step.notes.append(note(each, Outcome.LEFT, f"a step has no '{key}'")),
        )

    def _uses(self, step: ImportedStep, entries: dict[str, SourceNode]) -> None:
        node = entries["uses"]
        name = action_name(text_of(node))
        given = entries["with"].entries() if "with" in entries else {}
        special: dict[str, Callable[[ImportedStep, SourceNode, dict[str, SourceNode]], None]] = {
            "actions/checkout": self._checkout,
            "actions/setup-python": self._python,
            "actions/cache": self._cache,
            "actions/cache/restore": self._cache,
            "actions/upload-artifact": self._upload,
            "actions/upload-pages-artifact": self._upload,
            "actions/download-artifact": self._download,
            "actions/cache/save": self._saved,
        }
        if name in special:
            special[name](step, node, given)
        elif name in NOT_NEEDED:
            step.notes.append(note(node, Outcome.DROPPED, NOT_NEEDED[name]))
        elif name in TOOLS:
            tool = TOOLS[name]
            wanted = next((text_of(given[key]) for key in tool.keys if key in given), "")
            several = "\n" in wanted.strip()
            self._run(step, entries, check_of_tool(tool, "" if several else wanted.strip(), step.line))
            step.notes.append(
                note(node, Outcome.TRANSLATED, f"a check that {tool.program} is here{_of(wanted)}")
            )
        elif name in COMMANDS:
            command = COMMANDS[name]
            words = [text_of(given[key]).strip() for key in command.arguments if key in given]
            self._tool_or_command(step, entries, name, " ".join([command.run, *words]).strip(), given)
        else:
            self._left(step, entries, ADVICE.get(name, ""))
            return
        self._rest(step, entries)

    def _tool_or_command(
        self,
        step: ImportedStep,
        entries: dict[str, SourceNode],
        name: str,
        run: str,
        given: dict[str, SourceNode],
    ) -> None:
        if name == "taiki-e/install-action":
            tools = re.findall(r"[\w.-]+", text_of(given.get("tool")).replace("@", " @"))
            run = "\n".join(f"command -v {tool}" for tool in tools if not tool[0].isdigit())
        if not run:
            self._left(step, entries, "")
            return
        self._run(step, entries, run)
        step.notes.append(note(entries["uses"], Outcome.TRANSLATED, "what it runs"))

    def _run(self, step: ImportedStep, entries: dict[str, SourceNode], run: str) -> None:
        named = text_of(entries.get("name"))
        step.keys["name"] = named or text_of(entries["uses"])
        step.keys["run"] = run

    def _rest(self, step: ImportedStep, entries: dict[str, SourceNode]) -> None:
        """Keep what else a step says, where something is run for it."""
        if step.keys and entries.get("if") is not None and text_of(entries["if"]):
            step.keys = {**step.keys, "if": text_of(entries["if"])}
            step.notes.append(note(entries["if"], Outcome.KEPT))
        if step.keys and "id" in entries:
            step.keys["id"] = text_of(entries["id"])
        if step.keys and "continue-on-error" in entries:
            step.keys["continue-on-error"] = plain_data(entries["continue-on-error"])

    def _left(self, step: ImportedStep, entries: dict[str, SourceNode], advice: str) -> None:
        uses = text_of(entries["uses"])
        what = "write what it does here" + (f": {advice}" if advice else ", or take the step out")
        given = entries["with"].entries() if "with" in entries else {}
        more = tuple(line for key, each in given.items() for line in f"{key}: {text_of(each)}".splitlines())
        step.notes.append(Note(step.line, Outcome.LEFT, f"uses: {uses}", what, more))
        step.keys = to_do(self._file, step.line, f"uses: {uses}", what)
        self._rest(step, entries)

    def _checkout(self, step: ImportedStep, node: SourceNode, given: dict[str, SourceNode]) -> None:
        repository, path = text_of(given.get("repository")), text_of(given.get("path"))
        ref = text_of(given.get("ref"))
        if repository and path:
            branch = f' --branch "{ref}"' if ref else ""
            url = f"https://github.com/{repository}"
            step.keys = {
                "name": f"checkout {repository}",
                "run": f'[ -d "{path}" ] || git clone --depth 1{branch} "{url}" "{path}"',
            }
            step.notes.append(note(node, Outcome.TRANSLATED, "git clone, where it is not there"))
            return
        if text_of(given.get("submodules")) in ("true", "recursive"):
            deep = " --recursive" if text_of(given.get("submodules")) == "recursive" else ""
            step.keys = {"name": "submodules", "run": f"git submodule update --init{deep}"}
            step.notes.append(note(node, Outcome.TRANSLATED, "the files are there; submodules are brought"))
            return
        said = "the files are there already" + (f"; what is there is used, not {ref}" if ref else "")
        step.notes.append(note(node, Outcome.DROPPED, said))

    def _python(self, step: ImportedStep, node: SourceNode, given: dict[str, SourceNode]) -> None:
        """Each job gets an environment of its own: pip would change that of the system, or be refused."""
        versions = text_of(given.get("python-version")).split()
        version = versions[-1] if versions and "${{" not in " ".join(versions) else " ".join(versions)
        script = environment_script(self._job, version, step.line)
        step.keys = {"name": f"Python {version}".strip(), "run": script}
        step.notes.append(
            note(node, Outcome.TRANSLATED, f"an environment of its own, by {python_of(version)}")
        )

    def _cache(self, step: ImportedStep, node: SourceNode, given: dict[str, SourceNode]) -> None:
        paths = [
            line.strip() for text in texts_of(given.get("path")) for line in text.splitlines() if line.strip()
        ]
        key = text_of(given.get("key"))
        if "cache" in self._job.keys or not paths or not key:
            step.notes.append(note(node, Outcome.DROPPED, "it only saves time, and a job has one `cache`"))
            return
        cache: dict[str, Any] = {"key": key, "paths": paths}
        restore = [
            line.strip()
            for text in texts_of(given.get("restore-keys"))
            for line in text.splitlines()
            if line.strip()
        ]
        self._job.keys["cache"] = {**cache, "restore": restore} if restore else cache
        step.notes.append(note(node, Outcome.TRANSLATED, "the job's `cache`"))

    def _saved(self, step: ImportedStep, node: SourceNode, _given: dict[str, SourceNode]) -> None:
        step.notes.append(note(node, Outcome.DROPPED, "a `cache` is saved when the job has passed"))

    def _upload(self, step: ImportedStep, node: SourceNode, given: dict[str, SourceNode]) -> None:
        paths = [
            line.strip() for text in texts_of(given.get("path")) for line in text.splitlines() if line.strip()
        ]
        self._artifacts.paths[text_of(given.get("name"))] = paths
        strict = text_of(given.get("if-no-files-found")) == "error"
        plain_paths = [path for path in paths if "${{" not in path and path[0] not in "!~/"]
        if not strict or plain_paths != paths or not paths:
            step.notes.append(note(node, Outcome.DROPPED, "what a job makes stays where it is"))
            return
        outputs = self._job.keys.setdefault("outputs", {})
        outputs["files"] = [*outputs.get("files", ()), *map(_as_glob, paths)]
        step.notes.append(note(node, Outcome.TRANSLATED, "the job's `outputs`"))

    def _download(self, step: ImportedStep, node: SourceNode, given: dict[str, SourceNode]) -> None:
        paths = self._artifacts.paths.get(text_of(given.get("name")), [])
        to = text_of(given.get("path")).rstrip("/")
        if (
            not to
            or not paths
            or "${{" in to + paths[0]
            or [_folder(path) for path in paths] == [to.removeprefix("./")]
        ):
            step.notes.append(note(node, Outcome.DROPPED, "it lies where the job that made it has put it"))
            return
        sources = " ".join(
            path if _GLOB.search(path) else shlex.quote(path.rstrip("/")) for path in map(_contents, paths)
        )
        step.keys = {
            "name": f"files into {to}",
            "run": f"mkdir -p {shlex.quote(to)} && cp -R {sources} {shlex.quote(to)}",
        }
        step.notes.append(note(node, Outcome.TRANSLATED, "a copy of what the job before has made"))


def _nothing(_: SourceNode) -> None:
    return None


def _of(wanted: str) -> str:
    return f" as {' '.join(wanted.split())}" if wanted else ""


def _as_glob(path: str) -> str:
    return f"{path}**" if path.endswith("/") else path


def _contents(path: str) -> str:
    return f"{path}." if path.endswith("/") else path


def _folder(path: str) -> str:
    bare = path.removeprefix("./").rstrip("/")
    return (
        bare.rpartition("/")[0]
        if _GLOB.search(bare.rpartition("/")[2]) or "." in bare.rpartition("/")[2]
        else bare
    )


def tidy(script: str) -> str:
    """Return a script without what no shell sees: blanks in empty lines, and empty lines at its ends."""
    lines = [line if line.strip() else "" for line in script.split("\n")]
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    while len(lines) > 1 and not lines[0]:
        lines.pop(0)
    return "\n".join(lines) + ("\n" if len(lines) > 1 else "")
