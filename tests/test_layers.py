"""The layers of the package, as data, and the tests that hold every import to them.

The table is the one of docs/design.md. A module may import from its own row and from the rows below it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

PACKAGE = Path(__file__).resolve().parent.parent / "runner"

# Top to bottom. `x.*` takes the folder x itself too; the package's own `__init__` is written `runner`.
LAYERS = (
    ("runner", "cli.*"),
    ("run",),
    ("jobs.conductor", "jobs.order_desk", "jobs.layout", "jobs.choice"),
    (
        "logs",
        "progress",
        "progress_jobs",
        "tables",
        "observers",
        "observer_child",
        "jobs.output_modes",
        "jobs.output_stream",
        "jobs.output_group",
        "jobs.output_json",
        "jobs.output",
        "jobs.turns",
        "jobs.followed",
        "jobs.dress",
        "jobs.github",
        "jobs.github_commands",
        "jobs.junit",
        "jobs.closing",
        "jobs.blame",
        "jobs.board",
        "jobs.telling",
    ),
    (
        "supervisor",
        "announcer",
        "feeding",
        "dismissals",
        "letting_go",
        "settlement",
        "lifecycle",
        "roster",
        "stopping",
        "verdict",
        "watch",
        "births",
        "casualties",
        "losses",
        "safekeeping",
        "poison",
        "stock",
        "succession",
        "underway",
        "desk",
        "control",
        "whereabouts",
        "upkeep",
        "furnishing",
    ),
    ("report", "report_lines", "bottleneck", "piles", "jobs.story", "jobs.critical_path"),
    (
        "worker",
        "deadlines",
        "restart",
        "jobs.hand",
        "jobs.attempt",
        "jobs.attending",
        "jobs.serving",
        "jobs.awaited",
        "jobs.groups",
        "jobs.logbook",
    ),
    ("load", "load_jobs", "replay", "graph", "graph_ascii", "graph_layout", "jobs.picture"),
    ("build_jobs", "jobs.expansion", "jobs.checks", "jobs.check_texts"),
    ("params", "build", "interpolation", "repair", "sizes"),
    (
        "schema",
        "schema_problems",
        "schema_explain",
        "schema_page",
        "schema_policy",
        "schema_flow",
        "schema_objects",
        "schema_words",
        "schema_jobs",
        "schema_job_parts",
        "schema_parts",
    ),
    (
        "jobs.dag",
        "jobs.decisions",
        "jobs.lanes",
        "jobs.standing",
        "jobs.trying",
        "jobs.orders",
        "jobs.texts",
        "jobs.scripts",
        "jobs.lacking",
        "jobs.conditions",
        "jobs.condition_check",
        "jobs.condition_syntax",
        "jobs.condition_tree",
        "jobs.condition_values",
        "jobs.matrix",
        "jobs.outputs",
        "jobs.dotenv",
        "jobs.masking",
        "jobs.unseen",
        "jobs.printed",
        "jobs.tail",
        "jobs.freshness",
        "jobs.freshness_store",
        "jobs.outside",
    ),
    (
        "wiring",
        "wiring_needs",
        "wiring_policy",
        "wiring_flow",
        "wiring_effect",
        "wiring_turns",
        "wiring_objects",
        "wiring_sentinel",
        "wiring_servers",
        "wiring_transport",
        "findings",
    ),
    ("transports.*", "failpoints", "dead_letters"),
    (
        "handlers.*",
        "process",
        "provisions",
        "listeners",
        "pipes",
        "shared",
        "child",
        "machine",
        "memory",
        "memory_limit",
        "surroundings",
        "warden",
        "brand",
        "status",
        "channel",
        "facts",
        "signals",
        "locks",
        "lock_file",
    ),
    ("frames", "bundles", "pace", "wire", "arena", "dockets", "slots", "pages", "heap", "bulk"),
    (
        "plan",
        "plan_labels",
        "ledger",
        "leases",
        "books",
        "lines",
        "gated",
        "inorder",
        "resequence",
        "sharding",
        "credit",
        "parcels",
        "retry",
    ),
    ("references", "include", "overrides", "quoting"),
    (
        "source",
        "source_compose",
        "source_marks",
        "source_scalars",
        "source_syntax",
        "source_traps",
        "spec",
        "spec_jobs",
    ),
    (
        "jobs",
        "errors",
        "problems",
        "events",
        "events_jobs",
        "event_kinds",
        "sketch",
        "units",
        "cells",
        "stacks",
        "shipped",
        "record",
    ),
)

# Who may import a library that is not Python's own. Nobody else may, and no other library may be had at all.
OWNERS = {
    "yaml": ("source",),
    "jsonschema": ("schema_problems",),
    "structlog": ("logs",),
    "click": ("cli.*",),
    "rich": ("progress", "tables"),
}

MOST_LINES = 400

SLOW_TO_IMPORT = ("yaml", "jsonschema", "structlog", "rich", "multiprocessing", "asyncio")
NOT_FOR_WORKERS = ("yaml", "jsonschema", "structlog", "rich", "click")

# A module named in a table, such as "runner.handlers.command:COMMAND", is imported by it, only later.
NAMED_LATER = re.compile(r"runner((?:\.\w+)+)(?::\w+)?")


@dataclass(frozen=True, slots=True)
class Import:
    """One import of one module by another; `name` is what it takes from it, if it says so."""

    line: int
    module: str
    name: str | None = None
    statement: bool = True
    """False for a module that is only named in a text, to be imported later."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below `runner`."""
    return {
        dotted_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if "templates" not in path.parts
    }


def dotted_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "runner"


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def own_imports(module: str) -> tuple[Import, ...]:
    """The modules of the package that `module` imports: at its top, in functions, for types, by name."""
    found = [i for node in ast.walk(tree(module)) for i in imports_of(node, module)]
    own = [i for i in found if i.module == "runner" or i.module.startswith("runner.")]
    return tuple(resolve(i) for i in own)


def imports_of(node: ast.AST, module: str) -> Iterator[Import]:
    match node:
        case ast.Import(names=names):
            yield from (Import(node.lineno, alias.name) for alias in names)
        case ast.ImportFrom(names=names):
            origin = origin_of(node, module)
            yield from (Import(node.lineno, origin, alias.name) for alias in names)
        case ast.Constant(value=str(text)) if named := NAMED_LATER.fullmatch(text):
            if named[1][1:] in modules():
                yield Import(node.lineno, f"runner{named[1]}", statement=False)


def origin_of(node: ast.ImportFrom, module: str) -> str:
    """The absolute name of what `from … import` takes names from."""
    if not node.level:
        return node.module or ""
    package = ["runner", *module.split(".")]
    if modules()[module].name != "__init__.py":
        package.pop()
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def resolve(found: Import) -> Import:
    """Turn an absolute name into that of a module below `runner`; `from runner import spec` means `spec`."""
    below = found.module.removeprefix("runner").removeprefix(".")
    inner = f"{below}.{found.name}".removeprefix(".")
    if found.name is not None and inner in modules():
        return Import(found.line, inner, None, found.statement)
    return Import(found.line, below or "runner", found.name, found.statement)


def layer_of(module: str) -> int | None:
    """The row of the table, counted from the top, by its own name if that is there; None if nobody has placed it."""
    named = (row for row, patterns in enumerate(LAYERS) if module in patterns)
    places = (row for row, patterns in enumerate(LAYERS) for p in patterns if is_placed_by(module, p))
    return next(named, next(places, None))


def is_placed_by(module: str, pattern: str) -> bool:
    return fnmatchcase(module, pattern) or module == pattern.removesuffix(".*")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import runner.spec", ("spec", None)),
        ("from runner import spec", ("spec", None)),
        ("from runner import __version__", ("runner", "__version__")),
        ("from runner.spec import Role as R", ("spec", "Role")),
        ("from runner.handlers import base", ("handlers.base", None)),
        ("def later():\n    from runner.spec import Role", ("spec", "Role")),
        ("from .spec import Role", ("spec", "Role")),
        ("from . import spec", ("spec", None)),
        ("HOME = 'runner.handlers.base:HandlerKind'", ("handlers.base", None)),
    ],
)
def test_an_import_is_seen_however_it_is_written(statement: str, expected: tuple[str, str | None]) -> None:
    found = [resolve(i) for node in ast.walk(ast.parse(statement)) for i in imports_of(node, "plan")]

    assert [expected] == [(i.module, i.name) for i in found]


@pytest.mark.parametrize("module", modules())
def test_every_module_has_a_place_in_the_table(module: str) -> None:
    place = layer_of(module)

    assert place is not None, f"runner.{module} is new: give it a place in LAYERS, and in docs/design.md"


@pytest.mark.parametrize("module", modules())
def test_imports_point_down_only(module: str) -> None:
    own = layer_of(module) or 0
    above = [i for i in own_imports(module) if (layer_of(i.module) or 0) < own]
    upward = [f"line {i.line}: runner.{i.module} is in a row above" for i in above]

    assert [] == upward


def test_no_modules_import_each_other_in_a_circle() -> None:
    """
    A row may import from itself, so the rows alone would let two modules lean on each other. A table that
    names modules to be loaded later is no such leaning.
    """
    graph = {m: {i.module for i in own_imports(m) if i.statement} - {m} for m in modules()}

    try:
        circle: list[str] = []
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]

    assert [] == circle


@pytest.mark.parametrize("module", modules())
def test_each_borrowed_library_has_its_owner(module: str) -> None:
    libraries = {library for library, _ in borrowed(module)}
    allowed = {library for library, owners in OWNERS.items() if any(is_placed_by(module, o) for o in owners)}

    assert set() == libraries - allowed, f"runner.{module} borrows what it does not own"


def borrowed(module: str) -> Iterator[tuple[str, int]]:
    """The libraries from elsewhere that a module imports, with the lines."""
    for node in ast.walk(tree(module)):
        for found in imports_of(node, module):
            library = found.module.partition(".")[0]
            if library != "runner" and library not in sys.stdlib_module_names:
                yield library, found.line


@pytest.mark.parametrize("library", OWNERS)
def test_each_owner_uses_what_it_owns(library: str) -> None:
    """An owner that no longer imports its library should lose the title."""
    users = {module for module in modules() if library in {name for name, _ in borrowed(module)}}
    idle = [owner for owner in OWNERS[library] if not any(is_placed_by(user, owner) for user in users)]

    assert [] == idle


@pytest.mark.parametrize("module", modules())
def test_no_module_takes_the_underscore_names_of_another(module: str) -> None:
    taken = [
        f"line {i.line}: runner.{i.module}.{i.name}"
        for i in own_imports(module)
        if i.name is not None and is_private(i.name)
    ]
    aliases = {i.module.rpartition(".")[2] for i in own_imports(module) if i.name is None and i.statement}
    reached = [
        f"line {node.lineno}: {node.value.id}.{node.attr}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in aliases and is_private(node.attr)
    ]

    assert [] == taken + reached


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


@pytest.mark.parametrize("module", modules())
def test_no_module_is_too_long_to_read_at_once(module: str) -> None:
    lines = len(modules()[module].read_text(encoding="utf-8").splitlines())

    assert lines <= MOST_LINES


@pytest.mark.parametrize("module", modules())
def test_every_module_says_what_it_is_for(module: str) -> None:
    docstring = ast.get_docstring(tree(module))

    assert docstring


def test_the_command_line_starts_without_the_slow_libraries() -> None:
    program = f"import sys, runner.cli.main; print(*sorted(set({SLOW_TO_IMPORT!r}) & set(sys.modules)))"

    started = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert "" == started.stdout.strip()


def test_a_spawned_worker_imports_none_of_the_libraries_of_the_command_line(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    """Under `fork` a worker has what its parent had; under `spawn` it has what it imports itself."""
    (tmp_path / "look.py").write_text(
        f"import sys\ndef look():\n    print('found', *sorted(set({NOT_FOR_WORKERS!r}) & set(sys.modules)))\n"
    )
    (tmp_path / "look.yaml").write_text(
        "name: look\ntransport: joinable\nstages:\n  look: {run: 'look:look', start_method: spawn}\n"
    )

    done = run_mprun("run", tmp_path / "look.yaml")

    assert ("found\n", 0) == (done.stdout, done.returncode), done.stderr
