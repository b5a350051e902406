"""`mprun run`: what it leaves on stdout, stderr and disk, and what it refuses before anything starts."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from runner.cli.run import command
from runner.events.base import LEVELS
from runner.render.process import CLOSE_TIMEOUT
from runner.spec.model import TRANSPORTS

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = """\
name: counting
params:
  last: {type: integer, default: 3}
stages:
  counter: {run: "work:count", with: {last: "${{ params.last }}"}, to: numbers}
  printer: {run: "work:show", from: numbers}
queues:
  numbers: {maxsize: 10}
"""
HANDLERS = """\
from pathlib import Path


def count(last):
    Path("started").touch()
    yield from range(last)


def show(number):
    print(f"数 {number}")
    if number == 99:
        raise ValueError("99 is too many")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.yaml").write_text(WORKFLOW, encoding="utf-8")
    (tmp_path / "work.py").write_text(HANDLERS, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_terminal_that_is_stopped_keeps_neither_the_report_nor_the_end_of_the_process(
    mprun: Path, folder: Path
) -> None:
    ours, theirs = os.openpty()
    termios.tcflow(theirs, termios.TCOOFF)  # as Ctrl-S does
    words = [
        str(mprun),
        "run",
        "flow.yaml",
        "--report",
        "report.json",
        "--no-progress",
        "--log-level",
        "error",
    ]
    run = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=theirs)
    report = folder / "report.json"
    try:
        until(lambda: report.exists() and report.read_text().endswith("}\n"))
        # The first signal may come before there is a screen, and then passes by.
        until(lambda: run.poll() is not None, between=run.terminate)
    finally:
        run.kill()
        run.wait()
        os.close(ours)
        os.close(theirs)

    assert "done" == json.loads(report.read_text())["outcome"]


@pytest.mark.slow
def test_a_signal_ends_it_also_while_the_log_waits_for_a_terminal_that_is_stopped(
    mprun: Path, folder: Path
) -> None:
    ours, theirs = os.openpty()
    run = subprocess.Popen(
        [mprun, "run", "flow.yaml", "--param", "last=1000000", "--report", "report.json"],
        cwd=folder,
        env={**os.environ, "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    report = folder / "report.json"
    try:
        until((folder / "started").exists)
        termios.tcflow(theirs, termios.TCOOFF)  # as Ctrl-S does
        run.terminate()
        asked = time.monotonic()
        until(lambda: report.read_text().endswith("}\n"))
        took = time.monotonic() - asked
        run.terminate()
        run.wait(CLOSE_TIMEOUT)
    finally:
        run.kill()
        run.wait()
        os.close(ours)
        os.close(theirs)

    assert took < CLOSE_TIMEOUT, "the report does not wait for whoever reads the log"
    assert run.returncode == json.loads(report.read_text())["exit_code"]


@pytest.mark.slow
def test_a_terminal_that_is_closed_stops_a_run_and_leaves_its_exit_code(mprun: Path, folder: Path) -> None:
    (folder / "work.py").write_text(HANDLERS + "    __import__('time').sleep(0.01)\n", encoding="utf-8")
    ours, theirs = os.openpty()
    run = subprocess.Popen(
        [mprun, "run", "flow.yaml", "--param", "last=10000", "--report", "report.json"],
        cwd=folder,
        env={**os.environ, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no thread holds anything here
    )
    os.close(theirs)
    try:
        shown = b""
        while "数 0".encode() not in shown:
            shown += os.read(ours, 1 << 16)
        os.close(ours)
        code = run.wait(30)
    finally:
        run.kill()
        run.wait()

    assert (128 + signal.SIGHUP, 129) == (code, json.loads((folder / "report.json").read_text())["exit_code"])


def until(is_so: Callable[[], bool], between: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        between()
        time.sleep(0.5)


@pytest.mark.parametrize("words", [["flow.yaml"], ["run", "flow.yaml"]])
@pytest.mark.parametrize("transport", ["joinable", "inline"])
def test_stdout_holds_what_the_handlers_print_and_stderr_is_json_where_that_is_asked_for(
    run_mprun: RunMprun, folder: Path, words: list[str], transport: str
) -> None:
    done = run_mprun(*words, "--transport", transport, cwd=folder, env={"MPRUN_LOG": "json"})

    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, done.stdout) == (0, "数 0\n数 1\n数 2\n")
    assert (events[0]["event"], events[-1]["event"]) == ("run.started", "run.finished")
    assert events[0]["transport"] == transport


def test_a_param_changes_the_run(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "--param", "last=1", "--transport", "inline", cwd=folder)

    assert done.stdout == "数 0\n"


def test_a_pipe_gets_text_that_ends_with_the_tables(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "--transport", "inline", cwd=folder)

    assert "ledger: 3 put = 3 done" in done.stderr
    assert "\x1b" not in done.stderr


def test_quiet_says_nothing_of_a_run_that_is_done(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "--quiet", "--log", "text", "--transport", "inline", cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")


def test_quiet_says_in_one_line_what_failed_in_a_run_that_is_done(run_mprun: RunMprun, folder: Path) -> None:
    bears = ("limits.max_errors=3", "stages.printer.on_error=skip", "stages.printer.run=work:refuse")
    (folder / "work.py").write_text(HANDLERS + "\n\ndef refuse(number):\n    raise ValueError(number)\n")
    options = [word for each in bears for word in ("--set", each)]

    done = run_mprun("flow.yaml", "--quiet", *options, "--transport", "inline", cwd=folder)

    assert (0, "mprun: 3 items failed and were dropped\n") == (done.returncode, done.stderr)


def test_a_failure_is_exit_code_1_and_said_even_when_quiet(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "-q", "--log", "text", "--param", "last=100", cwd=folder)

    assert done.returncode == 1
    assert "ValueError: 99 is too many" in done.stderr


def test_events_and_report_are_written_to_their_files(run_mprun: RunMprun, folder: Path) -> None:
    run_mprun("flow.yaml", "--events", "e.jsonl", "--report", "r.json", cwd=folder)

    events = [json.loads(line) for line in (folder / "e.jsonl").read_text(encoding="utf-8").splitlines()]
    report = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    assert events[-1]["event"] == "run.finished"
    assert (report["outcome"], report["exit_code"]) == ("done", 0)


@pytest.mark.parametrize("option", ["--events", "--report"])
@pytest.mark.parametrize("path", ["none/file", ".", "work.py/file"])
@pytest.mark.quick("none/file---events")
def test_a_file_that_cannot_be_written_is_found_before_anything_starts(
    run_mprun: RunMprun, folder: Path, option: str, path: str
) -> None:
    done = run_mprun("flow.yaml", option, path, cwd=folder)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"mprun: {option}: '{path}' can't be written: ")
    assert not (folder / "started").exists()


def test_events_and_report_need_a_file_each(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "--events", "x", "--report", "./x", cwd=folder)

    assert done.returncode == 2
    assert "name the same file" in done.stderr


def test_a_report_that_is_lost_after_a_good_run_is_a_failure(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "--transport", "inline", "--report", "/dev/full", cwd=folder)

    assert done.returncode == 1
    assert "the report '/dev/full' can't be written: No space left on device" in done.stderr


def test_a_log_that_is_lost_leaves_the_exit_code_as_it_is(
    mprun: Path, plain_env: dict[str, str], folder: Path
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [mprun, "flow.yaml", "--transport", "inline"],
            stdout=subprocess.PIPE,
            stderr=full,
            env=plain_env,
            cwd=folder,
            check=False,
        )

    assert done.returncode == 0


def test_a_file_with_errors_starts_nothing(run_mprun: RunMprun, folder: Path) -> None:
    done = run_mprun("flow.yaml", "--set", "stages.printer.count=none", cwd=folder)

    assert (done.returncode, done.stdout) == (3, "")
    assert "--set:1:" in done.stderr
    assert not (folder / "started").exists()


@pytest.mark.slow
def test_a_reader_of_stderr_that_leaves_does_not_change_the_verdict(
    mprun: Path, folder: Path, plain_env: dict[str, str]
) -> None:
    with subprocess.Popen(
        [mprun, "flow.yaml", "--log", "text"],
        cwd=folder,
        env=plain_env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stderr.close()
        printed = process.stdout.read().decode()

    assert (process.returncode, printed) == (0, "数 0\n数 1\n数 2\n")


def test_handlers_are_found_beside_the_file_though_workers_work_elsewhere(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "where.py").write_text("import os\n\n\ndef go():\n    print(os.getcwd())\n")
    (tmp_path / "where.yaml").write_text("name: where\nstages: {a: {run: 'where:go', cwd: elsewhere}}\n")

    done = run_mprun("where.yaml", cwd=tmp_path)

    assert (0, f"{tmp_path / 'elsewhere'}\n") == (done.returncode, done.stdout), done.stderr


@pytest.mark.parametrize(("option", "those"), [("--transport", TRANSPORTS), ("--log-level", tuple(LEVELS))])
def test_the_choices_of_an_option_are_those_that_there_are(option: str, those: tuple[str, ...]) -> None:
    """The command states them itself, so that `--help` need not import what it is about."""
    kind = next(each.type for each in command.params if option in each.opts)

    assert isinstance(kind, click.Choice)
    assert those == tuple(kind.choices)


def test_a_run_that_has_to_be_resumable_is_not_begun_without_a_record(
    run_mprun: RunMprun, folder: Path
) -> None:
    (folder / "flow.yaml").write_text(WORKFLOW + "resume: required\n", encoding="utf-8")

    refused = run_mprun("run", "flow.yaml", "--no-record", cwd=folder)

    assert 2 == refused.returncode
    assert "says `resume: required`: with --no-record there is nothing to go on from" in refused.stderr
    assert not (folder / "started").exists()
