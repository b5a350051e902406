"""A job of a GitLab pipeline: one script of what runs before and the script, and what is said about when and where."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

from runner.importers.gitlab.resolving import Pipeline
from runner.importers.gitlab.variables import expanded, unknown_in
from runner.importers.model import ImportedJob, ImportedStep, Note, Outcome, to_do
from runner.importers.nodes import hand_out, note, source_line, text_of, texts_of
from runner.spec.source.positions import SourceNode

_DROPPED = {
    "stage": "",
    "extends": "",
    "before_script": "",
    "tags": "all jobs run on this machine",
    "environment": "there are no environments here",
    "coverage": "nobody reads it from what a job prints",
    "interruptible": "say `concurrency` with `cancel-in-progress` where it is wanted",
    "dependencies": "what a job makes stays where it is",
    "inherit": "it is filled in",
    "pages": "nothing is published from here",
    "publish": "nothing is published from here",
    "start_in": "it starts at once",
    "manual_confirmation": "nobody is asked",
    "dast_configuration": "it works on GitLab alone",
}
_CONDITIONS = {"always": "always()", "on_failure": "failure()"}
_UNITS = {"h": 3600, "m": 60, "s": 1, "d": 86400}
_DURATION = re.compile(r"(\d+)\s*(h|m|s|d)[a-z]*")
_BRANCHES = re.compile(
    r"merge_request|branch|BRANCH|\bmain\b|\bmaster\b|\bdevelop\b|\bpushes\b|CI_COMMIT_REF", re.IGNORECASE
)


class JobReader:
    """Reads one job of a pipeline."""

    def __init__(
        self, job: ImportedJob, node: SourceNode, pipeline: Pipeline, known: Mapping[str, str], file: str
    ) -> None:
        self._job = job
        self._node = node
        self._pipeline = pipeline
        self._known = dict(known)
        self._file = file
        self.needs_written = "needs" in node.entries()

    def read(self) -> None:
        """Read it, with what the file says of all jobs where it says nothing itself."""
        job, entries = self._job, self._node.entries()
        if "variables" in entries:
            self._variables(entries["variables"])
        known: dict[str, Callable[[SourceNode], None]] = {
            "variables": lambda _: None,
            "needs": self._needs,
            "rules": self._rules,
            "only": self._rules,
            "except": lambda node: self._note(node, Outcome.DROPPED, "it runs when it is typed"),
            "when": self._when,
            "allow_failure": self._allow,
            "retry": self._retry,
            "timeout": self._timeout,
            "parallel": self._parallel,
            "resource_group": self._group,
            "image": self._image,
            "services": self._services,
            "cache": self._cache,
            "artifacts": self._artifacts,
            "script": lambda _: None,
            "after_script": lambda _: None,
            "release": lambda node: self._fails(node, "glab release create, or git tag"),
            "trigger": lambda node: self._fails(node, "start the other pipeline by hand"),
        }
        known |= {key: self._drop(why) for key, why in _DROPPED.items()}
        order = ("parallel", "needs", "rules", "only", "when", "image", "services")
        hand_out(
            self._node,
            known,
            lambda key, node: self._note(node, Outcome.LEFT, f"'{key}' is not known here"),
            order,
        )
        self._usual(entries)
        self._scripts(entries)
        if not job.steps:
            job.steps.append(
                ImportedStep(job.line, to_do(self._file, job.line, job.name, "it has no script"))
            )
            job.notes.append(Note(job.line, Outcome.LEFT, job.name, "it has no script"))

    def _usual(self, entries: dict[str, SourceNode]) -> None:
        readers = {
            "image": self._image,
            "services": self._services,
            "cache": self._cache,
            "retry": self._retry,
        }
        for key, reader in (readers | {"timeout": self._timeout, "artifacts": self._artifacts}).items():
            found = self._pipeline.value(key) if key not in entries else None
            if found is not None:
                before = len(self._job.notes)
                reader(found)
                told = self._job.notes[before:]
                self._job.notes[before:] = [each for each in told if each.outcome is Outcome.LEFT]

    def _note(self, node: SourceNode, outcome: Outcome, said: str = "") -> None:
        self._job.notes.append(note(node, outcome, said))

    def _drop(self, why: str) -> Callable[[SourceNode], None]:
        if not why:
            return lambda node: self._note(node, Outcome.TRANSLATED, "it is filled in")
        return lambda node: self._note(node, Outcome.DROPPED, why)

    def _fails(self, node: SourceNode, what: str) -> None:
        line = source_line(node)
        self._note(node, Outcome.LEFT, what)
        self._job.steps.append(
            ImportedStep(line, to_do(self._file, line, note(node, Outcome.LEFT).source, what))
        )

    def _scripts(self, entries: dict[str, SourceNode]) -> None:
        """GitLab runs what is before and the script in one shell, what is after in another one."""
        before = entries.get("before_script", self._pipeline.value("before_script"))
        script, after = (
            entries.get("script"),
            entries.get("after_script", self._pipeline.value("after_script")),
        )
        if script is not None:
            lines = [*texts_of(before), *texts_of(script)]
            step = ImportedStep(source_line(script), {"run": _script(lines)}, [note(script, Outcome.KEPT)])
            self._job.steps.insert(0, step)
        if after is not None and texts_of(after):
            step = ImportedStep(
                source_line(after),
                {"run": _script(texts_of(after))},
                [note(after, Outcome.TRANSLATED, "ensure")],
            )
            self._job.ensure.append(step)

    def _variables(self, node: SourceNode) -> None:
        own = {name: text_of(each) for name, each in node.entries().items() if not each.entries()}
        self._known |= own
        for name, each in node.entries().items():
            value = expanded(
                own.get(name, text_of(each.entries().get("value"))),
                {k: v for k, v in self._known.items() if k != name},
            )
            self._job.keys.setdefault("env", {})[name] = value
            left = unknown_in(value)
            if left:
                self._note(each, Outcome.LEFT, f"nobody fills in ${left[0]} here")
            else:
                self._note(each, Outcome.KEPT)

    def _needs(self, node: SourceNode) -> None:
        needs: list[Any] = []
        for each in node.items() if isinstance(node.data, list) else [node]:
            entries = each.entries()
            name = text_of(entries.get("job")) if entries else text_of(each)
            if not name or "project" in entries or "pipeline" in entries:
                self._note(each, Outcome.LEFT, "it is of another pipeline")
            else:
                optional = "optional" in entries and entries["optional"].data is True
                needs.append({"job": name, "optional": True} if optional else name)
                self._note(each, Outcome.KEPT)
        if needs:
            self._job.keys["needs"] = needs

    def _rules(self, node: SourceNode) -> None:
        """A job for branches runs here; one for tags, schedules or a click runs where it is named."""
        listed = node.items() if isinstance(node.data, list) else [node]
        rules = [each for each in listed if text_of(each.entries().get("when")) != "never"]
        written = " ".join(str(each.data) for each in rules)
        is_open = any(
            each.entries() and "if" not in each.entries() and "when" not in each.entries() for each in rules
        )
        clicked = bool(rules) and all(text_of(each.entries().get("when")) == "manual" for each in rules)
        if not rules or clicked or not (is_open or _BRANCHES.search(written) or "on_success" in written):
            self._job.keys["manual"] = True
            self._note(node, Outcome.TRANSLATED, "manual: it runs where it is named or needed")
        else:
            self._note(node, Outcome.DROPPED, "it runs when it is typed")

    def _when(self, node: SourceNode) -> None:
        when = text_of(node)
        if when in ("manual", "never"):
            self._job.keys["manual"] = True
            self._note(node, Outcome.TRANSLATED, "manual: it runs where it is named or needed")
        elif when in _CONDITIONS:
            self._job.keys["if"] = _CONDITIONS[when]
            self._note(node, Outcome.TRANSLATED, f"if: {_CONDITIONS[when]}")
        else:
            self._note(node, Outcome.DROPPED, "it is what a job does")

    def _allow(self, node: SourceNode) -> None:
        if node.data is not False:
            self._job.keys["continue-on-error"] = True
        codes = node.entries().get("exit_codes")
        said = f"it may fail with any code, not with {codes.data} alone" if codes else "continue-on-error"
        self._note(node, Outcome.LEFT if codes else Outcome.TRANSLATED, said)

    def _retry(self, node: SourceNode) -> None:
        most = text_of(node.entries().get("max")) if node.entries() else text_of(node)
        if most.isdecimal() and 0 < int(most) < 100:
            self._job.keys["attempts"] = int(most) + 1
            self._note(node, Outcome.TRANSLATED, f"attempts: {int(most) + 1}")
        else:
            self._note(node, Outcome.DROPPED, "a job is tried once")

    def _timeout(self, node: SourceNode) -> None:
        seconds = sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(text_of(node).lower()))
        if seconds:
            self._job.keys["timeout"] = f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
        self._note(node, Outcome.TRANSLATED if seconds else Outcome.LEFT, "timeout")

    def _parallel(self, node: SourceNode) -> None:
        number = text_of(node)
        env = self._job.keys.setdefault("env", {})
        matrix = node.entries().get("matrix")
        if number.isdecimal() and 1 < int(number) <= 200:
            self._job.keys["strategy"] = {
                "fail-fast": False,
                "matrix": {"node": [*range(1, int(number) + 1)]},
            }
            env |= {"CI_NODE_INDEX": "${{ matrix.node }}", "CI_NODE_TOTAL": number}
        elif matrix is not None and matrix.items():
            rows = [{key: texts_of(each) for key, each in row.entries().items()} for row in matrix.items()]
            rows = [{key: values for key, values in row.items() if values} for row in rows]
            one = len(rows) == 1
            legs = [
                dict(zip(row, picked, strict=True))
                for row in rows
                for picked in itertools.islice(itertools.product(*row.values()), 500)
            ]
            self._job.keys["strategy"] = {"fail-fast": False, "matrix": rows[0] if one else {"include": legs}}
            env |= {key: "${{ matrix." + key + " }}" for row in rows for key in row}
            self._known = {k: v for k, v in self._known.items() if k not in env} | {
                k: env[k] for row in rows for k in row
            }
        self._note(node, Outcome.TRANSLATED, "a matrix")
        if not env:
            del self._job.keys["env"]

    def _group(self, node: SourceNode) -> None:
        self._job.keys["concurrency"] = {"group": text_of(node), "scope": "machine"}
        self._note(node, Outcome.TRANSLATED, "concurrency")

    def _image(self, node: SourceNode) -> None:
        name = text_of(node.entries().get("name")) if node.entries() else text_of(node)
        image = expanded(name, self._known)
        if not image or unknown_in(image):
            self._note(node, Outcome.LEFT, "say in `container` which image it is")
        else:
            self._job.keys["container"] = image
            self._note(node, Outcome.TRANSLATED, "container")

    def _services(self, node: SourceNode) -> None:
        services: dict[str, Any] = {}
        for each in node.items():
            entries = each.entries()
            image = expanded(text_of(entries.get("name")) if entries else text_of(each), self._known)
            usual = re.sub(r"[^\w-]", "-", image.rpartition("/")[2].partition(":")[0])
            alias = text_of(entries.get("alias")).split(",")[0].strip() or usual
            container: dict[str, Any] = {"image": image}
            inner = entries["variables"].entries() if "variables" in entries else {}
            if inner:
                container["env"] = {
                    name: expanded(text_of(value), self._known) for name, value in inner.items()
                }
            if image and not unknown_in(image):
                services[alias] = {"container": container if len(container) > 1 else image}
                self._note(each, Outcome.TRANSLATED, "a container")
            else:
                self._note(each, Outcome.LEFT, "say in `services` which image it is")
        if services:
            self._job.keys["services"] = services

    def _cache(self, node: SourceNode) -> None:
        first = node.items()[0] if isinstance(node.data, list) and node.items() else node
        entries = first.entries()
        paths = [expanded(path, self._known) for path in texts_of(entries.get("paths"))]
        paths = [path for path in paths if not unknown_in(path)]
        if not paths:
            self._note(node, Outcome.DROPPED, "there is nothing to keep")
            return
        key = entries.get("key")
        files = texts_of(key.entries().get("files")) if key is not None and key.entries() else []
        prefix = text_of(key.entries().get("prefix")) if key is not None and key.entries() else text_of(key)
        hashed = "${{ hashFiles(" + ", ".join(f"'{name}'" for name in files) + ") }}" if files else ""
        named = "-".join(part for part in (expanded(prefix, self._known), hashed) if part)
        self._job.keys["cache"] = {
            "key": named if named and not unknown_in(named) else "default",
            "paths": paths,
        }
        self._note(node, Outcome.TRANSLATED, "cache")

    def _artifacts(self, node: SourceNode) -> None:
        entries = node.entries()
        paths = [expanded(path, self._known) for path in texts_of(entries.get("paths"))]
        fixed = [path for path in paths if "$" not in path and path[:1] not in "/!~"]
        always = text_of(entries.get("when")) in ("always", "on_failure")
        if not fixed or always or fixed != paths or "strategy" in self._job.keys:
            self._note(node, Outcome.DROPPED, "what a job makes stays where it is")
        else:
            files = [f"{path}**" if path.endswith("/") else path for path in fixed]
            self._job.keys["outputs"] = {"files": files}
            self._note(node, Outcome.TRANSLATED, "outputs")
        reports = entries["reports"].entries() if "reports" in entries else {}
        if "dotenv" in reports:
            self._note(
                reports["dotenv"], Outcome.LEFT, "hand values on by `outputs.values` and $MPRUN_OUTPUT"
            )


def _script(lines: list[str]) -> str:
    text = "\n".join(line.rstrip("\n") for line in lines)
    return text + ("\n" if "\n" in text else "") if text.strip() else "true"
