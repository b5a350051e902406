"""The commands: which one is meant, what their help says, and that it comes quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import runner
from runner.cli.group import COMMANDS, cli, looks_like_file
from runner.cli.help import HELP_FILE

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


def test_no_arguments_show_the_help(run_mprun: RunMprun) -> None:
    done = run_mprun()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run_mprun("--help").stdout


def test_the_help_lists_every_command_and_exit_code(run_mprun: RunMprun) -> None:
    shown = run_mprun("--help").stdout

    for name in COMMANDS:
        assert f"\n  {name} " in shown
    for code in ("0", "1", "2", "3", "5", "70", "128+n"):
        assert f"\n    {code} " in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_that_ends_with_examples_or_explains_itself(
    run_mprun: RunMprun, name: str
) -> None:
    done = run_mprun(name, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: mprun {name} ")
    assert f"mprun {name} " in done.stdout.partition("\n")[2]


@pytest.mark.startup
def test_help_imports_nothing_slow(mprun: Path, plain_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", mprun, "--help"],
        env=plain_env,
        capture_output=True,
        text=True,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "runner.cli.main" in imported
    slow = {"click", "yaml", "jsonschema", "structlog", "rich", "multiprocessing", "pathlib"}
    assert imported & slow == set()


def test_the_help_that_is_kept_is_the_one_that_click_writes() -> None:
    with cli.make_context("mprun", [], terminal_width=78) as context:
        written = f"{cli.get_help(context)}\n"
    if os.environ.get("UPDATE_DOCS"):
        Path(HELP_FILE).write_text(written, encoding="utf-8")

    assert written == Path(HELP_FILE).read_text(encoding="utf-8"), "run: UPDATE_DOCS=1 pytest tests/cli"


def test_a_narrow_terminal_gets_help_that_fits(
    mprun: Path, plain_env: dict[str, str], run_mprun: RunMprun
) -> None:
    done = subprocess.run(
        [mprun, "--help"], env={**plain_env, "COLUMNS": "60"}, capture_output=True, text=True, check=True
    )

    assert max(map(len, done.stdout.partition("Exit codes")[0].splitlines())) <= 60
    assert done.stdout.split() == run_mprun("--help").stdout.split()


def test_the_version_is_the_packages(run_mprun: RunMprun) -> None:
    assert run_mprun("--version").stdout == f"mprun {runner.__version__}\n"


def test_a_misspelt_command_names_the_nearest(run_mprun: RunMprun) -> None:
    done = run_mprun("valdiate")

    assert (done.returncode, done.stdout) == (2, "")
    assert "no such command or file 'valdiate'; did you mean 'validate'?" in done.stderr


@pytest.mark.parametrize("argument", ["missing.yaml", "missing.yml", "missing/file"])
def test_what_looks_like_a_file_is_run_and_checked(
    run_mprun: RunMprun, tmp_path: Path, argument: str
) -> None:
    done = run_mprun(argument, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (3, "")
    assert f"{argument}:1:1: error[" in done.stderr


def test_a_file_without_suffix_is_run_if_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow").touch()

    assert [looks_like_file(word) for word in ("flow", "flaw")] == [True, False]
