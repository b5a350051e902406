"""`mprun validate`: every problem of every file, in four formats, and an exit code to go by."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from refused_files import REFUSED, write_refused

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

COUNTING = """\
name: counting
queues:
  numbers: {maxsize: 10}
stages:
  counter: {run: "work:count", to: numbers}
  printer: {run: "work:show", from: numbers}
"""
HANDLERS = """\
def count():
    yield from range(3)


def show(number):
    print(number)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one workflow that checks."""
    (tmp_path / "good.yaml").write_text(COUNTING, encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(COUNTING.replace("maxsize", "maxsise"), encoding="utf-8")
    (tmp_path / "work.py").write_text(HANDLERS, encoding="utf-8")
    return tmp_path


def test_a_file_that_checks_is_one_line_on_stderr(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("validate", "good.yaml", cwd=folder)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "good.yaml: ok (2 stages, 2 workers, 1 queue)\n"


def test_a_problem_is_shown_with_its_line_and_the_fix(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("validate", "bad.yaml", cwd=folder)

    assert done.returncode == 3
    assert done.stdout == (
        "bad.yaml:3:13: error[unknown-key]: queue 'numbers' has no key 'maxsise'\n"
        "  3 |   numbers: {maxsise: 10}\n"
        "    |             ^^^^^^^\n"
        "  help: did you mean 'maxsize'?\n"
    )
    assert done.stderr == "\n1 error in bad.yaml\n"


def test_several_files_are_all_checked(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun(
        "validate", "bad.yaml", "good.yaml", "none.yaml", "bad.yaml", "--format", "json", cwd=folder
    )

    assert done.returncode == 3
    assert [diagnostic["file"] for diagnostic in json.loads(done.stdout)] == ["bad.yaml", "none.yaml"]
    assert done.stderr == "good.yaml: ok (2 stages, 2 workers, 1 queue)\n2 errors in 2 files\n"


def test_json_of_a_file_that_checks_is_an_empty_list(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("validate", "good.yaml", "--format", "json", cwd=folder)

    assert (done.returncode, done.stdout) == (0, "[]\n")


def test_github_annotates_the_line(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("validate", "bad.yaml", "--format", "github", cwd=folder)

    assert done.stdout.startswith("::error file=bad.yaml,line=3,col=13,endColumn=20,title=unknown-key::")


def test_sarif_is_one_document_for_all_files(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("validate", "bad.yaml", "good.yaml", "--format", "sarif", cwd=folder)

    (run,) = json.loads(done.stdout)["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["unknown-key"]


def test_a_key_set_on_the_command_line_is_checked_too(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("validate", "good.yaml", "--set", "queues.numbers.maxsize=none", cwd=folder)

    assert done.returncode == 3
    assert "--set:1:" in done.stdout
    assert "queues.numbers.maxsize=none" in done.stdout


def test_an_unknown_param_is_a_problem_that_names_it(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("validate", "good.yaml", "--param", "buns=1", cwd=folder)

    assert done.returncode == 3
    assert "buns" in done.stdout


@pytest.mark.parametrize("command", ["validate", "plan", "graph", "run"])
@pytest.mark.parametrize("what", ["missing.yaml", "folder.yaml", "binary.yaml", "empty.yaml"])
def test_no_command_crashes_on_what_is_no_workflow(
    run_mprun: RunMprun, tmp_path: Path, command: str, what: str
) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "empty.yaml").touch()

    done = run_mprun(command, what, cwd=tmp_path)

    assert done.returncode == 3
    assert (done.stdout + done.stderr).startswith(f"{what}:")
    assert "error[" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_no_file_at_all_is_a_usage_error(run_mprun: RunMprun) -> None:
    assert run_mprun("validate").returncode == 2


def test_colour_is_never_in_a_pipe(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("validate", "bad.yaml", cwd=folder, env={"TERM": "xterm-256color", "FORCE_COLOR": "1"})

    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_is_on_a_terminal_unless_it_is_unwanted(
    mprun: Path, folder: Path, plain_env: dict[str, str], env: dict[str, str], coloured: bool
) -> None:
    import os
    import pty

    ours, theirs = pty.openpty()
    subprocess.run(
        [mprun, "validate", "bad.yaml"],
        cwd=folder,
        env={**plain_env, "TERM": "xterm", **env},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)

    assert (b"\x1b[" in shown) == coloured


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "sarif", "github"])
@pytest.mark.parametrize("refused", REFUSED)
def test_whatever_is_refused_each_format_for_machines_says_so_and_of_the_others_too(
    run_mprun: RunMprun, tmp_path: Path, refused: str, form: str
) -> None:
    file = write_refused(tmp_path, refused)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: x\nstagez: {}\n")

    done = run_mprun("validate", file, wrong, "--format", form)

    assert 3 == done.returncode
    assert file.name in done.stdout and wrong.name in done.stdout
    if form == "github":
        assert all(line.startswith("::") for line in done.stdout.splitlines())
    else:
        json.loads(done.stdout)
