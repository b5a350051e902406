"""`import mprun`: each name is what it is called, costs what it needs, and says what hides the package behind it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mprun
import mprun.events
from runner.errors import HandlerNotFound
from runner.events.catalogue import KINDS
from runner.handlers.kinds import WorkerContext
from runner.handlers.python import bind
from runner.loader.load import check

ROOT = Path(__file__).resolve().parent.parent
SLOW = ("click", "yaml", "jsonschema", "structlog", "rich", "multiprocessing", "importlib.util", "runner")

Place = Path
"""A folder with a workflow `w.yaml`, its handler `cook.py` and a program `go.py` that runs it."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "w.yaml").write_text("name: w\ntransport: inline\nstages: {a: {run: 'cook:do'}}\n")
    (tmp_path / "cook.py").write_text("def do():\n    print('done')\n")
    (tmp_path / "go.py").write_text("import mprun\nmprun.run_file('w.yaml')\n")
    return tmp_path


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words], check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=60
    )


def test_every_public_name_is_shown_and_is_what_it_is_called() -> None:
    named = [(name, getattr(mprun, name)) for name in mprun.__all__]

    assert [] == [name for name, thing in named if thing.__name__ != name or not callable(thing)]
    assert sorted([*mprun.__all__, "__version__"]) == dir(mprun)


def test_type_checkers_are_told_the_same_names() -> None:
    """They read the imports that never run; what they take for a name's home is where it is taken from."""
    tree = ast.parse(Path(mprun.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))

    told = {each.names[0].asname: each.module for each in checked.body if isinstance(each, ast.ImportFrom)}

    assert mprun._HOMES == told


def test_a_star_import_brings_the_public_names_and_no_other() -> None:
    brought: dict[str, object] = {}
    exec("from mprun import *", brought)

    assert set(mprun.__all__) == set(brought) - {"__builtins__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'mprun' has no attribute 'nonsense'"):
        mprun.nonsense  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.startup
def test_importing_it_imports_nothing_else(tmp_path: Path) -> None:
    done = python("-c", f"import sys, mprun; print(*sorted(set({SLOW!r}) & set(sys.modules)))", cwd=tmp_path)

    assert ("\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("words", [("go.py",), ("-m", "mprun", "w.yaml", "--quiet")])
@pytest.mark.quick("words0")
def test_a_program_or_the_module_runs_a_workflow(place: Place, words: tuple[str, ...]) -> None:
    (place / "runner").mkdir()  # a folder without code hides nothing

    done = python(*words, cwd=place)

    assert ("done\n", 0) == (done.stdout, done.returncode), done.stderr


@pytest.mark.parametrize("words", [("go.py",), ("-m", "mprun", "w.yaml")])
@pytest.mark.parametrize("mine", ["runner.py", "runner/__init__.py"])
def test_a_runner_of_ones_own_in_the_way_is_named_and_not_run(
    place: Place, mine: str, words: tuple[str, ...]
) -> None:
    (place / mine).parent.mkdir(exist_ok=True)
    (place / mine).write_text("print('mine')\n")

    done = python(*words, cwd=place)

    last = done.stderr.splitlines()[-1].partition(": ")[2]
    assert ("", 1) == (done.stdout, done.returncode)
    assert (
        f"mprun's own package is called 'runner', and '{place / mine}' is found in its place: rename that, "
        "or start Python in another folder"
    ) == last


def test_a_program_that_is_called_runner_py_is_named_too(place: Place) -> None:
    (place / "go.py").rename(place / "runner.py")

    done = python("runner.py", cwd=place)

    assert "runner.py' is found in its place: rename that" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("file", "target", "message", "help"),
    [
        ("runner.py", "runner:steam", "runner.py has the name of a module of mprun itself", "rename it"),
        ("mprun.py", "mprun:steam", "mprun.py has the name of a module of mprun itself", "rename it"),
        (
            *("runner/kitchen.py", "runner.kitchen:steam"),
            "the folder of runner/kitchen.py has the name of a package of mprun itself",
            "rename runner/",
        ),
    ],
)
def test_a_handler_in_a_file_of_that_name_is_told_what_to_rename(
    place: Place, file: str, target: str, message: str, help: str
) -> None:
    (place / file).parent.mkdir(exist_ok=True)
    (place / file).write_text("def steam():\n    pass\n")
    (place / "w.yaml").write_text(f"name: w\nstages:\n  a: {{run: '{target}'}}\n")

    (diagnostic,) = check(place / "w.yaml").diagnostics

    whole = f"{message}, which is loaded first"
    assert ("handler-not-found", whole, help) == (diagnostic.code, diagnostic.message, diagnostic.help)
    assert 3 == diagnostic.span.line
    with pytest.raises(HandlerNotFound, match=f"{whole}: {help}"):
        bind(target, {}, WorkerContext("a-1", "a", 1, 1, beside=str(place)))


def test_the_command_names_a_runner_of_ones_own_on_the_path(place: Place, mprun: Path) -> None:
    (place / "runner.py").write_text("mine = 1\n")
    environ = {**os.environ, "PYTHONPATH": str(place)}

    done = subprocess.run(
        [mprun, "w.yaml"], cwd=place, env=environ, capture_output=True, text=True, check=False, timeout=60
    )

    assert (1, "") == (done.returncode, done.stdout)
    assert f"'{place / 'runner.py'}' is found in its place: rename that" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_classes_of_all_events_are_public() -> None:
    assert {event.__name__ for event in KINDS.values()} < set(mprun.events.__all__)


def test_an_observer_matches_events_by_class_as_the_page_on_events_shows(place: Place) -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    (place / "w.yaml").rename(place / "kitchen.yaml")
    (place / "go.py").write_text(page.partition("```python file=deaths.py\n")[2].partition("```")[0])

    done = python("go.py", cwd=place)

    assert ("done\nthe run is done\n", 0) == (done.stdout, done.returncode), done.stderr
