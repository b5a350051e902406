"""`mprun logs`: earlier attempts of jobs, and the pager that a terminal gets."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Mprun = Callable[..., "subprocess.CompletedProcess[str]"]
AGAIN = """\
name: again
jobs:
  flaky:
    attempts: {max: 3, backoff: 0}
    run: "echo x >> tries; n=$(wc -l < tries); echo try $n; [ $n = 3 ]"
  once: {needs: flaky, services: {"2": {run: "echo up; exec sleep 600", ready: {prints: up}}}, run: "echo good"}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, run_mprun: Mprun) -> Path:
    """A folder with a run of jobs, one of which was tried three times."""
    folder = tmp_path_factory.mktemp("again")
    (folder / "again.yaml").write_text(AGAIN)
    (folder / "ticks.yaml").write_text(
        "name: ticks\nstages:\n  t: {run: {range: 2}, to: q}\n  e: {run: 'ticks:eat', from: q}\n"
    )
    (folder / "ticks.py").write_text("def eat(item, worker):\n    worker.log.info('eaten', item=item)\n")
    for name in ("again", "ticks"):
        done = run_mprun("run", f"{name}.yaml", "-q", cwd=folder, env={"MPRUN_HOME": str(folder / "home")})
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def logs(home: Path, run_mprun: Mprun) -> Mprun:
    """The command, there."""
    return lambda *words: run_mprun("logs", *words, cwd=home, env={"MPRUN_HOME": str(home / "home")})


ALL = "== flaky, attempt 1 ==\ntry 1\n== flaky, attempt 2 ==\ntry 2\n== flaky, attempt 3 ==\ntry 3\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("again", "flaky"), "try 3\n"),
        (("again", "flaky", "--attempt", "1"), "try 1\n"),
        (("again", "flaky", "--attempt", "all"), ALL),
        (("again", "flaky", "--attempt", "all", "--grep", "try [12]"), "try 1\ntry 2\n"),
        (("again", "--attempt", "2"), "flaky | try 2\n"),
        (("again",), "flaky | try 3\nonce | good\n"),
    ],
)
def test_the_last_attempt_is_shown_or_the_one_that_is_asked_for(
    logs: Mprun, words: tuple[str, ...], expected: str
) -> None:
    assert expected == logs(*words).stdout


def test_it_is_said_where_there_were_earlier_ones(logs: Mprun) -> None:
    assert (
        logs("again", "flaky").stderr
        == "mprun: this is its last attempt; `--attempt 2` shows an earlier one, `--attempt all` all\n"
    )
    assert "" == logs("again", "once").stderr == logs("again").stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("again", "flaky", "--attempt", "4"),
            "--attempt: job 'flaky' has no attempt 4; there are logs of attempts 1, 2, 3",
        ),
        (
            ("again", "once", "--attempt", "2"),
            "--attempt: job 'once' has no attempt 2; there are logs of attempt 1",
        ),
        (
            ("again", "--attempt", "7"),
            "--attempt: no job has an attempt 7; there are logs of attempts 1, 2, 3",
        ),
        (("again", "--attempt", "first"), "--attempt: expected a number from 1 on, or `all`, got 'first'"),
        (("again", "--attempt", "0"), "--attempt: expected a number from 1 on, or `all`, got '0'"),
        (("again", "--attempt", "1", "-f"), "--attempt and -f exclude one another"),
        (("ticks", "--attempt", "1"), "--attempt is for jobs, and this run has stages"),
    ],
)
def test_an_attempt_that_there_is_not_is_refused(logs: Mprun, words: tuple[str, ...], expected: str) -> None:
    refused = logs(*words)

    assert (2, "") == (refused.returncode, refused.stdout)
    assert expected in refused.stderr


def on_a_terminal(mprun: Path, home: Path, env: Mapping[str, str], *words: str, **more: str) -> str:
    """What the command shows there."""
    ours, theirs = pty.openpty()
    pager = home / "pager"
    pager.write_text("#!/bin/sh\nsed 's/^/paged: /'\n")
    pager.chmod(0o755)
    process = subprocess.Popen(
        [mprun, "logs", *words],
        cwd=home,
        env={**env, "MPRUN_HOME": str(home / "home"), "TERM": "xterm", "PAGER": str(pager), **more},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # EIO: nobody has the other end any more
        pass
    os.close(ours)
    assert 0 == process.wait()
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("words", "more", "expected"),
    [
        (("again", "flaky", "--attempt", "1"), {}, "paged: try 1\n"),
        (("ticks", "--grep", "item=1"), {}, "paged: "),
        (("again", "flaky", "-f"), {}, "try 3\n"),
        (("again", "flaky"), {"PAGER": "cat"}, "try 3\n"),
        (("again", "flaky"), {"PAGER": ""}, "try 3\n"),
    ],
)
def test_a_terminal_gets_a_pager_unless_what_comes_is_to_be_followed(
    home: Path,
    mprun: Path,
    plain_env: Mapping[str, str],
    words: tuple[str, ...],
    more: dict[str, str],
    expected: str,
) -> None:
    assert on_a_terminal(mprun, home, plain_env, *words, **more).startswith(expected)
