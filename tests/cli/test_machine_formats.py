"""The formats for machines: whatever a command refuses, a program that reads its output gets a document."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import click
import jsonschema
import pytest
from commands import all_commands
from refused_files import REFUSED, write_refused

from runner.events.catalogue import event_schema

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

OF_A_FILE = ("plan", "validate", "expand", "list")
OF_A_NAME = {
    "ps": ["ps", "nowhere"],
    "top": ["top", "--once", "nowhere"],
    "handlers": ["handlers", "nokindatall"],
    "show": ["show", "nowhere"],
    "resume": ["resume", "--check", "nowhere"],
    "diff": ["diff", "nowhere", "nowhere"],
    "history list": ["history", "nowhere"],
    "history pin": ["history", "pin", "nowhere"],
    "history unpin": ["history", "unpin", "nowhere"],
    "history export": ["history", "export", "-o", "out.zip", "nowhere"],
    "history import": ["history", "import", "nowhere.zip"],
    "dlq ls": ["dlq", "ls", "nowhere"],
    "dlq show": ["dlq", "show", "nowhere"],
}
OF_ANOTHER_TOOL = {"import"}
"""Its own tests try what it refuses: files that are none of mprun's."""
REFUSES_NOTHING = {"schema", "history prune", "cache ls"}


def _prints_json(command: click.Command) -> bool:
    return any("json" in getattr(each.type, "choices", ()) for each in command.params if each.name == "form")


def test_every_command_that_prints_json_is_tried_here() -> None:
    assert {*OF_A_FILE, *OF_A_NAME, *OF_ANOTHER_TOOL, *REFUSES_NOTHING} == {
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


BAD_CALLS = {
    "a param that is not there": ["--param", "nope=1"],
    "a param of another type": ["--param", "n=many"],
    "a key that is not there": ["--set", "stages.a.nope=1"],
    "an option for jobs": ["--job", "a"],
    "jobs at once for stages": ["-j", "2"],
}
VALID_EVENT = jsonschema.Draft202012Validator(event_schema())
GOOD = "name: x\nparams: {n: {default: 1}}\nstages: {a: {run: {command: 'true'}}}\n"


class Asked:
    """What a run was asked to write for programs, and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self._files = {name: folder / f"{name}.old" for name in ("report", "events", "junit")}
        for file in self._files.values():
            file.write_text("of an earlier run", encoding="utf-8")
        self.options = [word for name, file in self._files.items() for word in (f"--{name}", str(file))]

    def read(self, done: subprocess.CompletedProcess[str]) -> dict[str, object]:
        """Return what every format agrees on."""
        report = json.loads(self._files["report"].read_text(encoding="utf-8"))
        lines = [self._files["events"].read_text(encoding="utf-8"), done.stderr, done.stdout]
        events = [json.loads(line) for line in lines]  # one each, and nothing else

        for event in events:
            VALID_EVENT.validate(event)
            assert ("run.refused", done.returncode) == (event["event"], event["exitcode"])
            assert report == {key: event[key] for key in ("error", "problems")}
        (case,) = ElementTree.parse(self._files["junit"]).iter("error")
        assert report["error"] == case.get("message")
        assert len(report["problems"]) == len((case.text or "").splitlines())
        return report


@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.quick("empty.yaml")
def test_a_run_of_a_wrong_file_is_told_in_every_format_with_the_problems_of_validate(
    run_mprun: RunMprun, tmp_path: Path, refused: str
) -> None:
    file, asked = write_refused(tmp_path, refused), Asked(tmp_path)

    done = run_mprun("run", file, *asked.options, "--log", "json", "--output", "json")
    checked = run_mprun("validate", file, "--format", "json")

    assert 3 == done.returncode
    assert json.loads(checked.stdout) == asked.read(done)["problems"]


@pytest.mark.parametrize("words", BAD_CALLS.values(), ids=BAD_CALLS)
@pytest.mark.quick("jobs at once for stages")
def test_a_run_that_cannot_be_is_told_in_every_format(
    run_mprun: RunMprun, tmp_path: Path, words: list[str]
) -> None:
    file, asked = tmp_path / "good.yaml", Asked(tmp_path)
    file.write_text(GOOD, encoding="utf-8")

    done = run_mprun("run", file, *asked.options, "--log", "json", "--output", "json", *words)

    assert done.returncode in (2, 3)
    assert asked.read(done)["error"]


def test_a_run_that_could_not_be_started_is_told_in_every_format(run_mprun: RunMprun, tmp_path: Path) -> None:
    file, home, report = tmp_path / "letters.yaml", tmp_path / "home", tmp_path / "r.json"
    file.write_text(
        "name: x\nstages:\n  a: {run: {range: {stop: 3}}, to: q}\n"
        "  b: {run: {command: 'true'}, from: q, on_error: dead_letter}\n",
        encoding="utf-8",
    )
    home.mkdir()
    home.chmod(0o777)

    done = run_mprun("run", file, "--report", report, "--log", "json", env={"MPRUN_HOME": str(home)})

    assert "can be written by others" in json.loads(report.read_text(encoding="utf-8"))["error"]
    assert "run.refused" == json.loads(done.stderr)["event"]


def test_a_replay_that_is_refused_is_told_in_every_format(run_mprun: RunMprun, tmp_path: Path) -> None:
    report, events = tmp_path / "r.json", tmp_path / "e.jsonl"

    done = run_mprun(
        "dlq", "replay", "nowhere", "--report", report, "--events", events, "--log", "json", cwd=tmp_path
    )

    told = json.loads(report.read_text(encoding="utf-8"))
    assert 2 == done.returncode
    assert "nowhere" in told["error"] and [] == told["problems"]
    assert events.read_text(encoding="utf-8") == done.stderr


def test_people_are_told_in_words_where_they_did_not_ask_for_json(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    file, report = write_refused(tmp_path, "job.yaml"), tmp_path / "r.json"

    done = run_mprun("run", file, "--report", report)

    assert "error[" in done.stderr and "run.refused" not in done.stderr
    assert json.loads(report.read_text(encoding="utf-8"))["problems"]


def test_a_file_that_cannot_be_written_is_told_in_the_others(run_mprun: RunMprun, tmp_path: Path) -> None:
    file, events = tmp_path / "good.yaml", tmp_path / "e.jsonl"
    file.write_text(GOOD, encoding="utf-8")

    done = run_mprun("run", file, "--report", "/proc/nowhere", "--events", events)

    assert "--report: '/proc/nowhere' can't be written" in json.loads(events.read_text("utf-8"))["error"]
    assert 1 == done.stderr.count("can't be written")
