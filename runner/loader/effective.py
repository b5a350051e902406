"""The document that a file comes to, with the origin of every value: what `mprun expand` shows. Pure.

    includes, templates, --set        have been put in by `check`
    defaults                          go into the stages and queues that they hold for
    --param                           becomes the default of its param
    ${{ params.x }}                   becomes the value, but in scripts, where none may stand, and where a test
                                      gives it another: that param stays

It is a workflow file again, and means the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from runner.facts import dataclass
from runner.loader.build import script_in
from runner.loader.interpolation import TESTS, is_note
from runner.loader.template_names import emptied, queues_named
from runner.spec.diagnostics import DataPath
from runner.spec.keys import usual_fragments_of
from runner.spec.model import StageSpec
from runner.spec.references import EARLY, IN_JOBS, ITEM, interpolate, names_used, references
from runner.spec.resources import QueueSpec
from runner.spec.source.composer import resolve
from runner.spec.source.emitter import Written
from runner.spec.source.positions import Location, SourceDocument, SourceNode, Text

_LATER = frozenset({ITEM, "env", *IN_JOBS, *EARLY})
_KEEP_REFERENCES = ("params", "jobs", "tests")
"""Sections whose texts stay as they are: no param may stand there, or it is put in as safely as only a run can."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value is written, and where the params are that are in it."""

    place: Location
    params: tuple[tuple[str, Location], ...] = ()


@dataclass(frozen=True, slots=True)
class Effective:
    """The document, and where each of its scalars, and each empty collection, comes from."""

    data: dict[str, Any]
    origins: Mapping[DataPath, Origin]
    written: dict[str, Any]
    """The document with numbers as they were typed, for an emitter."""


def effective(source: SourceDocument, params: Mapping[str, Any], given: Mapping[str, str]) -> Effective:
    """Return what a checked `source` comes to, with the values of its params; `given` is the text of `--param`."""
    work = _Folding(source, params)
    return work.fold({name: text for name, text in given.items() if name in params})


@dataclass(slots=True)
class _Folding:
    source: SourceDocument
    params: Mapping[str, Any]
    origins: dict[DataPath, Origin] = field(default_factory=dict)
    declared: dict[str, SourceNode] = field(default_factory=dict)
    tested: frozenset[str] = frozenset()
    """The params that tests give values of their own."""
    templates: dict[DataPath, str] = field(default_factory=dict)
    """The texts in which params were put, by their paths."""

    def fold(self, given: Mapping[str, str]) -> Effective:
        sections = {key: node for key, node in self.source.root.entries().items() if not is_note(key)}
        if "params" in sections:
            self.declared = {
                name: _with_given(name, node, self.params, given)
                for name, node in sections["params"].entries().items()
            }
            sections["params"] = sections["params"].with_entries(self.declared)
        tests = self.source.data.get(TESTS) or {}
        self.tested = frozenset(name for test in tests.values() for name in test.get("params", {}))
        usual = sections.pop("defaults").entries() if "defaults" in sections else {}
        if "stages" in sections:
            sections["stages"] = _with_usual(
                sections["stages"], usual.get("stage"), [*usual_fragments_of(StageSpec)]
            )
        if "queue" in usual:
            queues = _all_queues(sections)
            sections["queues"] = _with_usual(queues, usual["queue"], [*usual_fragments_of(QueueSpec)])
        filled = {key: self._section(key, node) for key, node in sections.items()}
        filled = self._without_unused(filled)
        ordered = sorted(filled, key=lambda key: _ORDER.index(key) if key in _ORDER else len(_ORDER))
        written = {key: self._noted(filled[key], (key,)) for key in ordered}
        return Effective({key: filled[key].data for key in ordered}, self.origins, written)

    def _without_unused(self, sections: dict[str, SourceNode]) -> dict[str, SourceNode]:
        """Leave out params that nothing refers to any more."""
        if "params" not in sections:
            return sections
        data = {key: node.data for key, node in sections.items() if key != "params"}
        used = {names[1] for names in self._names_in(data) if names[0] == "params" and len(names) > 1}
        kept = {name: node for name, node in sections["params"].entries().items() if name in used}
        rest = {key: node for key, node in sections.items() if key != "params"}
        return {**rest, "params": sections["params"].with_entries(kept)} if kept else rest

    def _names_in(self, data: Mapping[str, Any]) -> set[tuple[str, ...]]:
        used = names_used(data)
        if "jobs" in data:
            from runner.jobs.templates import names_in_conditions  # only those who have jobs wait for it

            used |= names_in_conditions(data["jobs"])
        if "stages" in data:
            from runner.loader.checks.routes import names_in_routes

            used |= names_in_routes(data["stages"])
        for test in (data.get(TESTS) or {}).values():
            used |= {("params", name) for name in test.get("params", {})}
        return used

    def _section(self, key: str, node: SourceNode) -> SourceNode:
        return node if key in _KEEP_REFERENCES else self._filled(node, (key,))

    def _filled(self, node: SourceNode, path: DataPath) -> SourceNode:
        """Return a value with its params put in."""
        if isinstance(node.data, str):
            return self._filled_text(node, path) if "${{" in node.data else node
        if isinstance(node.data, dict):
            return node.with_entries(
                {key: self._of_key(path, key, each) for key, each in node.entries().items()}
            )
        if isinstance(node.data, list):
            return node.with_items([self._filled(each, (*path, n)) for n, each in enumerate(node.items())])
        return node

    def _of_key(self, path: DataPath, key: str, node: SourceNode) -> SourceNode:
        is_kind = len(path) == 3 and path[::2] == ("stages", "run")
        script = script_in(key, node.data) if is_kind else None
        if script is not None and node.data == script:
            return node
        filled = self._filled(node, (*path, key))
        if script is None:
            return filled
        kept = {k: each for k, each in node.entries().items() if each.data == script}
        return filled.with_entries({**filled.entries(), **kept})

    def _filled_text(self, node: SourceNode, path: DataPath) -> SourceNode:
        if not self.tested.isdisjoint(_params_in(node.data)):
            return node
        value, problems = interpolate(
            self.source, node.data, {"params": self.params}, base=path, runtime=_LATER
        )
        if problems or value == node.data:
            return node
        self.templates[path] = node.data
        return SourceNode(value, node.mark)

    def _noted(self, node: SourceNode, path: DataPath) -> Any:
        """Note the origin of all that is in a value; return it as an emitter takes it."""
        if path in self.templates:
            origin = self._origin(node.mark.at_value(), self.templates[path])
            return self._noted_whole(node.data, path, origin)
        if isinstance(node.data, dict) and node.data:
            return {key: self._noted(each, (*path, key)) for key, each in node.entries().items()}
        if isinstance(node.data, list) and node.data:
            return [self._noted(each, (*path, number)) for number, each in enumerate(node.items())]
        self.origins[path] = self._origin(node.mark.at_value(), node.data)
        return _as_typed(node)

    def _noted_whole(self, value: Any, path: DataPath, origin: Origin) -> Any:
        below = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, each in below:
            self._noted_whole(each, (*path, key), origin)
        if not isinstance(value, dict | list) or not value:
            self.origins[path] = origin
        return value

    def _origin(self, place: Location, text: object) -> Origin:
        names = dict.fromkeys(_params_in(text)) if isinstance(text, str) else {}
        found = ((name, self.declared[name]) for name in names if name in self.declared)
        return Origin(place, tuple((name, _value_of(node).mark.at_value()) for name, node in found))


_ORDER = (
    "name",
    "description",
    "version",
    "transport",
    "params",
    "env",
    "limits",
    "resume",
    "queues",
    "stages",
)


def _params_in(text: str) -> Iterator[str]:
    return (each.names[1] for each in references(text) if each.names[0] == "params" and len(each.names) > 1)


def _value_of(param: SourceNode) -> SourceNode:
    return param.entries().get("default", param)


def _with_given(
    name: str, node: SourceNode, params: Mapping[str, Any], given: Mapping[str, str]
) -> SourceNode:
    """Return the declaration of a param, with what the command line gave as its default."""
    if name not in given:
        return node
    line = Text("--param", f"{name}={given[name]}")
    mark = node.mark._replace(text=line, start=len(name) + 1, end=len(line.text), children=None, aliased=None)
    return node.with_entries({**node.entries(), "default": SourceNode(params[name], mark)})


def _all_queues(sections: Mapping[str, SourceNode]) -> SourceNode:
    """Return the queues of a file, those too that stages name and nobody declares."""
    declared = sections["queues"].entries() if "queues" in sections else {}
    base = sections.get("queues") or sections["stages"]
    stages = sections["stages"].entries().values()
    used = {name: emptied(stage) for stage in stages for name in queues_named(stage)}
    return base.with_entries(
        {**declared, **{name: node for name, node in used.items() if name not in declared}}
    )


def _with_usual(section: SourceNode, usual: SourceNode | None, known: list[str]) -> SourceNode:
    """Return stages or queues with the defaults that hold for them; `env` alone is joined, not replaced."""
    if usual is None:
        return section
    keys = {key: node for key, node in usual.entries().items() if key in known}
    return section.with_entries({name: _laid_over(keys, node) for name, node in section.entries().items()})


def _laid_over(usual: Mapping[str, SourceNode], node: SourceNode) -> SourceNode:
    own = node.entries()
    fitting = {
        key: each for key, each in usual.items() if key not in own and not (key == "count" and "names" in own)
    }
    env = {}
    if "env" in own and "env" in usual:
        env = {"env": own["env"].with_entries({**usual["env"].entries(), **own["env"].entries()})}
    return node.with_entries({**own, **fitting, **env})


def _as_typed(node: SourceNode) -> Any:
    """Return a number as it was typed, as `3.10` may be meant for text, and all else as it is."""
    if not isinstance(node.data, int | float) or isinstance(node.data, bool):
        return node.data
    text, start, end = node.mark.written()
    typed = text.text[start:end]
    return Written(typed) if resolve(typed) == node.data else node.data
