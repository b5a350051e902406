"""`include`: other files come in as if written in the main one; problems still point into them.

    main ──include──► a, b ──include──► c        c is under a, a under b, b under main

What is under gives way: the including file wins, and of two included ones the later. Stages and queues
give way to nobody, so a second definition of one is a problem.
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
    entries = gathering.gather(source, (_real_path(source),))
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
        return self._lay(own, under)

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

    def _lay(self, over: _Entries, under: _Entries) -> _Entries:
        """Put the entries of one file over those of another."""
        laid = {**under, **over}
        for section in (*DEFINED_ONCE, *MERGED):
            if section in over and section in under:
                laid[section] = self._lay_section(section, over[section], under[section])
        return laid

    def _lay_section(self, section: str, over: SourceNode, under: SourceNode) -> SourceNode:
        if under.data is None or not (over.data is None or isinstance(over.data, dict)):
            return over
        if not isinstance(under.data, dict):
            where = under.mark.at_value()
            self.diagnostics.append(
                where.diagnostic("include-section", f"'{section}' is a mapping, here it is not")
            )
            return over
        if section in DEFINED_ONCE:
            self._refuse_doubles(DEFINED_ONCE[section], over.entries(), under.entries())
        return (over if over.data else under).with_entries({**under.entries(), **over.entries()})

    def _refuse_doubles(self, what: str, over: _Entries, under: _Entries) -> None:
        for name in [name for name in over if name in under]:
            first = under[name].mark.at_key()
            message = f"{what} '{name}' is defined twice; first at {first.file}:{first.span.line}"
            where = over[name].mark.at_key()
            self.diagnostics.append(
                where.diagnostic("defined-twice", message, help="rename or remove one of them")
            )


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
