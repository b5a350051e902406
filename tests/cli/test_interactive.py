"""`interactive: true`: a job that has the terminal, in a real one, and what is left of that afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
TIMEOUT = 60.0
ECHO = termios.ECHO


class Terminal:
    """A terminal of 80 columns and 24 rows, with a `mprun` in its foreground."""

    def __init__(self, command: list[str | Path], folder: Path, env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(slave)
        self.shown = ""
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**env, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no thread runs
        )
        self._slave = slave

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, text: str) -> None:
        """Read until this is shown; what comes after it is for the next time."""
        end = time.monotonic() + TIMEOUT
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} never came: {self.shown!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                self.shown += os.read(self._master, 1 << 16).decode("utf-8", "replace")
        self.shown = self.shown[self.shown.index(text) + len(text) :]

    def end(self) -> int:
        """Read on until the command has ended; return its exit code."""
        end = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            assert time.monotonic() < end, self.shown
            if select.select([self._master], [], [], 0.05)[0]:
                self.shown += os.read(self._master, 1 << 16).decode("utf-8", "replace")
        while select.select([self._master], [], [], 0)[0]:
            self.shown += os.read(self._master, 1 << 16).decode("utf-8", "replace")
        return self.process.returncode

    def modes(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)


Run = Callable[..., Terminal]


@pytest.fixture
def run(mprun: Path, plain_env: dict[str, str], tmp_path: Path) -> Iterator[Run]:
    started: list[Terminal] = []

    def start(file: str, *more: str) -> Terminal:
        (tmp_path / "w.yaml").write_text(file, encoding="utf-8")
        env = {**plain_env, "MPRUN_HOME": str(tmp_path / "home")}
        started.append(Terminal([mprun, "w.yaml", *more], tmp_path, env))
        return started[-1]

    yield start
    for each in started:
        each.close()


ASK = """
name: w
jobs:
  ask:
    interactive: true
    run: |
      test -t 0 && test -t 1 && test -t 2 && echo "at a terminal"
      printf 'name? '; read name; echo "hello $name" | tee said
"""


def test_a_job_has_the_terminal_and_what_is_typed_there(run: Run, tmp_path: Path) -> None:
    terminal = run(ASK)
    terminal.until("at a terminal")
    terminal.until("name? ")
    terminal.type("neo\n")
    terminal.until("hello neo")

    assert terminal.end() == 0
    assert (tmp_path / "said").read_text(encoding="utf-8") == "hello neo\n"
    assert terminal.modes() == terminal.before


def test_ctrl_c_goes_to_the_job_alone(run: Run, tmp_path: Path) -> None:
    terminal = run(
        "name: w\njobs:\n  a: {interactive: true, run: \"trap 'echo caught; exit 0' INT; echo begun; "
        'while :; do sleep 0.1; done"}\n  b: {needs: a, run: "touch after"}\n'
    )
    terminal.until("begun\r\n")
    terminal.type("\x03")
    terminal.until("caught")

    assert terminal.end() == 0
    assert (tmp_path / "after").exists()


def test_a_job_that_ctrl_c_ends_has_failed(run: Run) -> None:
    terminal = run('name: w\njobs:\n  a: {interactive: true, run: "echo begun; sleep 600"}\n')
    terminal.until("begun\r\n")
    terminal.type("\x03")

    assert terminal.end() == 1
    assert "SIGINT" in terminal.shown
    assert terminal.modes() == terminal.before


def test_the_job_knows_the_size_of_the_terminal_and_its_changes(run: Run) -> None:
    terminal = run(
        "name: w\njobs:\n  a: {interactive: true, run: \"trap 'stty size; exit 0' WINCH; stty size; echo begun; "
        'while :; do sleep 0.1; done"}\n'
    )
    terminal.until("24 80")
    terminal.until("begun\r\n")
    terminal.resize(30, 100)
    terminal.until("30 100")

    assert terminal.end() == 0


def test_a_shell_has_job_control_there(run: Run) -> None:
    terminal = run(
        "name: w\njobs:\n  sh: {interactive: true, env: {PS1: 'ready> '}, run: [bash, --norc, --noprofile, -i]}\n"
    )
    terminal.until("ready> ")
    terminal.type("(echo go; exec sleep 600)\n")
    terminal.until("go\r\n")
    terminal.type("\x1a")
    terminal.until("Stopped")
    terminal.until("ready> ")


def test_modes_are_put_back_where_the_worker_is_killed(run: Run, tmp_path: Path) -> None:
    terminal = run(
        'name: w\njobs:\n  a: {interactive: true, run: "echo $PPID > worker; stty -echo; echo begun; sleep 600"}\n'
    )
    terminal.until("begun")
    assert terminal.modes() != terminal.before

    os.kill(int((tmp_path / "worker").read_text(encoding="utf-8")), signal.SIGKILL)

    assert terminal.end() == 1
    assert terminal.modes() == terminal.before


def test_modes_are_put_back_where_the_run_is_stopped(run: Run) -> None:
    terminal = run('name: w\njobs:\n  a: {interactive: true, run: "stty raw -echo; echo begun; sleep 600"}\n')
    terminal.until("begun")

    terminal.process.send_signal(signal.SIGTERM)

    assert terminal.end() == 143
    assert terminal.modes() == terminal.before


def test_one_has_the_terminal_at_once_and_others_print_when_it_is_over(run: Run) -> None:
    terminal = run(
        """
name: w
jobs:
  first: {interactive: true, run: "echo first-begun; until test -e go; do sleep 0.05; done; echo first-over"}
  second: {interactive: true, run: "echo second-begun"}
  noise: {run: "until test -e begun; do sleep 0.05; done; echo noise-printed; touch go"}
""",
        "--jobs",
        "3",
        "--output",
        "stream",
    )
    terminal.until("first-begun")
    touch(terminal, "begun")
    terminal.until("first-over")

    assert terminal.end() == 0
    assert "noise-printed" in terminal.shown
    assert "second-begun" in terminal.shown


def touch(terminal: Terminal, name: str) -> None:
    Path(f"/proc/{terminal.process.pid}/cwd", name).touch()


def test_without_a_terminal_it_reads_what_mprun_is_given(
    mprun: Path, plain_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(
        ASK.replace("test -t 0 &&", "test ! -t 0 &&").replace("-t 1", "! -t 1").replace("-t 2", "! -t 2"),
        encoding="utf-8",
    )
    done = subprocess.run(
        [mprun, "w.yaml"],
        cwd=tmp_path,
        env=plain_env,
        input="neo\n",
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert done.returncode == 0
    assert "hello neo" in done.stdout


def test_a_file_from_stdin_leaves_nothing_to_type(
    mprun: Path, plain_env: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [mprun, "-"],
        cwd=tmp_path,
        env=plain_env,
        input=ASK,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert done.returncode == 2
    assert "the file itself came over standard input" in done.stderr
