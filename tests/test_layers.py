"""The packages of `runner` and their order, as data, and the tests that hold every import to it.

The table is the one of docs/design.md. A package imports from those below it only, and inside a package no modules
import each other in a circle. Each test lists all that offends, so that one run says all there is to do.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

PACKAGE = Path(__file__).resolve().parent.parent / "runner"

# Top to bottom. `runner` is the package's own `__init__`, which holds the version.
PACKAGES = (
    "testing",
    "cli",
    "importers",
    "file_tests",
    "api",
    "composition",
    "web",
    "render",
    "telemetry",
    "watch",
    "supervisor",
    "record",
    "store",
    "transports",
    "loader",
    "jobs",
    "handlers",
    "process",
    "ipc",
    "ledger",
    "events",
    "spec",
    "exit_status",
    "units",
    "text",
    "package_data",
    "facts",
    "errors",
    "runner",
)

# Upward all the same, each with its reason.
ALLOWED_UPWARD = {
    ("errors", "spec.diagnostics"): "the type of what SpecError carries; nothing is imported at run time",
}

# Who may import a library that is not Python's own. Nobody else may, and no other library may be had at all.
OWNERS = {
    "yaml": ("spec.source.parser",),
    "jsonschema": ("loader.schema.validate", "spec.contracts"),
    "structlog": ("render.log",),
    "click": ("cli.*",),
    "opentelemetry": ("telemetry.opentelemetry.*",),
    "prometheus_client": ("telemetry.prometheus",),
    "rich": ("render.progress", "render.summary", "render.top.*", "text"),
    "starlette": ("web.*",),
    "uvicorn": ("web.server",),
    "watchfiles": ("cli.jobs.file_changes",),
}

MOST_LINES = 600
FEWEST_LINES = 60
MOST_LINES_OF_A_FUNCTION = 50
MOST_MODULES = 22
"""In one folder."""

# Below FEWEST_LINES on purpose, each with its reason. What is not here belongs into its only importer.
SMALL_ON_PURPOSE = {
    "exit_status": "a leaf: what a process ended with, in words",
    "package_data": "a leaf: where files that ship with the package are found",
    "cli.gc_tuning": "imported before everything else, so it imports nothing",
    "cli.help": "answers before click is imported, so it imports nothing",
    "jobs.file_hashes": "the one function of expressions that looks at a disk",
    "cli.completion": "a command",
    "cli.graph": "a command",
    "importers.gitlab.variables": "pure rules of texts, apart from the nodes they stand in",
    "importers.procfile": "a kind of file with one rule",
    "handlers.live": "what a run of a program and the check of its workflow both have to know of",
    "loader.load_jobs": "imported for files with jobs alone, which others do not wait for",
    "loader.schema.jobs": "imported for files with jobs alone, which others do not wait for",
    "ipc.mappings": "what the system can and `mmap` can't, for pages and for the arena",
    "ipc.shown_items": "two words of a page for each side, whose meaning four packages share",
    "ipc.barrier": "one promise of the system, which both sides of a page rely on",
    "jobs.contexts.git": "starts a process, beside what is pure",
    "process.patterns": "for the check of a file and for the worker of a job, in two packages",
    "process.resources.pipes": "imported for workflows that declare pipes alone",
    "render.top.small": "imported beside each run on a terminal, which needs none of the other screens",
    "render.job_output.modes": "chooses one of its neighbours, and is imported by none of them",
    "supervisor.progress_pace": "a pure rule with a table of tests of its own",
    "watch.recent": "a pure rule that stages and workers share",
    "ledger.prefetch": "a pure rule with a table of tests of its own",
}

# Public functions of several modules that have one name, each with its reason. Of classes there is none.
SHARED_NAMES = {
    "build": "makes the handler of a kind; its `HandlerKind` says which",
    "command": "a command of the command line; its module has the name of it",
    "run": "a plan, where it is supervised; and for a program, what it gave, in a process of its own",
    "run_file": "the same of a file",
    "export": "a command below another one, which says what is exported",
    "serve": "the loop of a child process beside the run, from its own side",
}

OWN = ("self", "cls", "super")

# Who imports by a name that is made up or comes from outside, each with its reason.
IMPORTS_BY_NAME = {
    "composition": "what a host and its workers need later, ahead of the fork",
    "cli.group": "the module of the command that is asked for, from its table",
    "handlers.registry": "a built-in kind, from its table",
    "handlers.sources.reading": "what decompresses, where a file needs it, and what extras bring",
    "handlers.python": "the user's handler",
    "handlers.inspection.names": "modules of the standard library that a handler names",
    "render.process_main": "libraries of the log, ahead of their use or only at it",
}

# Private names of the standard library, by module: that of all is documented as public.
FOREIGN_PRIVATE = {
    "*": {"_exit", "_replace"},
    "handlers.python": {"_parent_pid", "_current_process", "_identity"},
    "process.child": {"_fd", "_pid"},
    "process.ending": {
        *("_clear", "_exit_function", "_registry", "_registered_with_atexit", "_run_exitfuncs"),
        *("_fd", "_pid", "_stop", "_shutdown"),
    },
    "process.real_threads": {"_current_frames"},
    "process.resources.shared": {"_exposed_", "_listener", "_socket"},
}

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
        dotted_name(path): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent != PACKAGE / "cli" / "templates"
    }


def dotted_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "runner"


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    """All of its tree: to walk it takes as long as to parse it, and half of these tests do."""
    return tuple(ast.walk(tree(module)))


@cache
def own_imports(module: str) -> tuple[Import, ...]:
    """The modules of the package that `module` imports: at its top, in functions, for types, by name."""
    found = [i for node in nodes(module) for i in imports_of(node, module)]
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
    """Turn an absolute name into that of a module below `runner`; `from runner.spec import plan` means `spec.plan`."""
    below = found.module.removeprefix("runner").removeprefix(".")
    inner = f"{below}.{found.name}".removeprefix(".")
    if found.name is not None and inner in modules():
        return Import(found.line, inner, None, found.statement)
    return Import(found.line, below or "runner", found.name, found.statement)


def package_of(module: str) -> str:
    return module.partition(".")[0]


def place_of(module: str) -> int:
    return PACKAGES.index(package_of(module))


def is_placed_by(module: str, pattern: str) -> bool:
    return fnmatchcase(module, pattern) or module == pattern.removesuffix(".*")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import runner.spec.model", ("spec.model", None)),
        ("from runner.spec import plan", ("spec.plan", None)),
        ("from runner import __version__", ("runner", "__version__")),
        ("from runner.spec.model import Role as R", ("spec.model", "Role")),
        ("def later():\n    from runner.spec.model import Role", ("spec.model", "Role")),
        ("from .model import Role", ("spec.model", "Role")),
        ("from . import model", ("spec.model", None)),
        ("HOME = 'runner.handlers.kinds:HandlerKind'", ("handlers.kinds", None)),
    ],
)
def test_an_import_is_seen_however_it_is_written(statement: str, expected: tuple[str, str | None]) -> None:
    found = [resolve(i) for node in ast.walk(ast.parse(statement)) for i in imports_of(node, "spec.plan")]

    assert [expected] == [(i.module, i.name) for i in found]


def test_every_package_has_a_place_in_the_table() -> None:
    unplaced = {package_of(module) for module in modules()} - set(PACKAGES)

    assert set() == unplaced, "give it a place in PACKAGES, and in docs/design.md"


def test_imports_point_down_only() -> None:
    upward = [
        f"runner.{module}, line {i.line}: runner.{i.module} is in a package above"
        for module in modules()
        for i in own_imports(module)
        if place_of(i.module) < place_of(module) and (module, i.module) not in ALLOWED_UPWARD
    ]

    assert [] == upward


def test_each_upward_import_that_is_allowed_is_there() -> None:
    there = {(module, i.module) for module in modules() for i in own_imports(module)}

    assert set() == set(ALLOWED_UPWARD) - there


def test_no_modules_import_each_other_in_a_circle() -> None:
    """A table that names modules to be loaded later is no such leaning."""
    graph = {m: {i.module for i in own_imports(m) if i.statement} - {m} for m in modules()}
    for above, below in ALLOWED_UPWARD:
        graph[above].discard(below)

    try:
        circle: list[str] = []
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]

    assert [] == circle


def test_each_borrowed_library_has_its_owner() -> None:
    stray = [
        f"runner.{module}, line {line}: {library}"
        for module in modules()
        for library, line in borrowed(module)
        if not any(is_placed_by(module, owner) for owner in OWNERS.get(library, ()))
    ]

    assert [] == stray, "a library is imported by its owner only"


def borrowed(module: str) -> Iterator[tuple[str, int]]:
    """The libraries from elsewhere that a module imports, with the lines."""
    for node in nodes(module):
        for found in imports_of(node, module):
            library = found.module.partition(".")[0]
            if library != "runner" and library not in sys.stdlib_module_names:
                yield library, found.line


def test_each_owner_uses_what_it_owns() -> None:
    """An owner that no longer imports its library should lose the title."""
    users = {(module, library) for module in modules() for library, _ in borrowed(module)}
    idle = [
        (owner, library)
        for library, owners in OWNERS.items()
        for owner in owners
        if not any(name == library and is_placed_by(user, owner) for user, name in users)
    ]

    assert [] == idle


def test_no_module_takes_the_underscore_names_of_another() -> None:
    """Neither by import nor through an object: what is private is touched through `self` and `cls` alone."""
    taken = [
        f"runner.{module}, line {i.line}: runner.{i.module}.{i.name}"
        for module in modules()
        for i in own_imports(module)
        if i.name is not None and is_private(i.name)
    ]
    reached = [
        f"runner.{module}, line {node.lineno}: {ast.unparse(node)}"
        for module in modules()
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and is_private(node.attr)
        if not (isinstance(node.value, ast.Name) and node.value.id in OWN)
        if node.attr not in defined_in(module) | FOREIGN_PRIVATE["*"] | FOREIGN_PRIVATE.get(module, set())
    ]

    assert [] == taken + reached


@cache
def defined_in(module: str) -> frozenset[str]:
    """The private names that a module itself defines: its functions, methods, fields and attributes."""
    found: set[str] = set()
    for node in nodes(module):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(value=ast.Name(id=owner), attr=name, ctx=ast.Store()) if owner in OWN:
                found.add(name)
            case _:
                pass
    return frozenset(name for name in found if is_private(name))


def test_modules_are_imported_where_it_can_be_seen() -> None:
    """By a statement, or by a name that stands in a table as a whole; who imports by a made-up name has a reason."""
    hidden = [
        f"runner.{module}, line {node.lineno}: {ast.unparse(node)}"
        for module in modules()
        if module not in IMPORTS_BY_NAME
        for node in nodes(module)
        if isinstance(node, ast.Call) and called(node) in ("import_module", "__import__")
    ]

    assert [] == hidden


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_the_packages_of_runner_are_named_by_their_modules() -> None:
    """`import runner` or `from runner import cli` would reach any package by its attributes."""
    loose = [
        f"runner.{module}, line {i.line}: runner.{i.name}" if i.name else f"runner.{module}, line {i.line}"
        for module in modules()
        for i in own_imports(module)
        if i.module == "runner" and i.statement and i.name != "__version__"
    ]

    assert [] == loose


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_no_class_takes_the_underscore_names_of_a_base_in_another_module() -> None:
    """They arrive as `self`, so no import shows them: what a base keeps to itself may change any day."""
    taken = [
        f"runner.{module}, line {line}: {cls} uses {base}.{name}"
        for module in modules()
        for cls, line, base, name in private_inheritance(module)
    ]

    assert [] == taken


def private_inheritance(module: str) -> Iterator[tuple[str, int, str, str]]:
    """Each private name of a base class from another module that a class of `module` uses or overrides."""
    for cls in (node for node in nodes(module) if isinstance(node, ast.ClassDef)):
        for home, base in bases_of(module, cls):
            private = private_names(home, base) if home != module else set()
            yield from ((cls.name, line, base, name) for name, line in own_names(cls) if name in private)


def bases_of(module: str, cls: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The classes of ours that a class inherits from, each with the module that it is in, and their own."""
    for node in map(unsubscripted, cls.bases):
        home, name = class_of(module, node)
        for base in (n for n in nodes(home) if isinstance(n, ast.ClassDef) and n.name == name):
            yield home, name
            yield from bases_of(home, base)


def class_of(module: str, node: ast.expr) -> tuple[str, str]:
    """The module and the name of the class that an expression stands for: its own, or one that is imported."""
    imported = imported_as(module)
    match node:
        case ast.Name(id=name) if name in imported:
            return imported[name].module, imported[name].name or name
        case ast.Attribute(value=value, attr=name) if ast.unparse(value) in imported:
            return imported[ast.unparse(value)].module, name
        case _:
            return module, ast.unparse(node)


@cache
def imported_as(module: str) -> dict[str, Import]:
    """What a module imports from the package, by the name that it has for it."""
    found: dict[str, Import] = {}
    for node in nodes(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports = [resolve(i) for i in imports_of(node, module)]
            found |= {a.asname or a.name: i for a, i in zip(node.names, imports, strict=True)}
    return {name: i for name, i in found.items() if i.module in modules()}


def unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def private_names(module: str, cls: str) -> set[str]:
    found = [n for n in nodes(module) if isinstance(n, ast.ClassDef) and n.name == cls]
    return {name for node in found for name, _ in own_names(node)}


def own_names(cls: ast.ClassDef) -> Iterator[tuple[str, int]]:
    """The private methods of a class, and the private attributes of `self` that it touches."""
    for node in ast.walk(cls):
        match node:
            case ast.FunctionDef(name=name) if is_private(name):
                yield name, node.lineno
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if is_private(name):
                yield name, node.lineno


def lines_of(module: str) -> int:
    return len(modules()[module].read_text(encoding="utf-8").splitlines())


def test_no_module_is_too_long_to_read_at_once() -> None:
    long = {module: lines_of(module) for module in modules() if lines_of(module) > MOST_LINES}

    assert {} == long


def test_no_function_is_too_long_to_see_at_once() -> None:
    long = {
        f"runner.{module}, line {node.lineno}: {node.name}": lines
        for module in modules()
        for node in nodes(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    }

    assert {} == long


def test_no_folder_has_too_many_modules_to_choose_from() -> None:
    folders = Counter(path.parent.relative_to(PACKAGE.parent) for path in modules().values())

    assert {} == {str(folder): count for folder, count in folders.items() if count > MOST_MODULES}


def test_no_module_is_too_small_to_stand_alone() -> None:
    small = {
        module: lines_of(module)
        for module, path in modules().items()
        if path.name != "__init__.py" and lines_of(module) < FEWEST_LINES and module not in SMALL_ON_PURPOSE
    }

    assert {} == small, "it is mostly part of its only importer; or give the reason in SMALL_ON_PURPOSE"


def test_what_is_small_on_purpose_is_there_and_small() -> None:
    gone = [
        module for module in SMALL_ON_PURPOSE if module not in modules() or lines_of(module) >= FEWEST_LINES
    ]

    assert [] == gone


def test_every_module_says_what_it_is_for() -> None:
    silent = [module for module in modules() if not ast.get_docstring(tree(module))]

    assert [] == silent


def test_docstrings_name_no_file_of_python_that_is_not_there() -> None:
    checkout = PACKAGE.parent
    folders = [checkout / name for name in ("runner", "tests", "workflows")]
    there = {path.name for folder in folders for path in folder.rglob("*.py")}
    named = [(module, name) for module in modules() for name in files_in_docstrings(module)]

    assert [] == [(module, name) for module, name in named if name not in there]


def files_in_docstrings(module: str) -> Iterator[str]:
    for node in nodes(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from re.findall(r"\b\w+\.py\b", ast.get_docstring(node) or "")


def test_the_name_of_a_class_or_function_means_one_thing_in_the_whole_tree() -> None:
    homes: dict[str, list[str]] = {}
    for module in modules():
        for node in tree(module).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not is_private(node.name):
                homes.setdefault(node.name, []).append(module)
    shared = {name: where for name, where in homes.items() if len(where) > 1}

    assert {} == {name: where for name, where in shared.items() if name not in SHARED_NAMES}
    assert SHARED_NAMES.keys() == shared.keys(), "what is no longer shared leaves the list"


@pytest.mark.startup
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
