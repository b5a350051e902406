"""`use`: stages that stand for those of a template, a file with params of its own.

    stages:
      small: {use: resize.yaml, with: {size: 128}, queues: {in: photos}}
                  │
                  ├─ read ► include ► its own uses ► names ► params      problems point into it and to the use
                  ▼
    stages: small-shrink, …    queues: photos, small-between    params: small-size, with the value as its default

What comes out is an ordinary file: a template's stage is checked where it stands now, under the name that it has there,
and a param of a template is one of the workflow, in whose scripts it is as safe as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from runner.errors import SpecError
from runner.facts import dataclass
from runner.loader.interpolation import NO_TEMPLATES, FromTemplates, scopes_at_the_top
from runner.loader.parameters import param_faults
from runner.loader.recovery import correct_keys
from runner.loader.schema.templates import template_schema, use_schema, uses_schema
from runner.loader.schema.validate import check_shape, check_value, schema_for
from runner.loader.schema.workflow import USE, param_schema
from runner.loader.template_names import (
    Renaming,
    emptied,
    laid_on,
    over_defaults,
    queues_named,
    with_needs_of,
)
from runner.spec.diagnostics import DataPath, Diagnostic, LocatedDiagnostic, UseSite
from runner.spec.keys import Fragment
from runner.spec.references import interpolate, names_used, references
from runner.spec.source.include import MAX_CHAIN, include_all, not_yaml_by_name, seen_from
from runner.spec.source.positions import Mark, SourceDocument, SourceNode, Text
from runner.spec.source.reader import read
from runner.spec.suggestions import did_you_mean, nearest

MOST_USES = 1000
"""Of templates by a file, and by the templates that it uses."""

_UNKNOWN = {"param": "unknown-param", "queue": "unknown-queue", "stage": "unknown-stage"}

_Entries = dict[str, SourceNode]
Scopes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class WithTemplates:
    """A file with the stages of its templates, and what is wrong with how it uses them."""

    source: SourceDocument
    diagnostics: tuple[LocatedDiagnostic, ...] = ()
    unexpanded: frozenset[DataPath] = frozenset()
    """Stages whose template can't be used: what they would be is not known."""
    templates: FromTemplates = NO_TEMPLATES


def uses_templates(data: Any) -> bool:
    """Say whether there is anything to do."""
    return any(True for _ in _uses(data))


def expand_templates(
    source: SourceDocument, given: Mapping[str, str], environ: Mapping[str, str]
) -> WithTemplates:
    """Return the source with the stages of templates in place of those that use them. Reads files."""
    work = _Expansion(environ)
    whole = work.expand(source, given, (_real(source),))
    source = replace(whole.source, included=(*source.included, *work.texts))
    source = source.with_root(source.root, (*source.traps, *work.traps))
    known = FromTemplates(frozenset(whole.used), frozenset(whole.unsure))
    return WithTemplates(source, tuple(work.diagnostics), frozenset(whole.unexpanded), known)


def _uses(data: Any) -> Iterator[str]:
    stages = data.get("stages") if isinstance(data, dict) else None
    for name, keys in stages.items() if isinstance(stages, dict) else ():
        if isinstance(keys, dict) and USE in keys:
            yield name


@dataclass(slots=True)
class _Whole:
    """A file without uses of templates; names are as they are in it."""

    source: SourceDocument
    used: set[tuple[str, ...]] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    unexpanded: set[DataPath] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Use:
    """One stage that uses a template, and the file in which it does."""

    source: SourceDocument
    name: str
    keys: Mapping[str, Any]
    scopes: Scopes
    given: Mapping[str, str]
    chain: tuple[Path, ...]

    @property
    def path(self) -> DataPath:
        return ("stages", self.name)

    @property
    def node(self) -> SourceNode:
        return self.source.root.entries()["stages"].entries()[self.name]

    @property
    def sites(self) -> tuple[UseSite, ...]:
        where = self.source.locate((*self.path, USE))
        return (UseSite(where.file, where.span, self.name), *where.used)

    def prefixed(self, name: str) -> str:
        return f"{self.name}-{name}"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a template brings along, under the names that it has where it is used."""

    stages: _Entries
    queues: _Entries
    params: _Entries


@dataclass(slots=True)
class _Expansion:
    """One walk over a file, the templates that it uses, and those that they use."""

    environ: Mapping[str, str]
    diagnostics: list[LocatedDiagnostic] = field(default_factory=list)
    traps: list[LocatedDiagnostic] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    count: int = 0

    def expand(self, source: SourceDocument, given: Mapping[str, str], chain: tuple[Path, ...]) -> _Whole:
        """Return a file with its templates put in."""
        if not uses_templates(source.data):
            return _Whole(source)
        closed = {"properties": {"stages": {"properties": dict.fromkeys(_uses(source.data), use_schema())}}}
        source, slips, _ = correct_keys(source, lambda _: closed)
        self.diagnostics += slips
        scopes = scopes_at_the_top(source, given, self.environ)
        used = names_used({name: source.data["stages"][name] for name in _uses(source.data)})
        source, bad = self._checked_uses(source, scopes)
        whole = _Whole(source, used)
        parts: dict[str, _Parts | None] = {}
        for name in _uses(source.data):
            below = {key.removeprefix(f"{name}-"): text for key, text in given.items()}
            use = _Use(source, name, source.data["stages"][name], scopes, below, chain)
            parts[name] = None if name in bad else self._parts(use, whole)
            if parts[name] is None:
                whole.unexpanded.add(use.path)
        whole.source = self._lay(source, parts)
        return whole

    def _checked_uses(self, source: SourceDocument, scopes: Scopes) -> tuple[SourceDocument, set[str]]:
        """Return the file with the references in its uses replaced, and the names of those uses that are wrong."""
        names = list(_uses(source.data))
        sections = source.root.entries()
        stages = sections["stages"].entries()
        filled = {name: self._filled(source, stages[name], ("stages", name), scopes) for name in names}
        sections["stages"] = sections["stages"].with_entries({**stages, **filled})
        source = source.with_root(source.root.with_entries(sections))
        bad = {name for name in names if _is_unsure({**source.data["stages"][name], "with": None})}
        bad |= {name for name in names if source.data["stages"][name].get("with") is _UNSURE}
        data = {"stages": {name: source.data["stages"][name] for name in names if name not in bad}}
        wrong = check_shape(uses_schema(), data, source.scalar_text)
        self.diagnostics += source.place_all(wrong)
        return source, bad | {str(each.path[1]) for each in wrong}

    def _filled(self, source: SourceDocument, node: SourceNode, path: DataPath, scopes: Scopes) -> SourceNode:
        """Return a value with its references replaced; one that hangs on what is not known is `_UNSURE`."""
        if isinstance(node.data, dict):
            entries = node.entries().items()
            return node.with_entries(
                {key: self._filled(source, each, (*path, key), scopes) for key, each in entries}
            )
        if isinstance(node.data, list):
            items = enumerate(node.items())
            return node.with_items([self._filled(source, each, (*path, n), scopes) for n, each in items])
        if not isinstance(node.data, str) or "${{" not in node.data:
            return node
        value, problems = interpolate(source, node.data, scopes, base=path)
        self.diagnostics += problems
        if problems or (value is None and names_used(node.data)):
            return node._replace(data=_UNSURE)
        return _marked(value, node.mark)

    def _parts(self, use: _Use, into: _Whole) -> _Parts | None:
        """Return what a template brings along; None if it can't be read, or is none."""
        template = self._open(use)
        if template is None:
            return None
        params, unsure = self._params(use, template)
        template = _with_section(template, "params", params)
        given = {name: text for name, text in use.given.items() if name in params}
        whole = self.expand(template, given, (*use.chain, _real(template)))
        known = {*whole.source.data["params"], *unsure, *whole.unsure}
        missing = self._check_references(whole.source, known)
        into.unsure |= {use.prefixed(name) for name in (*unsure, *whole.unsure, *missing)}
        into.used |= {(n[0], use.prefixed(n[1]), *n[2:]) for n in whole.used if n[0] == "params" and n[1:]}
        into.unexpanded |= {("stages", use.prefixed(str(path[1]))) for path in whole.unexpanded}
        return self._renamed(use, whole.source)

    # ── the template's file ──

    def _open(self, use: _Use) -> SourceDocument | None:
        """Return a template with what it includes; None if it can't be had."""
        name = str(use.keys[USE])
        file, shown = _file_of(use, name)
        trouble = self._refusal(use, file, name)
        if trouble is not None:
            self._complain(use, (USE,), *trouble)
            return None
        try:
            template = read(file, shown, use.sites)
        except SpecError as error:
            self.diagnostics += (seen_from(use.source, (*use.path, USE), each) for each in error.diagnostics)
            return None
        self.texts.append(template.mark.text)
        template, diagnostics = include_all(template)
        self.texts += template.included
        self.traps += template.traps
        template, slips, _ = correct_keys(template, _with_all_keys)
        self.diagnostics += [*diagnostics, *slips]
        return self._checked_template(template)

    def _refusal(self, use: _Use, file: Path, name: str) -> tuple[str, str, str] | None:
        """Return code, message and help where a template must not be read."""
        real = file.resolve()
        self.count += 1
        if real in use.chain:
            circle = " → ".join(each.name for each in (*use.chain[use.chain.index(real) :], real))
            return "template-cycle", f"templates use each other: {circle}", "take one of these uses out"
        if len(use.chain) > MAX_CHAIN:
            message = f"templates use one another more than {MAX_CHAIN} deep"
            return "include-depth", message, "use them side by side"
        if self.count > MOST_USES:
            message = f"templates are used more than {MOST_USES:,} times"
            return "too-many-uses", message, "give a stage more workers by `count` instead"
        if (help_ := not_yaml_by_name(file)) is not None:
            return "include-name", f"'{name}' is no YAML file by its name, so it is not read", help_
        return None

    def _checked_template(self, template: SourceDocument) -> SourceDocument | None:
        """Return a template whose sections can be used; None if they can't."""
        wrong = check_shape(template_schema(), template.data, template.scalar_text)
        self.diagnostics += template.place_all(
            replace(each, message=each.message.replace("a workflow has", "a template has", 1))
            for each in wrong
        )
        sections = {each.path[0] for each in wrong if each.code != "unknown-key" and each.path}
        is_none = any(not each.path for each in wrong) or sections & {"stages", "queues", "defaults"}
        return None if is_none else template

    # ── its params ──

    def _params(self, use: _Use, template: SourceDocument) -> tuple[_Entries, set[str]]:
        """Return a template's params, with the values of `with` as defaults, and the names of those without a value."""
        declared = template.root.entries()["params"].entries() if "params" in template.data else {}
        values = self._values(use, declared)
        found: _Entries = {}
        unsure: set[str] = set()
        for name, declaration in declared.items():
            value = values.get(name)
            # What is wrong with a declaration has been told.
            if check_value(param_schema(), declaration.data) or not self._is_given(
                use, name, declaration, value
            ):
                unsure.add(name)
            else:
                found[name] = declaration if value is None else _with_default(declaration, value)
        return found, unsure

    def _values(self, use: _Use, declared: _Entries) -> _Entries:
        """Return what `with` gives; what is not declared is told of."""
        given = use.node.entries().get("with")
        values = given.entries() if given is not None else {}
        names = self._meant(use, "with", "param", values, declared)
        return {names[key]: node for key, node in values.items() if key in names}

    def _meant(
        self, use: _Use, section: str, what: str, given: Iterable[str], known: Iterable[str]
    ) -> dict[str, str]:
        """Return what each of some keys is for: itself, or for a slip, which is told of, what it was meant for."""
        given, known = [*given], [*known]
        meant: dict[str, str] = {key: key for key in given if key in known}
        for key in given:
            if key in known:
                continue
            message = f"the template '{use.keys[USE]}' has no {what} '{key}'"
            help_ = did_you_mean(key, known) or f"the template has no {what}s"
            self._complain(use, (section, key), _UNKNOWN[what], message, help_, part="key")
            right = nearest(key, [name for name in known if name not in meant.values()])
            if right is not None:
                meant[key] = right
        return meant

    def _is_given(self, use: _Use, name: str, declaration: SourceNode, value: SourceNode | None) -> bool:
        """Say whether a param has a value that is known and fits; if it has not, tell of it."""
        if value is None:
            return self._has_value(use, name, declaration)
        if _is_unsure(value.data):
            return False
        faults = param_faults(declaration.data, value.data)
        at = declaration.mark.at_key()
        for fault in faults:
            help_ = f"'{name}' is declared at {at.file}:{at.span.line}"
            self._complain(use, ("with", name), "wrong-param", f"param '{name}': {fault}", help_)
        return not faults

    def _has_value(self, use: _Use, name: str, declaration: SourceNode) -> bool:
        """Say whether a param has a value without `with`; if not, tell of it."""
        if "default" in declaration.data or name in use.given:
            return True
        message = f"the template '{use.keys[USE]}' needs the param '{name}'"
        about = declaration.data.get("description")
        help_ = f"add it to `with`{f': {about}' if isinstance(about, str) else ''}"
        self._complain(use, (USE,), "missing-param", message, help_)
        return False

    def _check_references(self, template: SourceDocument, known: Iterable[str]) -> set[str]:
        """Return the params that a template refers to and does not declare, and tell of each reference."""
        names, missing = [*known], set()
        for path, text in _texts_below(_body(template.data), ()):
            for each in references(text):
                if each.names[0] == "params" and len(each.names) > 1 and each.names[1] not in names:
                    missing.add(each.names[1])
                    where = template.within(path, each.start, each.width)
                    help_ = did_you_mean(each.names[1], names) or "the template declares no params"
                    message = f"the template has no param '{each.names[1]}'"
                    self.diagnostics.append(where.diagnostic("unknown-reference", message, help=help_))
        return missing

    # ── the names that it has where it is used ──

    def _renamed(self, use: _Use, template: SourceDocument) -> _Parts:
        sections = template.root.entries()
        stages = sections["stages"].entries()
        queues = sections["queues"].entries() if "queues" in sections else {}
        used = {name for node in stages.values() for name in queues_named(node)}
        usual = sections["defaults"].entries() if "defaults" in sections else {}
        if "queue" in usual:
            queues = {**queues, **{name: emptied(usual["queue"]) for name in used if name not in queues}}
        new_stages = self._new_names(use, "stages", [*stages])
        new_queues = self._new_names(use, "queues", list(dict.fromkeys([*queues, *sorted(used)])))
        rename = Renaming(new_stages, new_queues, use.name)
        return _Parts(
            {
                new_stages[n]: rename.stage(over_defaults(usual.get("stage"), node))
                for n, node in stages.items()
            },
            {
                new_queues[n]: rename.texts(over_defaults(usual.get("queue"), node))
                for n, node in queues.items()
            },
            {use.prefixed(n): node for n, node in sections["params"].entries().items()},
        )

    def _new_names(self, use: _Use, section: str, names: Iterable[str]) -> dict[str, str]:
        mapped = use.keys.get(section, {})
        meant = self._meant(use, section, section.removesuffix("s"), mapped, names)
        given = {meant[key]: name for key, name in mapped.items() if key in meant}
        return {name: given.get(name) or use.prefixed(name) for name in names}

    # ── all together ──

    def _lay(self, source: SourceDocument, parts: Mapping[str, _Parts | None]) -> SourceDocument:
        """Put what the templates bring along into the file that uses them."""
        sections = source.root.entries()
        own = sections["stages"].entries()
        groups = {name: [*each.stages] for name, each in parts.items() if each is not None}
        stages: _Entries = {}
        for name, node in own.items():
            found = parts.get(name)
            if name not in parts:
                self._add("stage", stages, {name: with_needs_of(node, groups)})
            elif found is None:
                stages[name] = emptied(node)
            else:
                self._add(
                    "stage", stages, {key: with_needs_of(each, groups) for key, each in found.stages.items()}
                )
        for section, what in (("queues", "queue"), ("params", "param")):
            brought = [getattr(each, section) for each in parts.values() if each is not None]
            entries = sections[section].entries() if section in sections else {}
            for each in brought:
                self._add(what, entries, each)
            if entries:
                sections[section] = _section(source, section).with_entries(entries)
        sections["stages"] = sections["stages"].with_entries(stages)
        return source.with_root(source.root.with_entries(sections))

    def _add(self, what: str, into: _Entries, entries: _Entries) -> None:
        """Add entries. What `--set` says of one goes over it; a queue that a file declares is not a template's."""
        for name, node in entries.items():
            there = into.get(name)
            if there is None:
                into[name] = node
            elif _is_setting(there) or _is_setting(node):
                into[name] = laid_on(*((there, node) if _is_setting(there) else (node, there)))
            elif what != "queue" or there.mark.text.used:
                self._refuse_double(what, name, there, node)

    def _refuse_double(self, what: str, name: str, there: SourceNode, node: SourceNode) -> None:
        first = there.mark.at_key()
        message = f"{what} '{name}' is defined twice; first at {first.file}:{first.span.line}"
        help_ = "rename one of them; where a template is used, `stages` and `queues` give other names to what it has"
        self.diagnostics.append(node.mark.at_key().diagnostic("defined-twice", message, help=help_))

    def _complain(
        self, use: _Use, below: DataPath, code: str, message: str, help_: str | None, part: Any = "value"
    ) -> None:
        self.diagnostics.append(use.source.place(Diagnostic((*use.path, *below), code, message, part, help_)))


def _with_all_keys(data: Any) -> Fragment:
    """Return the schema of a template with all that its stages and queues may have, for slips in them to be found."""
    schema, whole = template_schema(), schema_for(data)["properties"]
    uses = dict.fromkeys(_uses(data), use_schema())
    sections = {"stages": {**whole["stages"], "properties": uses}, "queues": whole["queues"]}
    return {**schema, "properties": {**schema["properties"], **sections}}


def _is_setting(node: SourceNode) -> bool:
    return node.mark.text.file.startswith("--")


_UNSURE = object()
"""Stands for a value that is not known, as has been told."""


def _is_unsure(value: object) -> bool:
    """Say whether something in a value is not known."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is _UNSURE or any(map(_is_unsure, below))


def _with_default(declaration: SourceNode, value: SourceNode) -> SourceNode:
    return declaration.with_entries({**declaration.entries(), "default": value})


def _with_section(source: SourceDocument, name: str, entries: _Entries) -> SourceDocument:
    sections = source.root.entries()
    return source.with_root(
        source.root.with_entries({**sections, name: _section(source, name).with_entries(entries)})
    )


def _section(source: SourceDocument, name: str) -> SourceNode:
    """Return a section of a file, or an empty one that stands where its stages do."""
    sections = source.root.entries()
    found = sections.get(name)
    return emptied(sections["stages"]) if found is None or not isinstance(found.data, dict) else found


def _marked(value: Any, mark: Mark) -> SourceNode:
    """Return a value of which all stands in one place."""
    if isinstance(value, dict):
        return SourceNode({}, mark).with_entries(
            {str(key): _marked(each, mark) for key, each in value.items()}
        )
    if isinstance(value, list):
        return SourceNode([], mark).with_items([_marked(each, mark) for each in value])
    return SourceNode(value, mark._replace(children=None))


def _body(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: data[key] for key in ("stages", "queues", "defaults") if key in data}


def _texts_below(data: Any, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    if isinstance(data, str):
        yield path, data
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield from _texts_below(value, (*path, key))


def _real(source: SourceDocument) -> Path:
    return (source.path or Path(source.file)).resolve()


def _file_of(use: _Use, name: str) -> tuple[Path, str]:
    """Return where a template is, and what it is called: it is beside the file that names it."""
    text = use.node.mark.text
    own = use.source.file if text.file.startswith("--") or text.file == use.source.file else text.file
    folder = (use.source.path or Path(own)).parent if own == use.source.file else Path(own).parent
    return folder / name, str(Path(own).parent / name)
