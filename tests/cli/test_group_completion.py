"""Completion: the scripts, and what they are told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


def completions(run_mprun: RunMprun, words: str, index: int, **where: Path) -> list[str]:
    asked = {"_MPRUN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(index)}
    return run_mprun(env=asked, **where).stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_of_its_own(run_mprun: RunMprun, shell: str) -> None:
    done = run_mprun("completion", shell)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"_MPRUN_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_can_parse(run_mprun: RunMprun, tmp_path: Path, shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(run_mprun("completion", shell).stdout, encoding="utf-8")

    done = subprocess.run([found, "-n", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell_is_a_usage_error(run_mprun: RunMprun) -> None:
    assert run_mprun("completion", "tcsh").returncode == 2


@pytest.mark.parametrize(
    ("words", "index", "expected"),
    [
        ("mprun val", 1, ["plain,validate"]),
        ("mprun work", 1, ["file,work"]),
        ("mprun schema ", 2, ["plain,workflow", "plain,event", "plain,report", "plain,top"]),
        ("mprun run b", 2, ["file,b"]),
        ("mprun run --events e", 3, ["file,e"]),
        ("mprun run --report r", 3, ["file,r"]),
        ("mprun graph --format ", 3, ["plain,ascii", "plain,mermaid", "plain,dot"]),
    ],
)
def test_commands_choices_and_files_are_completed(
    run_mprun: RunMprun, words: str, index: int, expected: list[str]
) -> None:
    assert completions(run_mprun, words, index) == expected


@pytest.mark.parametrize(
    ("words", "index", "expected"),
    [
        ("mprun shop.yaml ", 2, ["plain,lint", "plain,test"]),
        ("mprun run shop.yaml te", 3, ["plain,test"]),
        ("mprun run shop.yaml lint ", 4, ["plain,test"]),
        ("mprun none.yaml ", 2, []),
    ],
)
def test_the_jobs_of_the_file_are_completed(
    run_mprun: RunMprun,
    tmp_path: Path,
    words: str,
    index: int,
    expected: list[str],
) -> None:
    file = "name: shop\nparams: {v: {type: string}}\njobs: {lint: {run: 'true'}, test: {run: '${{ params.v }}'}}\n"
    (tmp_path / "shop.yaml").write_text(file, encoding="utf-8")

    assert completions(run_mprun, words, index, cwd=tmp_path) == expected
