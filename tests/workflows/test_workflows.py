"""The workflows that ship, run by the installed command as a user would."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from runner.loader.load import check
from runner.spec.diagnostics import errors_only

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOWS = Path(__file__).resolve().parent.parent.parent / "workflows"
SHIPPED = sorted(WORKFLOWS.rglob("*.yaml"))

CHEFS = ("neo", "alex", "egon")
EATERS = ("c1", "c2")
BUNS = [f"{chef}的包子{number}" for chef in CHEFS for number in range(3)]
STEAMED = re.compile(r"(?P<worker>\w+) 生产了(?P<bun>(?P<chef>\w+)的包子\d)")
EATEN = re.compile(r"(?P<worker>c[12])消费了(?P<bun>\w+的包子\d)")

# A Python that takes the C locale at its word and writes ASCII, unless somebody tells it better.
ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# Each `print` becomes two writes, of the text and of the line's end, unless somebody tells it better.
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Baozi:
    """What one run of the kitchen left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.splitlines()]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]


@pytest.fixture(scope="module", params=["joinable", "inline"])
def baozi(request: pytest.FixtureRequest, run_mprun: RunMprun) -> Baozi:
    """The shipped workflow, a hundred times faster, once for each transport."""
    done = run_mprun(
        "workflows/baozi.yaml", "--param", "speed=100", "--log", "json", "--transport", request.param
    )
    return Baozi(done.returncode, done.stdout, done.stderr)


def test_the_kitchen_ends_well(baozi: Baozi) -> None:
    assert 0 == baozi.exit_code, baozi.stderr


def test_each_bun_is_steamed_once_by_its_own_chef(baozi: Baozi) -> None:
    steamed = [found for line in baozi.lines if (found := STEAMED.fullmatch(line))]

    assert Counter(BUNS) == Counter(found["bun"] for found in steamed)
    assert [] == [found[0] for found in steamed if found["worker"] != found["chef"]]


def test_each_bun_is_eaten_once(baozi: Baozi) -> None:
    eaten = [found["bun"] for line in baozi.lines if (found := EATEN.fullmatch(line))]

    assert Counter(BUNS) == Counter(eaten)


def test_stdout_holds_the_lines_of_the_handlers_and_nothing_else(baozi: Baozi) -> None:
    strange = [line for line in baozi.lines if not STEAMED.fullmatch(line) and not EATEN.fullmatch(line)]

    assert [] == strange
    assert baozi.stdout.endswith("\n")


def test_stderr_holds_json_lines_that_meet_the_schema_of_events(baozi: Baozi, checkout: Path) -> None:
    schema = json.loads((checkout / "schemas" / "event.schema.json").read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)

    wrong = [f"{event}: {error.message}" for event in baozi.events for error in validator.iter_errors(event)]

    assert [] == wrong
    assert ("run.started", "run.finished") == (baozi.events[0]["event"], baozi.events[-1]["event"])


def test_no_escape_code_goes_into_a_pipe(baozi: Baozi) -> None:
    assert "\x1b" not in baozi.stdout + baozi.stderr


def test_every_worker_is_on_record(baozi: Baozi) -> None:
    spawned = baozi.named("worker.spawned")
    exited = baozi.named("worker.exited")

    assert {*CHEFS, *EATERS} == {event["worker"] for event in spawned}
    assert sorted(event["worker"] for event in spawned) == sorted(event["worker"] for event in exited)


@pytest.mark.parametrize("baozi", ["joinable"], indirect=True)
def test_five_workers_are_five_processes_of_one_parent(baozi: Baozi) -> None:
    supervisor = baozi.named("run.started")[0]["pid"]
    spawned = baozi.named("worker.spawned")

    assert 5 == len({event["pid"] for event in spawned} - {supervisor})
    assert {supervisor} == {event["ppid"] for event in spawned}


def test_the_ledger_adds_up_to_nine(baozi: Baozi) -> None:
    (steamer,) = baozi.named("run.finished")[0]["queues"]

    assert ("steamer", 9, 9) == (steamer["name"], steamer["put"], steamer["done"])


@pytest.mark.parametrize("env", [{"LC_ALL": "C"}, ASCII_ONLY, UNBUFFERED], ids=["c", "ascii", "unbuffered"])
@pytest.mark.quick("ascii")
def test_whole_lines_of_utf_8_come_out_whatever_the_environment(
    env: dict[str, str], run_mprun: RunMprun
) -> None:
    """
    Five processes write to one pipe, as fast as they can; a torn line would match neither pattern.
    """
    fast = ("--param", "speed=100000", "--param", "buns=50")

    done = run_mprun("workflows/baozi.yaml", *fast, env=env)

    torn = [
        line
        for line in done.stdout.splitlines()
        if not re.fullmatch(r"\w+( 生产了|消费了)\w+的包子\d+", line)
    ]
    assert ([], 300, 0) == (torn, len(done.stdout.splitlines()), done.returncode), done.stderr


@pytest.mark.parametrize(("limit", "top"), [(40, 20), (3, 5)])
@pytest.mark.quick("3-5")
def test_the_words_are_those_of_the_single_process(limit: int, top: int, run_mprun: RunMprun) -> None:
    expected = single_process("--limit", str(limit), "--top", str(top))

    done = run_mprun("workflows/stdlib_words.yaml", "--param", f"limit={limit}", "--param", f"top={top}")

    assert (expected, 0) == (done.stdout, done.returncode), done.stderr
    assert top == len(expected.splitlines())


@pytest.mark.slow
def test_the_words_of_the_whole_library_are_those_of_the_single_process(run_mprun: RunMprun) -> None:
    expected = single_process()

    done = run_mprun("workflows/stdlib_words.yaml", timeout=300)

    assert (expected, 0) == (done.stdout, done.returncode), done.stderr


def single_process(*arguments: str) -> str:
    script = [sys.executable, str(WORKFLOWS / "stdlib_words.py"), *arguments]
    done = subprocess.run(script, capture_output=True, encoding="utf-8", check=True, timeout=300)
    return done.stdout


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_has_no_problems_at_all(path: Path) -> None:
    assert () == check(path).diagnostics


DECLARED = (("locks",), ("shared",), ("pipes",))
"""Sections whose names are asked for elsewhere, by stages or in the source of handlers."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a file, where it is written. Line and column count from 1."""

    name: str
    line: int
    column: int
    start: int
    """Offset in the text."""


def keys_of(text: str) -> list[Key]:
    """Every key whose name is mprun's, or must match something in the file; users choose the other names."""
    return list(walk(yaml.compose(text), ()))


def walk(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[Key]:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from walk(child, path)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not is_free(path, key.value) and not is_data(path):
                mark = key.start_mark
                yield Key(key.value, mark.line + 1, mark.column + 1, mark.index)
            yield from walk(value, (*path, key.value))


def is_data(path: tuple[str, ...]) -> bool:
    """Whether what is under a path is the user's own: the value of a param, what a shared object holds, an item."""
    if path[:1] == ("tests",):
        return not {"items", "outputs", "item"}.isdisjoint(path)
    return (path[:1], path[2:3]) in {(("params",), ("default",)), (("shared",), ("value",))}


def is_free(path: tuple[str, ...], key: str) -> bool:
    """Whether another name is as good: for a stage, a job, a service, a variable, or what a matrix varies."""
    if path[-1:] == ("matrix",):
        return key not in ("include", "exclude")
    return path in {("stages",), ("jobs",), ("tests",), *DECLARED} or path[-1:] in {
        ("env",),
        ("services",),
        ("include",),
        ("exclude",),
    }


def slips(name: str) -> list[str]:
    """Every way to get one character wrong: leave it out, hit another key, or swap it with the next."""
    places = range(len(name))
    left_out = [name[:at] + name[at + 1 :] for at in places]
    other_key = [name[:at] + ("x" if name[at] != "x" else "z") + name[at + 1 :] for at in places]
    swapped = [name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in places[:-1]]
    return sorted({slip for slip in left_out + other_key + swapped if slip and slip != name})


def misspelt(text: str, key: Key, slip: str) -> str:
    return text[: key.start] + slip + text[key.start + len(key.name) :]


def every_key(*stems: str) -> list[Any]:
    """Each key of what ships, or of the files so named."""
    texts = {path: path.read_text(encoding="utf-8") for path in SHIPPED if path.stem in stems or not stems}
    return [
        pytest.param(path, key, id=f"{path.stem}-{key.line}-{key.column}-{key.name}")
        for path, text in texts.items()
        for key in keys_of(text)
    ]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what ships, to be spoilt: the handlers must be beside the file."""
    return Path(shutil.copytree(WORKFLOWS, tmp_path_factory.mktemp("desk") / "workflows"))


@pytest.mark.parametrize(("path", "key"), every_key("baozi", "ci"))
def test_a_slip_in_any_key_is_found_where_it_is_with_the_right_word(path: Path, key: Key, desk: Path) -> None:
    """One slip of each; the slow run has them all, in all files."""
    assert {} == missed_slips(path, key, desk, slips(key.name)[:1])


@pytest.mark.sweep(6)
@pytest.mark.slow
@pytest.mark.parametrize(("path", "key"), every_key())
def test_every_slip_in_any_key_is_found_where_it_is(path: Path, key: Key, desk: Path) -> None:
    assert {} == missed_slips(path, key, desk, slips(key.name))


def missed_slips(path: Path, key: Key, desk: Path, tried: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Return what is told of each slip for which nobody names the right word at its place."""
    spoilt = desk / path.relative_to(WORKFLOWS)
    text = path.read_text(encoding="utf-8")

    missed = {}
    for slip in tried:
        spoilt.write_text(misspelt(text, key, slip), encoding="utf-8")
        found = errors_only(check(spoilt).diagnostics)
        there = [p for p in found if (p.span.line, p.span.column) == (key.line, key.column)]
        if not any(re.search(rf"\b{key.name}\b", diagnostic.help or "") for diagnostic in there):
            missed[slip] = [(p.span.line, p.span.column, p.code, p.message, p.help) for p in found]
    shutil.copyfile(path, spoilt)
    return missed


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_no_shipped_handler_keeps_what_a_death_would_lose(path: Path) -> None:
    assert "stateful-handler" not in {diagnostic.code for diagnostic in check(path).diagnostics}


def every_declared_name() -> list[Any]:
    return [
        pytest.param(path, (section, name), id=f"{path.stem}-{section}-{name}")
        for path in SHIPPED
        for declared in [yaml.safe_load(path.read_text(encoding="utf-8"))]
        for (section,) in DECLARED
        for name in declared.get(section, {})
    ]


@pytest.mark.parametrize(("path", "declared"), every_declared_name())
def test_a_slip_in_a_declared_name_is_found_where_the_other_is_asked_for(
    path: Path, declared: tuple[str, str], desk: Path
) -> None:
    """
    Which of the two names is the wrong one nobody can tell: the one problem says both.
    """
    spoilt, text = desk / path.relative_to(WORKFLOWS), path.read_text(encoding="utf-8")
    section, name = declared
    missed = {}
    for slip in slips(name):
        spoilt.write_text(re.sub(rf"(?m)^  {name}:", f"  {slip}:", text, count=1), encoding="utf-8")
        found = errors_only(check(spoilt).diagnostics)
        told = [f"{diagnostic.message} {diagnostic.help}" for diagnostic in found]
        if not any(f"'{name}'" in each and f"'{slip}'" in each for each in told):
            missed[slip] = told
    shutil.copyfile(path, spoilt)

    assert {} == missed, section


@pytest.mark.parametrize("name", ["stages", "names", "maxsize", "buns", "steamer", "speed", "minimum"])
@pytest.mark.quick("steamer")
def test_the_command_says_so_too_and_starts_nothing(name: str, desk: Path, run_mprun: RunMprun) -> None:
    text = (WORKFLOWS / "baozi.yaml").read_text(encoding="utf-8")
    key = next(key for key in keys_of(text) if key.name == name)
    slip = name[:-2] + name[-1] + name[-2]
    spoilt = desk / "spoilt.yaml"
    spoilt.write_text(misspelt(text, key, slip), encoding="utf-8")

    done = run_mprun("run", "spoilt.yaml", cwd=desk)

    spoilt.unlink()
    assert ("", 3) == (done.stdout, done.returncode)
    assert f"spoilt.yaml:{key.line}:{key.column}: error[" in done.stderr
    assert re.search(rf"help: .*\b{name}\b", done.stderr)
