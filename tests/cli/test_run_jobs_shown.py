"""`mprun run` of a file with jobs: what stdout and stderr get, whoever reads them, and what the options leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from jobs_workers import is_alive, wait_until

from runner.events.catalogue import event_schema
from runner.events.report import report_schema

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = """\
name: ci
jobs:
  build:
    run: printf 'compiling\\n\\033[31mwarning\\033[0m\\n'
  test:
    needs: build
    steps:
      - {name: check, run: "echo 'flow.yaml:3:5: cold'; exit 3"}
  docs:
    needs: build
    continue-on-error: true
    run: exit 1
  publish: {needs: test, run: echo published}
"""
STAGES = "name: st\nstages: {a: {run: {command: [echo, hi]}}}\n"


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.yaml").write_text(WORKFLOW, encoding="utf-8")
    (tmp_path / "green.yaml").write_text("name: green\njobs: {lint: {run: echo clean}}\n", encoding="utf-8")
    (tmp_path / "stages.yaml").write_text(STAGES, encoding="utf-8")
    return tmp_path


def test_a_pipe_gets_jobs_one_after_the_other_and_stderr_the_last_screen(
    run_mprun: RunMprun, folder: Path
) -> None:
    done = run_mprun("flow.yaml", "--jobs", "1", cwd=folder)

    assert 1 == done.returncode
    assert ["▸ build", "compiling", "warning"] == done.stdout.splitlines()[:3]
    assert done.stdout.splitlines()[3].startswith("✓ build passed in")
    assert done.stderr.splitlines()[0].startswith("✗ test failed after")
    closing, way = done.stderr.splitlines()[-2:]
    assert closing.endswith("1 failed, 1 failed (allowed), 1 skipped, 1 passed; exit 1")
    assert way.startswith("resume with: mprun resume ")
    assert "\x1b" not in done.stdout + done.stderr


def test_json_is_events_alone_each_as_declared(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "--output", "json", cwd=folder)
    validator = jsonschema.Draft202012Validator(event_schema())
    events = [json.loads(line) for line in done.stdout.splitlines()]

    for event in events:
        validator.validate(event)
    assert ("run.started", "run.finished") == (events[0]["event"], events[-1]["event"])
    printed = "".join(
        each["text"] for each in events if each["event"] == "job.printed" and each["job"] == "build"
    )
    assert "compiling\nwarning\n" == printed


def test_stderr_is_json_lines_alone_where_that_is_asked_for(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "--log", "json", cwd=folder)

    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert {"run.started", "job.started", "job.skipped", "job.finished", "run.finished"} <= set(events)


def test_quiet_says_nothing_of_a_run_that_passed_and_why_of_one_that_failed(
    run_mprun: RunMprun, folder: Path
) -> None:
    green = run_mprun("green.yaml", "-q", cwd=folder)
    red = run_mprun("flow.yaml", "-q", cwd=folder)

    assert (0, "", "") == (green.returncode, green.stdout, green.stderr)
    assert red.stdout.startswith("✗ test failed after")
    assert red.stderr.startswith("✗ test failed after")


def test_the_report_and_the_junit_file_tell_the_same(run_mprun: RunMprun, folder: Path) -> None:
    run_mprun("flow.yaml", "-q", "--report", "report.json", "--junit", "junit.xml", cwd=folder)

    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    jsonschema.validate(report, report_schema())
    states = {job["job"]: job["state"] for job in report["jobs"]["jobs"]}
    cases = {
        case.get("name"): [child.tag for child in case if child.tag != "system-out"]
        for case in ElementTree.parse(folder / "junit.xml").iter("testcase")
    }
    assert {"build": "passed", "test": "failed", "docs": "allowed", "publish": "skipped"} == states
    assert {"build": [], "test": ["failure"], "docs": ["skipped"], "publish": ["skipped"]} == cases


def test_github_is_told_with_commands_and_a_summary_and_hides_secrets(
    run_mprun: RunMprun, folder: Path
) -> None:
    secret = "jobs: {leak: {secrets: TOKEN, run: 'echo $TOKEN; echo ::error::injected'}}\nname: s\n"
    (folder / "secret.yaml").write_text(secret, encoding="utf-8")
    here = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "TOKEN": "hunter22"}

    failed = run_mprun("flow.yaml", "--jobs", "1", cwd=folder, env=here)
    hidden = run_mprun("secret.yaml", cwd=folder, env=here)

    errors = [line for line in failed.stdout.splitlines() if line.startswith("::error")]
    assert ["::error title=test,file=flow.yaml,line=3,col=5::"] == [line[:48] for line in errors]
    assert (folder / "summary.md").read_text(encoding="utf-8").startswith("### ci: ❌ failed\n")
    lines = hidden.stdout.splitlines()
    assert "::add-mask::hunter22" == lines[0]
    assert ["***", "::error::injected"] == lines[3:5]
    assert lines[2].startswith("::stop-commands::")


@pytest.mark.slow
def test_a_secret_is_shown_nowhere_whatever_is_printed_inside_it(run_mprun: RunMprun, folder: Path) -> None:
    script = r"printf 's3cret\033[31m/pass+word\ns3cret\000/pass+word\ns3cret\007/pass+word\n'; exit 1"
    (folder / "leak.sh").write_text(script, encoding="utf-8")
    (folder / "leak.yaml").write_text(
        "name: s\njobs: {leak: {secrets: TOK, run: sh leak.sh}}\n", encoding="utf-8"
    )
    here = {"TOK": "s3cret/pass+word", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}

    shown = [
        run_mprun("leak.yaml", "--output", mode, cwd=folder, env=here) for mode in ("stream", "group", "json")
    ]
    told = run_mprun("leak.yaml", "--junit", "j.xml", cwd=folder, env={**here, "GITHUB_ACTIONS": "true"})

    texts = [done.stdout + done.stderr for done in shown]
    texts += [
        told.stdout.partition("\n")[2],
        told.stderr,
        *((folder / f).read_text() for f in ("j.xml", "summary.md")),
    ]
    assert [] == [each for each in texts if "pass+word" in each or "***" not in each]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.slow
def test_a_reader_that_has_stopped_does_not_cost_the_summary_when_a_signal_comes(
    number: signal.Signals, mprun: Path, folder: Path, plain_env: dict[str, str]
) -> None:
    (folder / "flood.yaml").write_text("name: f\njobs: {y: {run: yes | head -c 3000000}}\n", encoding="utf-8")
    reading, writing = os.pipe()
    command = [str(mprun), "flood.yaml", "--output", "stream"]
    env = {**plain_env, "MPRUN_HOME": str(folder)}
    with subprocess.Popen(command, cwd=folder, env=env, stdout=writing, stderr=subprocess.PIPE) as run:
        os.close(writing)
        wait_until(lambda: [3_000_000] == [log.stat().st_size for log in folder.rglob("*.log")])
        wait_until(lambda: len(children_of(run.pid)) == 1)
        [writer] = children_of(run.pid)
        run.send_signal(number)
        _, told = run.communicate(timeout=20)
    os.close(reading)

    assert 0 == run.returncode
    assert "1 passed" in told.decode()
    wait_until(lambda: not is_alive(writer))


def test_what_runs_a_job_again_runs_the_very_same(run_mprun: RunMprun, folder: Path) -> None:
    text = "name: g\nparams: {word: {default: a}}\njobs: {say: {run: 'echo ${{ params.word }}; exit 4'}}\n"
    (folder / "given.yaml").write_text(text, encoding="utf-8")

    done = run_mprun("given.yaml", "--param", "word=b c", "--set", "description=x", cwd=folder)

    (again,) = [line for line in done.stderr.splitlines() if line.startswith("  again:")]
    assert "  again:  mprun run given.yaml --param 'word=b c' --set description=x --job say" == again


@pytest.mark.parametrize("reader", ["head -c 1", "true"])
@pytest.mark.slow
def test_whoever_stops_reading_does_not_change_how_it_ends(
    reader: str, mprun: Path, folder: Path, plain_env: dict[str, str]
) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{mprun} flow.yaml | {reader} > /dev/null; echo ${{PIPESTATUS[0]}}"],
        cwd=folder,
        env=plain_env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "1\n" == done.stdout
    assert done.stderr.splitlines()[-2].endswith("exit 1")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["stages.yaml", "--junit", "x.xml"], "has stages and no jobs: --junit is for those"),
        (
            ["stages.yaml", "--junit", "x.xml", "--output", "json"],
            "no jobs: --output and --junit are for those",
        ),
        (["green.yaml", "--junit", "missing/x.xml"], "--junit: 'missing/x.xml' can't be written"),
        (["green.yaml", "--junit", "x", "--events", "x"], "--events and --junit name the same file"),
        (["green.yaml", "--output", "steam"], "'steam' is not one of"),
    ],
)
def test_options_that_can_do_nothing_are_refused_before_anything_starts(
    words: list[str], expected: str, run_mprun: RunMprun, folder: Path
) -> None:
    done = run_mprun(*words, cwd=folder)

    assert 2 == done.returncode
    assert ("json" in words) == bool(done.stdout)
    assert expected in done.stderr


@pytest.mark.parametrize("output", ["stream", "group"])
def test_wide_characters_are_shown_where_nothing_is_drawn_live(
    run_mprun: RunMprun, folder: Path, output: str
) -> None:
    (folder / "wide.yaml").write_text(
        "name: 包子\njobs: {jöb 新: {run: echo 包子 ✓}, 蒸: {run: echo 蒸}}\n", encoding="utf-8"
    )

    done = run_mprun("wide.yaml", "--output", output, cwd=folder)

    assert {"包子 ✓", "蒸"} <= {line.rpartition(" | ")[2] for line in done.stdout.splitlines()}
    assert "stopped" not in done.stderr


def test_a_step_that_a_name_has_skipped_that_nothing_has_is_told_in_its_log(
    run_mprun: RunMprun, folder: Path
) -> None:
    steps = """[echo one, {run: echo two, if: env.NOWHERE == 'x'}, {run: echo three, if: "1 == 2"}]"""
    (folder / "steps.yaml").write_text(f"name: s\njobs: {{a: {{steps: {steps}}}}}\n", encoding="utf-8")

    done = run_mprun("steps.yaml", "--output", "stream", cwd=folder)

    reason = "if: env.NOWHERE == 'x' is false: env.NOWHERE is not set"
    assert ["a | one", f"a | mprun: step 2 (echo two) was skipped: {reason}"] == done.stdout.splitlines()[:2]
    assert 0 == done.returncode
