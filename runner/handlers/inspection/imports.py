"""Where a module's source is, found as Python would find it, but importing nothing.

    module name, folder beside the file ──► find_module ──► SourceModule   its syntax tree
                                                            LiveModule     the standard library's own, in C
                                                            Missing        no such module; what is near
                                                            Opaque         there, and not to be read

`importlib.util.find_spec` will not do: for `a.b.c` it imports `a` and `a.b`, which is the user's code.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Literal, NamedTuple

from runner.handlers import live
from runner.spec.suggestions import did_you_mean

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_OWN_PACKAGES = frozenset({"mprun", "runner"})
_OWN_HOME = Path(__file__).resolve().parent.parent.parent.parent
"""The folder that our own packages are loaded from: there they hide nothing."""

# Named tuples, here and where modules are read: a frozen dataclass takes eight times as long to make, and
# each `mprun validate` waits for that.


class Missing(NamedTuple):
    """What the file names is not there, or is not something that can be run."""

    what: Literal["format", "module", "callable"]
    message: str
    help: str | None = None


class Opaque(NamedTuple):
    """It is there, but its source does not say what it takes. `reason` completes "not checked: it …"."""

    reason: str


class SourceModule(NamedTuple):
    """A module with its syntax tree. Nothing of it has run."""

    name: str
    file: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """The package that relative imports in it start from."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]

    @property
    def shown(self) -> str:
        """How a message names it: its file, with the folder where the file's name alone says nothing."""
        return self.file.name if self.file.name != "__init__.py" else f"{self.file.parent.name}/__init__.py"


class LiveModule(NamedTuple):
    """A module that has no source to read: of the standard library, or that of live objects (`handlers/live.py`).

    Importing it runs no user code.
    """

    name: str


def find_module(name: str, beside: Path) -> SourceModule | LiveModule | Missing | Opaque:
    """Find a module by its dotted name: in the folder `beside` the workflow, else on the import path."""
    if hidden := hidden_module(name, beside):
        return hidden
    spec = _find_spec(name, beside)
    if isinstance(spec, Missing):
        return _live_or(name, spec)
    if spec.origin and spec.origin.endswith(".py"):
        return _parse(name, Path(spec.origin))
    if spec.origin is None:
        return Missing(
            "module", f"'{name}' is a folder without an __init__.py: there is nothing in it to run"
        )
    return _live_or(name, Opaque("is compiled, so that there is no source to read"))


def is_reserved(name: str) -> bool:
    """Say whether a top-level module name is taken, whatever lies beside the workflow file."""
    return name in sys.stdlib_module_names or name in _OWN_PACKAGES


@cache
def is_library(name: str, beside: Path) -> bool:
    """Say whether a module is of the standard library, or installed; nothing is read for it. Remembered."""
    top = name.partition(".")[0]
    spec = None if is_reserved(top) else _find_spec(top, beside)
    if spec is None or isinstance(spec, Missing):
        return True
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    return any(place is not None and is_library_file(Path(place)) for place in places)


def is_library_file(file: Path) -> bool:
    """Say whether a file is where libraries are."""
    return not _INSTALLED.isdisjoint(file.parts) or file.is_relative_to(sysconfig.get_path("stdlib"))


def hidden_module(name: str, beside: Path) -> Missing | None:
    """Return what is wrong with a file beside the workflow that Python never comes to: its name is loaded before."""
    top = name.partition(".")[0]
    if not is_reserved(top) or (top in _OWN_PACKAGES and beside.resolve() == _OWN_HOME):
        return None
    named = beside.joinpath(*name.split(".")).with_suffix(".py")
    places = (beside / f"{top}.py", beside / top / "__init__.py", named)
    mine = next((place for place in places if place.is_file()), None)
    if mine is None:
        return None
    owner = "mprun itself" if top in _OWN_PACKAGES else "the standard library"
    shown = mine.relative_to(beside)
    if len(shown.parts) == 1:
        return Missing(
            "module", f"{shown} has the name of a module of {owner}, which is loaded first", "rename it"
        )
    message = f"the folder of {shown} has the name of a package of {owner}, which is loaded first"
    return Missing("module", message, f"rename {top}/")


def _find_spec(name: str, beside: Path) -> ModuleSpec | Missing:
    # Python's finders remember a relative folder as what it was when they first met it.
    path: Sequence[str] = [str(beside.absolute()), *sys.path]
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        dotted = ".".join(parts[:depth])
        spec = _ask_finders(dotted, path)
        if spec is None:
            return _no_module(dotted, path, beside)
        path = list(spec.submodule_search_locations or ())
        if depth < len(parts) and not path:
            return Missing("module", f"'{dotted}' is a module, not a package: there is no '{name}' in it")
    assert spec is not None, "a name has at least one part"
    return spec


def _ask_finders(name: str, path: Sequence[str]) -> ModuleSpec | None:
    """Ask Python's own finders in their order; those that editable installs add are among them."""
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, path)
        except (ImportError, AttributeError, ValueError):  # an old or odd finder: Python's own come after it
            continue
        if spec is not None:
            return spec
    return PathFinder.find_spec(name, path)


def _no_module(name: str, path: Sequence[str], beside: Path) -> Missing:
    package, _, last = name.rpartition(".")
    if package:
        help = did_you_mean(last, sorted(set(_names_in(path))))
        return Missing("module", f"the package '{package}' has no module '{last}'", help)
    help = did_you_mean(name, sorted(set(_names_in([str(beside)]))))
    return Missing("module", f"there is no module '{name}' beside the file or on the import path", help)


def _names_in(folders: Sequence[str]) -> Iterator[str]:
    """Name the modules and packages that lie in some folders."""
    for folder in map(Path, folders):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.suffix == ".py" and entry.stem.isidentifier() and not entry.stem.startswith("__"):
                yield entry.stem
            elif (entry / "__init__.py").is_file():
                yield entry.name


def _live_or(name: str, otherwise: Missing | Opaque) -> LiveModule | Missing | Opaque:
    """A few modules of the standard library exist only once loaded (`os.path`), or are in C (`time`)."""
    if name == live.MODULE:
        return LiveModule(name) if name in sys.modules else _not_here(name)
    if name.partition(".")[0] not in sys.stdlib_module_names:
        return otherwise
    return LiveModule(name) if isinstance(otherwise, Opaque) or name in sys.modules else otherwise


def _not_here(name: str) -> Missing:
    return Missing(
        "module",
        f"'{name}' stands for what lives in the program that wrote this file",
        "name what is to run as module:callable, or run it from that program",
    )


def _parse(name: str, file: Path) -> SourceModule | Missing | Opaque:
    try:
        stat = file.stat()
        return _parse_version(name, file, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        return Missing("module", f"{file.name} can't be read: {error.strerror}")


@cache
def _parse_version(name: str, file: Path, _mtime: int, _size: int) -> SourceModule | Missing | Opaque:
    """Parse one version of a file. Remembered: the stages of a workflow mostly share a module."""
    source = file.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a user's source is warned about is for when it runs
            return SourceModule(name, file, ast.parse(source, str(file)))
    except SyntaxError as error:
        line = (error.text or "").strip()
        where = f"{file.name}, line {error.lineno}" if error.lineno else file.name
        return Missing(
            "module", f"{where} is not valid Python: {error.msg}", f"the line is: {line}" if line else None
        )
    except ValueError as error:
        return Missing("module", f"{file.name} is not valid Python: {error}")
    except (RecursionError, MemoryError):
        return Opaque("is nested too deeply to be read")
