"""Whatever a user puts a secret into, no file of the home has it: not the record, nor what lies beside it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from jobs_runs import Running, Runs
from jobs_workers import wait_until

SECRET = "hunter2-Wort"
BEGINNING = "hunter2"
"""What is left of it by the cuts in names and values that `cut_…` in this file have, each a few characters longer."""
EVERYWHERE = f"""\
name: everywhere
# {SECRET} in a comment
description: "{SECRET}"
params: {{token: {{default: none}}, padded: {{default: "{"-" * 46}{SECRET} and more"}}}}
env: {{ALSO: "{SECRET}"}}
include: more.yaml
jobs:
  shown:
    secrets: TOKEN
    description: "{SECRET}"
    outputs: {{values: [token]}}
    steps:
      - {{name: "say {SECRET}", run: "echo $TOKEN; echo token=$TOKEN >> $MPRUN_OUTPUT"}}
      - {{name: "${{{{ params.token }}}}", run: "echo ${{{{ params.token }}}} | tee /dev/stderr"}}
  taken: {{needs: shown, run: "echo ${{{{ needs.shown.outputs.token }}}}"}}
  fresh:
    secrets: TOKEN
    inputs: more.yaml
    outputs: {{values: [token]}}
    run: "echo token=$TOKEN >> $MPRUN_OUTPUT"
  legs: {{strategy: {{matrix: {{of: ["{SECRET}"]}}}}, run: "echo ${{{{ matrix.of }}}}"}}
  serving:
    secrets: TOKEN
    services: {{"s-{SECRET}": {{run: "echo $TOKEN; echo up; exec sleep 600", ready: {{prints: up, every: 10ms}}}}}}
    run: "echo served; exit 0"
  missing: {{continue-on-error: true, run: ["{SECRET}/no-such-program"]}}
  nowhere: {{continue-on-error: true, working-directory: "{SECRET}", run: "true"}}
  promised: {{continue-on-error: true, outputs: {{files: "{SECRET}*"}}, run: "true"}}
  cut_name: {{run: "echo '{"-" * 46}{SECRET} and more of it'"}}
  cut_value: {{run: "echo '${{{{ params.padded }}}}'"}}
  cut_condition: {{if: "params.token != '{"-" * 74}{SECRET} and more'", run: exit 0}}
  cut_fact: {{if: "params.padded == 'x'", run: exit 0}}
  cut_output: {{continue-on-error: true, run: "echo '{"-" * 31}{SECRET} and more' >> $MPRUN_OUTPUT"}}
  cut_leg: {{strategy: {{matrix: {{of: ["{"-" * 50}{SECRET} and more"]}}}}, run: "true"}}
  waits: {{needs: [shown, serving, legs], secrets: TOKEN, run: "WAITS"}}
"""
MORE = f"""\
# {SECRET}
jobs:
  included: {{if: "params.token == '{SECRET}'", run: "echo {SECRET}"}}
"""
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "told/summary.md"}
GIVEN = ("--param", f"token={SECRET}", "--set", f"description=a {SECRET}")


@pytest.fixture
def runs(tmp_path: Path, mprun: Path, plain_env: Mapping[str, str]) -> Iterator[Runs]:
    """Starts runs, and sees to it that nothing of them is left."""
    made = Runs(tmp_path, mprun, {**plain_env, "TOKEN": SECRET})
    yield made
    made.close()


def start(runs: Runs, waits: str = "true") -> Running:
    (runs.folder / "more.yaml").write_text(MORE)
    (runs.folder / "told").mkdir(exist_ok=True)
    told = ("--report", "told/report.json", "--junit", "told/junit.xml")
    return runs.start(EVERYWHERE.replace("WAITS", waits), *GIVEN, *told, **GITHUB)


def told_by(folder: Path) -> list[str]:
    """The files below a folder that have the secret in them, or in their name, or what a cut has left of it."""
    word = BEGINNING.encode()
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if BEGINNING in path.name or (path.is_file() and word in path.read_bytes())
    ]


@pytest.mark.slow
def test_a_run_that_ends_leaves_no_secret_in_its_home(runs: Runs) -> None:
    run = start(runs)
    code = run.finish()
    listed, shown = runs.ask("history"), runs.ask("show", "latest", "--format", "json")

    assert (0, []) == (code, told_by(runs.folder / "home")), run.said
    assert (0, 0) == (listed.returncode, shown.returncode)
    assert [] == told_by(runs.folder / "home"), "nor is it in what is made when somebody looks"
    assert {"run.db", "run.json"} <= {path.name for path in runs.folder.glob("home/runs/*/*")}


@pytest.mark.slow
def test_nor_has_what_a_run_tells_of_itself(runs: Runs) -> None:
    run = start(runs)
    code = run.finish()
    lines = runs.ask("run", str(runs.folder / "jobs.yaml"), *GIVEN, "--output", "json")
    names = {event["name"] for event in run.named("step.started")}

    assert (0, 0) == (code, lines.returncode), run.said
    said = [*run.said.split("\n"), *lines.stdout.split("\n"), *lines.stderr.split("\n")]
    assert [f"::add-mask::{SECRET}"] == [line for line in said if BEGINNING in line]
    assert {"junit.xml", "report.json", "summary.md"} == {path.name for path in runs.folder.glob("told/*")}
    assert ([], False) == (told_by(runs.folder / "told"), BEGINNING in run.events_file.read_text())
    assert {"say ***", "***", f"echo '{'-' * 46}***…"} <= names
    assert [None] == [event["slowest_item"] for event in run.named("stage.timed")][-1:], "it is no item"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_nor_does_one_that_is_killed_or_stopped(runs: Runs, number: signal.Signals) -> None:
    waits = "echo waiting; echo $TOKEN; [ -e go ] || sleep 600"
    run = start(runs, waits)
    run.wait_for("job.started", job="waits")
    wait_until(lambda: any(runs.folder.glob("home/runs/*/run.json.seen")))
    wait_until(
        lambda: [p for p in runs.folder.glob("home/runs/*/jobs/*waits.log") if b"***" in p.read_bytes()]
    )
    while_it_runs = told_by(runs.folder / "home")
    os.kill(run.process.pid, number)
    run.finish()
    wait_until(lambda: not run.left_behind())
    runs.ask("history")

    assert ([], []) == (while_it_runs, told_by(runs.folder / "home"))


@pytest.mark.slow
def test_what_cannot_be_written_down_is_made_again(runs: Runs) -> None:
    first, second = start(runs), None
    assert 0 == first.finish(), first.said
    second = start(runs)
    assert 0 == second.finish(), second.said

    assert "passed" == second.results["fresh"], (
        "a value that it hands on is a secret, so it is not up to date"
    )
