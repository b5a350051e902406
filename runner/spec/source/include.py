"""`include`: other files come in as if written in the main one; problems still point into them.

    main ──include──► a, b ──include──► c        c is under a, a under b, b under main

What is under gives way: the including file wins, and of two included ones the later. Stages and queues
give way to nobody, so a second definition of one is a problem. A job is changed by the file that includes it:

    a: {test: {run: make, env: {A: 1}, timeout: 5m}}       mappings are joined, all else is replaced,
    main: {test: {env: {B: 2}, timeout: null}}             and null takes away what is under it
    ──► {test: {run: make, env: {A: 1, B: 2}}}
"""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import Any

from runner.errors import SpecError
from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, LocatedDiagnostic
from runner.spec.source.positions import SourceDocument, SourceNode, Text
from runner.spec.source.reader import NO_FILE, UNREADABLE, read

DEFINED_ONCE = {
    "stages": "stage",
    "queues": "queue",
    "jobs": "job",
    "locks": "lock",
    "shared": "shared object",
    "pipes": "pipe",
    "tests": "test",
}
"""Sections whose names belong to one file, and what a name in them is."""
MERGED = ("params", "env", "defaults", "limits")
"""Sections that are put together key by key."""

_WHAT_IT_DOES = ("run", "steps", "uses")
"""Keys of a job of which it has one: where a file says another, that goes."""

MAX_CHAIN = 32
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})

_Entries = dict[str, SourceNode]


def include_all(source: SourceDocument) -> tuple[SourceDocument, list[LocatedDiagnostic]]:
    """Return the source with all that it includes, and without the key `include`. Reads files.

    Traps met in included files are added to `traps`.
    """
    if "include" not in source.data:
        return source, []
    gathering = _Gathering()
    entries = gathering.without_removed(gathering.gather(source, (_real_path(source),)))
    traps = (*source.traps, *gathering.traps)
    whole = source.with_root(source.root.with_entries(entries), traps)
    return replace(whole, included=(*source.included, *gathering.texts)), gathering.diagnostics


@dataclass(slots=True)
class _Gathering:
    """One walk over a file and all that it includes."""

    diagnostics: list[LocatedDiagnostic] = field(default_factory=list)
    traps: list[LocatedDiagnostic] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)
    removed: set[tuple[str, str]] = field(default_factory=set)
    """Keys of jobs that a file takes away from one that it includes."""

    def gather(self, source: SourceDocument, chain: tuple[Path, ...]) -> _Entries:
        """Return the top-level entries of a file with those of the files it includes under them."""
        own = source.root.entries()
        own.pop("include", None)
        under: _Entries = {}
        for path, name in self._paths_to_include(source):
            other = self._open(source, path, name, chain)
            if other is not None:
                self.texts.append(other.mark.text)
                under = self._lay(self.gather(other, (*chain, _real_path(other))), under)
        return self._lay(own, under, is_own=True)

    def without_removed(self, entries: _Entries) -> _Entries:
        """Leave out the keys of jobs that were taken away; where there is a default of that, it is to see so."""
        if not self.removed:
            return entries
        defaults = entries["defaults"].entries() if "defaults" in entries else {}
        usual = defaults["job"].entries() if "job" in defaults else {}
        jobs = {
            name: job.with_entries(
                {
                    key: node
                    for key, node in job.entries().items()
                    if node.data is not None or key in usual or (name, key) not in self.removed
                }
            )
            if isinstance(job.data, dict)
            else job
            for name, job in entries["jobs"].entries().items()
        }
        return {**entries, "jobs": entries["jobs"].with_entries(jobs)}

    def _paths_to_include(self, source: SourceDocument) -> list[tuple[DataPath, str]]:
        if "include" not in source.data:
            return []
        value = source.data["include"]
        listed: list[tuple[DataPath, Any]] = [(("include",), value)]
        if isinstance(value, list):
            listed = [(("include", index), entry) for index, entry in enumerate(value)]
        return [(path, entry) for path, entry in listed if self._is_name(source, path, entry)]

    def _is_name(self, source: SourceDocument, path: DataPath, entry: object) -> bool:
        if isinstance(entry, str) and entry:
            return True
        message = "'include' takes the name of a file, or a list of names"
        self.diagnostics.append(source.diagnostic(path, "include-name", message, help="include: common.yaml"))
        return False

    def _open(
        self, source: SourceDocument, path: DataPath, name: str, chain: tuple[Path, ...]
    ) -> SourceDocument | None:
        if len(chain) > MAX_CHAIN:
            message = f"files include one another more than {MAX_CHAIN} deep"
            self.diagnostics.append(
                source.diagnostic(path, "include-depth", message, help="include them side by side")
            )
            return None
        # Problems show lines of what is included: a file that is checked for somebody must not show any file of theirs.
        file = _folder(source) / name
        if (help_ := not_yaml_by_name(file)) is not None:
            message = f"'{name}' is no YAML file by its name, so it is not read"
            self.diagnostics.append(source.diagnostic(path, "include-name", message, help=help_))
            return None
        try:
            other = read(file, shown=str(Path(source.file).parent / name), used=source.mark.text.used)
        except SpecError as error:
            self.diagnostics += (seen_from(source, path, diagnostic) for diagnostic in error.diagnostics)
            return None
        return other if self._is_new(source, path, other, chain) else None

    def _is_new(
        self, source: SourceDocument, path: DataPath, other: SourceDocument, chain: tuple[Path, ...]
    ) -> bool:
        real = _real_path(other)
        if real in chain:
            circle = " → ".join(file.name for file in (*chain[chain.index(real) :], real))
            self.diagnostics.append(
                source.diagnostic(path, "include-cycle", f"files include each other: {circle}")
            )
            return False
        if real in self.seen:  # two files may share a third
            return False
        self.seen.add(real)
        self.traps += other.traps
        return True

    def _lay(self, over: _Entries, under: _Entries, *, is_own: bool = False) -> _Entries:
        """Put the entries of one file over those of another; `is_own`: it includes that."""
        laid = {**under, **over}
        for section in (*DEFINED_ONCE, *MERGED):
            if section in over and section in under:
                laid[section] = self._lay_section(section, over[section], under[section], is_own)
        return laid

    def _lay_section(self, section: str, over: SourceNode, under: SourceNode, is_own: bool) -> SourceNode:
        if under.data is None or not (over.data is None or isinstance(over.data, dict)):
            return over
        if not isinstance(under.data, dict):
            where = under.mark.at_value()
            self.diagnostics.append(
                where.diagnostic("include-section", f"'{section}' is a mapping, here it is not")
            )
            return over
        mine, theirs = over.entries(), under.entries()
        if section == "jobs" and is_own:
            mine = {name: self._lay_job(name, job, theirs.get(name)) for name, job in mine.items()}
        elif section in DEFINED_ONCE:
            self._refuse_doubles(DEFINED_ONCE[section], mine, theirs)
        return (over if over.data else under).with_entries({**theirs, **mine})

    def _lay_job(self, name: str, over: SourceNode, under: SourceNode | None) -> SourceNode:
        """Return a job of an included file with what the including one says of it."""
        if under is None or not isinstance(under.data, dict) or not isinstance(over.data, dict):
            return over
        mine, theirs = over.entries(), under.entries()
        if any(mine[key].data is not None for key in _WHAT_IT_DOES if key in mine):
            theirs = {key: node for key, node in theirs.items() if key not in _WHAT_IT_DOES or key in mine}
        self.removed |= {(name, key) for key, node in mine.items() if node.data is None and key in theirs}
        changed = {k: _joined(node, theirs[k]) if k in theirs else node for k, node in mine.items()}
        return over.with_entries({**theirs, **changed})

    def _refuse_doubles(self, what: str, over: _Entries, under: _Entries) -> None:
        for name in [name for name in over if name in under]:
            first = under[name].mark.at_key()
            message = f"{what} '{name}' is defined twice; first at {first.file}:{first.span.line}"
            where = over[name].mark.at_key()
            self.diagnostics.append(
                where.diagnostic("defined-twice", message, help="rename or remove one of them")
            )


def _joined(over: SourceNode, under: SourceNode) -> SourceNode:
    """Return mappings as one, without what `over` has as null; of all else what is over."""
    if not isinstance(over.data, dict) or not isinstance(under.data, dict):
        return over
    mine, theirs = over.entries(), under.entries()
    kept = {key: node for key, node in mine.items() if node.data is not None or key not in theirs}
    rest = {key: node for key, node in theirs.items() if key not in mine}
    changed = {key: _joined(node, theirs[key]) if key in theirs else node for key, node in kept.items()}
    return under.with_entries({**rest, **changed})


def not_yaml_by_name(file: Path) -> str | None:
    """Say how a file's name should end for it to be read; None if it does, or there is no such file."""
    if not file.is_file() or {file.suffix, file.resolve().suffix} <= _SUFFIXES:
        return None
    return f"an included file ends in {', '.join(sorted(_SUFFIXES))}"


def _folder(source: SourceDocument) -> Path:
    return (source.path or Path(source.file)).parent


def _real_path(source: SourceDocument) -> Path:
    return (source.path or Path(source.file)).resolve()


def seen_from(source: SourceDocument, path: DataPath, diagnostic: LocatedDiagnostic) -> LocatedDiagnostic:
    """Move the problem of a file that can't be read to the line that asks for it."""
    if diagnostic.code not in (NO_FILE, UNREADABLE):
        return diagnostic
    return source.diagnostic(path, diagnostic.code, diagnostic.message, help=diagnostic.help)
