"""Where the output of a job goes: the file itself, or through the masker."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from runner.jobs.logbook import Logbook


def run(log: Logbook, script: str) -> None:
    """Run a command that prints to the log, as a job's does."""
    output = log.open_output()
    process = subprocess.Popen(["sh", "-c", script], stdout=output, stderr=output)
    log.shut_output(output)
    process.wait()


def test_without_secrets_a_command_has_the_file_itself(tmp_path: Path) -> None:
    log = Logbook(str(tmp_path / "log"))

    run(log, "echo out; echo err >&2")

    assert ([], "out\nerr\n") == (log.pipes, (tmp_path / "log").read_text())
    log.close()


def test_with_secrets_what_is_printed_is_masked_up_to_the_last_byte(tmp_path: Path) -> None:
    log = Logbook(str(tmp_path / "log"), ["s3cr3t"])

    run(log, "printf 'a s3cr3t b s3c'")
    log.finish()

    assert ([], "a *** b s3c") == (log.pipes, (tmp_path / "log").read_text())
    log.close()


def test_what_follows_is_appended_and_our_own_lines_are_masked_too(tmp_path: Path) -> None:
    log = Logbook(str(tmp_path / "log"), ["s3cr3t"])
    run(log, "echo one")
    log.finish()

    log.say("mprun: s3cr3t")
    run(log, "echo two")
    log.close()

    assert "one\nmprun: ***\ntwo\n" == (tmp_path / "log").read_text()


def test_whoever_still_holds_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    log = Logbook(str(tmp_path / "log"), ["s3cr3t"])
    output = log.open_output()

    log.finish(patience=0.01)

    assert [] == log.pipes
    os.close(output)
    log.close()


def test_whoever_prints_without_end_keeps_nobody(tmp_path: Path) -> None:
    log = Logbook(str(tmp_path / "log"), ["s3cr3t"])
    output = log.open_output()
    with subprocess.Popen(["yes"], stdout=output) as endless:
        log.shut_output(output)

        log.pump()
        log.finish(patience=0.05)

        endless.kill()
    assert [] == log.pipes
    log.close()


def test_the_log_is_for_its_owner_and_its_size_is_what_was_printed(tmp_path: Path) -> None:
    log = Logbook(str(tmp_path / "log"))
    run(log, "printf 12345")

    assert (5, 0o600) == (log.size, (tmp_path / "log").stat().st_mode & 0o777)
    log.close()


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    log = Logbook(str(tmp_path / "log"), ["s3cr3t"])
    run(log, "echo x")

    log.close()

    assert before == len(list(Path("/proc/self/fd").iterdir()))
