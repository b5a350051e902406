"""Where the output of a job goes: the file itself, or through the masker."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from holdings import nothing_left

from runner.jobs.log import LogWriter


def run(log: LogWriter, script: str) -> None:
    """Run a command that prints to the log, as a job's does."""
    output = log.open_output()
    process = subprocess.Popen(["sh", "-c", script], stdout=output, stderr=output)
    log.close_output(output)
    process.wait()


def test_without_secrets_a_command_has_the_file_itself(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path / "log"))

    run(log, "echo out; echo err >&2")

    assert ([], "out\nerr\n") == (log.pipes, (tmp_path / "log").read_text())
    log.close()


def test_with_secrets_what_is_printed_is_masked_up_to_the_last_byte(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path / "log"), ["s3cr3t"])

    run(log, "printf 'a s3cr3t b s3c'")
    log.finish()

    assert ([], "a *** b s3c") == (log.pipes, (tmp_path / "log").read_text())
    log.close()


def test_what_follows_is_appended(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path / "log"), ["s3cr3t"])
    run(log, "echo one")
    log.finish()

    run(log, "echo two")
    log.close()

    assert "one\ntwo\n" == (tmp_path / "log").read_text()


def test_whoever_still_holds_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path / "log"), ["s3cr3t"])
    output = log.open_output()

    log.finish(patience=0.01)

    assert [] == log.pipes
    os.close(output)
    log.close()


def test_whoever_prints_without_end_keeps_nobody(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path / "log"), ["s3cr3t"])
    output = log.open_output()
    with subprocess.Popen(["yes"], stdout=output) as endless:
        log.close_output(output)

        log.pump()
        log.finish(patience=0.05)

        endless.kill()
    assert [] == log.pipes
    log.close()


def test_the_log_is_for_its_owner_and_its_size_is_what_was_printed(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path / "log"))
    run(log, "printf 12345")

    assert (5, 0o600) == (log.size, (tmp_path / "log").stat().st_mode & 0o777)
    log.close()


def test_nothing_stays_open(tmp_path: Path) -> None:
    with nothing_left():
        log = LogWriter(str(tmp_path / "log"), ["s3cr3t"])
        run(log, "echo x")

        log.close()
