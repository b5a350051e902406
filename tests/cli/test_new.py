"""`mprun new`: what it writes runs as it is, and it never overwrites."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.cli.new import module_name, starter_files
from runner.errors import UsageError
from runner.package_data import shipped_examples

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hello", "hello"),
        ("word-count", "word_count"),
        ("Word Count!", "word_count"),
        ("__ﬁne½__", "fine1_2"),
        ("x" * 300, "x" * 60),
        ("包子", "包子"),
        ("2024", "flow_2024"),
        ("class", "class_flow"),
        ("json", "json_flow"),
        ("runner", "runner_flow"),
        ("pytest", "pytest_flow"),
    ],
)
def test_the_module_is_an_identifier_that_hides_no_other_module(name: str, expected: str) -> None:
    assert module_name(name) == expected


@given(st.text())
def test_any_name_gives_an_identifier_or_a_clear_no(name: str) -> None:
    try:
        module = module_name(name)
    except UsageError:
        return

    assert module.isidentifier()


def test_the_python_files_are_well_formed() -> None:
    files = starter_files("word-count")

    modules = [ast.parse(text) for file, text in files.items() if file.endswith(".py")]
    assert [ast.get_docstring(module) is not None for module in modules] == [True, True]
    assert [file for file, text in files.items() if "@name@" in text or "@module@" in text] == []


@pytest.mark.parametrize("name", ["word-count", "包子 铺", 'say "hi": #1'])
def test_what_it_writes_checks_without_a_problem(run_mprun: RunMprun, tmp_path: Path, name: str) -> None:
    made = run_mprun("new", tmp_path / name)

    done = run_mprun("validate", tmp_path / name / "workflow.yaml")

    assert (made.returncode, made.stdout) == (0, "")
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_writes_runs(run_mprun: RunMprun, tmp_path: Path) -> None:
    run_mprun("new", "hello", cwd=tmp_path)

    done = run_mprun("hello/workflow.yaml", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "the squares add up to 385\n"), done.stderr


@pytest.mark.slow
def test_the_test_it_writes_passes(run_mprun: RunMprun, tmp_path: Path, plain_env: dict[str, str]) -> None:
    run_mprun("new", "hello", cwd=tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "hello"],
        cwd=tmp_path,
        env=plain_env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_it_says_which_commands_come_next(run_mprun: RunMprun, tmp_path: Path) -> None:
    done = run_mprun("new", "my flow", cwd=tmp_path)

    assert done.stderr.splitlines()[-2:] == [
        "  mprun 'my flow/workflow.yaml'",
        "  python -m pytest 'my flow'",
    ]


def test_it_writes_nothing_where_one_of_its_files_is(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "hello.py").write_text("mine", encoding="utf-8")

    done = run_mprun("new", "hello", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr == "mprun: nothing was written, for this is there already: hello/hello.py\n"
    assert [path.name for path in (tmp_path / "hello").iterdir()] == ["hello.py"]


def test_a_folder_that_cannot_be_made_is_said_in_words(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = run_mprun("new", "file/sub", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr == "mprun: 'file/sub' can't be written: Not a directory\n"


def test_a_name_that_no_module_can_have_is_refused(run_mprun: RunMprun, tmp_path: Path) -> None:
    done = run_mprun("new", "---", cwd=tmp_path)

    assert done.returncode == 2


@pytest.mark.slow
def test_every_example_checks_where_it_is_copied_to(run_mprun: RunMprun, tmp_path: Path) -> None:
    """One command checks them all: each lies alone in a folder of its own, as its user has it."""
    made = {
        example: run_mprun("new", tmp_path / example, "--example", example) for example in shipped_examples()
    }

    files = [tmp_path / example / f"{Path(example).name}.yaml" for example in made]
    done = run_mprun("validate", *files, cwd=tmp_path)

    assert {} == {example: one.stderr for example, one in made.items() if one.returncode}
    assert (0, "") == (done.returncode, done.stdout), done.stdout


def test_a_folder_of_examples_is_copied_whole(run_mprun: RunMprun, tmp_path: Path) -> None:
    """
    With the handlers that only a kind such as `serve` names, too.
    """
    made = run_mprun("new", "lessons", "--example", "gallery", cwd=tmp_path)
    names = {name.partition("/")[2] for name in shipped_examples() if name.startswith("gallery/")}

    copied = sorted((tmp_path / "lessons").glob("*.yaml"))
    done = run_mprun("validate", *copied, cwd=tmp_path)

    assert (0, 0) == (made.returncode, done.returncode), made.stderr + done.stderr
    assert names == {path.stem for path in copied}
    assert {"$schema=workflow.schema.json"} == {
        path.read_text(encoding="utf-8").split()[2] for path in copied
    }


def test_an_example_runs_where_it_is_copied_to(run_mprun: RunMprun, tmp_path: Path) -> None:
    made = run_mprun("new", "mine", "--example", "baozi", cwd=tmp_path)

    done = run_mprun("mine/baozi.yaml", "--param", "speed=100", "--param", "buns=1", cwd=tmp_path)

    assert ["Run it:", "  mprun mine/baozi.yaml"] == made.stderr.splitlines()[-2:]
    assert (0, 6) == (done.returncode, len(done.stdout.splitlines())), done.stderr


def test_the_editor_finds_the_schema_beside_the_copy(run_mprun: RunMprun, tmp_path: Path) -> None:
    run_mprun("new", tmp_path, "--example", "baozi")

    first = (tmp_path / "baozi.yaml").read_text(encoding="utf-8").splitlines()[0]

    assert "# yaml-language-server: $schema=workflow.schema.json" == first
    assert (tmp_path / "workflow.schema.json").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--example", "baozy"], "mprun: there is no example 'baozy'; did you mean 'baozi'?"),
        (
            ["--example", "baozi", "--name", "x"],
            "mprun: --name is for a workflow of your own; an example has its",
        ),
    ],
)
def test_an_example_that_can_not_be_had_is_refused(
    run_mprun: RunMprun, tmp_path: Path, options: list[str], said: str
) -> None:
    done = run_mprun("new", "mine", *options, cwd=tmp_path)

    assert (2, True, []) == (done.returncode, done.stderr.startswith(said), list(tmp_path.iterdir()))


def test_the_examples_are_listed_with_what_they_do(run_mprun: RunMprun) -> None:
    done = run_mprun("new", "--examples")

    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert (0, ["EXAMPLE", *shipped_examples()]) == (done.returncode, names)
