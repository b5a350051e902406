"""What each command shows on a terminal of 80 columns: no line is wider, and no name or number is cut."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import all_commands

from runner.cli import running
from runner.cli.group import cli
from runner.handlers.registry import built_in_kinds
from runner.text import cells

Show = Callable[..., str]
LONG = "a_stage_with_a_rather_long_name"


@pytest.fixture
def show(mprun: Path, plain_env: dict[str, str], tmp_path: Path) -> Show:
    """Run a command on a terminal of 80 columns, and return what that shows."""

    def shown(*words: str | Path) -> str:
        ours, theirs = pty.openpty()
        env = {**plain_env, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80"}
        command = subprocess.Popen(
            [mprun, *words],
            env=env,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        told = b"".join(_read(ours))
        os.close(ours)
        command.wait(60)
        return told.decode().replace("\r\n", "\n")

    return shown


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:  # the last one that could write has gone
            return


def _too_wide(text: str) -> list[str]:
    return [line for line in text.splitlines() if cells(line) > 80]


@pytest.mark.parametrize("words", [words for words, _ in all_commands()])
def test_the_help_of_every_command_has_room(words: str) -> None:
    done = CliRunner().invoke(cli, [*words.split(), "--help"], terminal_width=80)

    assert 0 == done.exit_code
    assert [] == _too_wide(done.output)


def test_the_plan_of_stages_has_every_name_whole(show: Show, tmp_path: Path) -> None:
    stages = "".join(
        f"  {LONG}_{n}: {{run: {{range: {{stop: 123456789}}}}, to: a_queue_of_a_long_name_{n}}}\n"
        f"  reader_of_{LONG}_{n}: {{run: {{print: {{}}}}, from: a_queue_of_a_long_name_{n}}}\n"
        for n in range(3)
    )
    (tmp_path / "w.yaml").write_text(f"name: w\nstages:\n{stages}")

    shown = show("plan", "w.yaml")

    assert [] == _too_wide(shown) and "…" not in shown
    assert all(f"{LONG}_{n}-1" in shown and f"a_queue_of_a_long_name_{n}" in shown for n in range(3))


def test_the_plan_of_jobs_has_every_condition_whole(show: Show, tmp_path: Path) -> None:
    condition = " && ".join(f"contains(params.text, 'number {n}')" for n in range(6))
    (tmp_path / "w.yaml").write_text(
        "name: w\nparams: {text: {default: x}}\njobs:\n"
        f"  {LONG}: {{run: 'true', description: {'many words ' * 20}end}}\n"
        f'  last: {{run: "true", needs: {LONG}, if: "{condition}"}}\n'
    )

    shown = show("plan", "w.yaml")

    assert [] == _too_wide(shown) and "…" not in shown
    assert condition in " ".join(shown.split()) and "many words end" in " ".join(shown.split())


def test_handlers_are_listed_with_every_word_of_theirs(show: Show) -> None:
    shown = show("handlers")

    assert [] == _too_wide(shown)
    words = " ".join(shown.split())
    assert all(kind.summary.split(". ")[0] in words for kind in built_in_kinds().values())


@pytest.mark.parametrize("words", ["validate", "plan", "run"])
@pytest.mark.quick("plan")
def test_the_caret_of_a_problem_stands_below_its_place(show: Show, tmp_path: Path, words: str) -> None:
    (tmp_path / "w.yaml").write_text(
        f"name: w\nstages: {{{LONG}: {{run: {{print: {{}}}}, nise: 3, to: {'q' * 70}}}}}\n"
    )

    lines = show(words, "w.yaml").splitlines()

    problem = next(number for number, line in enumerate(lines) if "no key 'nise'" in line)
    above, carets = lines[problem + 1 :][:2]
    assert "nise" == above[carets.index("^") : carets.rindex("^") + 1]
    assert cells(above) <= 80


def test_ps_has_every_name_and_number_whole() -> None:
    counts = {"received": 1234567890, "sent": 1234567891, "failed": 1234567892, "retried": 1234567893}
    end = {"ending": "", "exitcode": None, "signal": None, "asked_at": None, "ended_at": None}
    worker = {"worker": f"{LONG}-1", "stage": LONG, "pid": 4123456, "state": "terminating", **counts, **end}
    queue = {
        "name": LONG,
        "waiting": 1234567894,
        "maxsize": 1234567895,
        "put": 1234567896,
        "done": 1234567897,
    }
    run = {"run": "3f2a", "workflow": "baozi", "phase": "running", "elapsed": 1.25, "pid": 1}
    at = {"elapsed": 61.0, "attempt": 1, "step": "2: a step that runs", "waits_for": []}
    waits = {"elapsed": None, "attempt": 0, "step": "", "waits_for": [f"{LONG}_{n}" for n in range(5)]}
    jobs = [
        {"job": f"{LONG} (3.11, {LONG})", "state": "running", **at},
        {"job": "last", "state": "waiting", **waits},
    ]

    of_stages = running.run_as_text({**run, "workers": [worker], "queues": [queue]}, 80)
    of_jobs = running.run_as_text({**run, "workers": [], "queues": [], "jobs": jobs}, 80)

    assert [] == _too_wide(of_stages) + _too_wide(of_jobs)
    assert {str(n) for n in range(1234567890, 1234567898)} <= set(re.findall(r"\d{10}", of_stages))
    assert f"{LONG}-1" in of_stages and f"{LONG} (3.11, {LONG})" in of_jobs
    assert all(f"{LONG}_{n}" in of_jobs for n in range(5))


@pytest.mark.slow
def test_dead_letters_are_shown_with_their_whole_error(show: Show, tmp_path: Path) -> None:
    error = " ".join(f"word{n}" for n in range(40))
    (tmp_path / "bad.py").write_text(f"def fail(item):\n    raise ValueError('{error}')\n")
    (tmp_path / "w.yaml").write_text(
        "name: w\nlimits: {max_errors: 9}\nstages:\n  a: {run: {range: {stop: 1}}, to: q}\n"
        f"  {LONG}: {{run: 'bad:fail', from: q, on_error: dead_letter, retry: {{attempts: 1}}}}\n"
    )
    show("run", "w.yaml", "-q")

    listed, shown = (
        show("dlq", "ls"),
        show("dlq", "show", "w"),
    )

    assert [] == _too_wide(listed)
    assert error in " ".join(listed.split()) and LONG in listed
    assert error in " ".join(shown.split())
