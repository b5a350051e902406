"""The formats for machines: whatever a command refuses, a program that reads its output gets a document."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from commands import all_commands
from refused_files import REFUSED, write_refused

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

OF_A_FILE = ("plan", "validate")
OF_A_NAME = {
    "ps": ["ps", "nowhere"],
    "handlers": ["handlers", "nokindatall"],
    "dlq ls": ["dlq", "ls", "nowhere"],
    "dlq show": ["dlq", "show", "nowhere"],
}
REFUSES_NOTHING = {"schema"}


def _prints_json(command: click.Command) -> bool:
    return any("json" in getattr(each.type, "choices", ()) for each in command.params if each.name == "form")


def test_every_command_that_prints_json_is_tried_here() -> None:
    assert {*OF_A_FILE, *OF_A_NAME, *REFUSES_NOTHING} == {
        words for words, command in all_commands() if _prints_json(command)
    }


@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.parametrize("command", OF_A_FILE)
def test_a_wrong_file_is_a_document_of_its_problems(
    run_mprun: RunMprun, tmp_path: Path, command: str, refused: str
) -> None:
    file = write_refused(tmp_path, refused)

    done = run_mprun(command, file, "--format", "json")
    told = json.loads(done.stdout)

    assert 3 == done.returncode
    problems = told if command == "validate" else told["problems"]
    assert {"file", "line", "column", "code", "severity", "message", "help"} <= problems[0].keys()
    assert command == "validate" or file.name in told["error"]


def test_the_problems_of_a_plan_are_those_that_validate_has(run_mprun: RunMprun, tmp_path: Path) -> None:
    file = write_refused(tmp_path, "job.yaml")

    plan, checked = (run_mprun(command, file, "--format", "json") for command in ("plan", "validate"))

    assert json.loads(plan.stdout)["problems"] == json.loads(checked.stdout)


@pytest.mark.parametrize("words", OF_A_NAME.values(), ids=OF_A_NAME)
def test_what_is_not_there_is_a_document_too(run_mprun: RunMprun, tmp_path: Path, words: list[str]) -> None:
    done = run_mprun(*words, "--format", "json", cwd=tmp_path)

    told = json.loads(done.stdout)

    assert 2 == done.returncode
    assert words[-1] in told["error"] and [] == told["problems"]
    assert told["error"] in done.stderr, "people are told as ever"


def test_a_job_that_a_plan_is_asked_for_and_has_not_is_a_document(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text("name: x\njobs: {build: {run: make}}\n", encoding="utf-8")

    done = run_mprun("plan", file, "--job", "biuld", "--format", "json")

    assert 2 == done.returncode
    assert "biuld" in json.loads(done.stdout)["error"]
