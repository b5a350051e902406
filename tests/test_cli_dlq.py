"""`mprun dlq`: what the letters of a real run look like, and that they go back where they failed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = """\
name: canteen
transport: leased
limits: {max_errors: 9}
stages:
  chef:
    run: canteen:bake
    to: counter
  waiter:
    run: canteen:carry
    from: counter
    to: table
    on_error: dead_letter
    retry: {attempts: 2, backoff: 10ms, on: ValueError}
  eater:
    run: canteen:eat
    from: table
"""
HANDLERS = """\
from pathlib import Path
HERE = Path(__file__).parent

class Bun:
    def __init__(self, number):
        self.number = number
    def __repr__(self):
        return f"包子{self.number}"

def bake():
    for number in range(6):
        yield Bun(number)

def carry(bun):
    if bun.number in (2, 4) and not (HERE / "mended").exists():
        raise ValueError("dropped it")
    return bun.number

def eat(number):
    with (HERE / "eaten.txt").open("a") as eaten:
        eaten.write(f"{number}\\n")
"""


class Canteen:
    """A folder with a workflow that has run once and left two letters."""

    def __init__(self, folder: Path, run_mprun: RunMprun) -> None:
        self.folder = folder
        self._run = run_mprun
        (folder / "canteen.yaml").write_text(WORKFLOW)
        (folder / "canteen.py").write_text(HANDLERS, encoding="utf-8")
        assert 0 == self.mprun("run", "canteen.yaml", "--quiet").returncode

    def mprun(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(*arguments, cwd=self.folder, env={"MPRUN_HOME": str(self.folder / "home")})

    def listed(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.mprun("dlq", "ls", "--format", "json").stdout)
        return rows

    def eaten(self) -> list[str]:
        return sorted((self.folder / "eaten.txt").read_text().split())


@pytest.fixture
def canteen(tmp_path: Path, run_mprun: RunMprun) -> Canteen:
    return Canteen(tmp_path, run_mprun)


def test_ls_counts_the_letters_of_each_stage(canteen: Canteen) -> None:
    (row,) = canteen.listed()
    shown = canteen.mprun("dlq", "ls").stdout

    assert ("canteen", "waiter", 2, 0, "ValueError: dropped it") == tuple(
        row[key] for key in ("workflow", "stage", "letters", "replayed", "error")
    )
    assert ["RUN", "WORKFLOW", "STAGE", "LETTERS", "REPLAYED", "LAST", "ERROR"] == shown.splitlines()[
        0
    ].split()


def test_ls_says_so_where_there_are_none(tmp_path: Path, run_mprun: RunMprun) -> None:
    done = run_mprun("dlq", "ls", cwd=tmp_path, env={"MPRUN_HOME": str(tmp_path / "none")})

    assert (0, "", "there are no dead letters here\n") == (done.returncode, done.stdout, done.stderr)


def test_show_tells_the_item_its_error_and_each_attempt_and_opens_nothing(canteen: Canteen) -> None:
    (canteen.folder / "canteen.py").unlink()
    run = canteen.listed()[0]["run"]

    shown = canteen.mprun("dlq", "show", run, "--number", "1")

    assert 0 == shown.returncode, shown.stderr
    assert "item:      包子2" in shown.stdout
    assert "error:     ValueError: dropped it" in shown.stdout
    assert ["attempt 1:", "attempt 2:"] == [
        line[:10] for line in shown.stdout.splitlines() if line[:7] == "attempt"
    ]
    assert "unpickl" not in shown.stdout + shown.stderr


def test_show_opens_the_item_only_when_told_to_and_says_what_that_means(canteen: Canteen) -> None:
    run = canteen.listed()[0]["run"]

    shown = canteen.mprun("dlq", "show", run, "--unpickle", "--format", "json")

    assert "unpickling: this runs code of whoever wrote the item\n" == shown.stderr
    # The class is in a module beside the workflow, which this command does not import.
    assert "No module named 'canteen'" in json.loads(shown.stdout)["unpickled"]


@pytest.mark.parametrize(
    ("arguments", "trouble"),
    [
        (("show", "nobody"), "there is no run 'nobody'"),
        (("show", "RUN", "--number", "3"), "stage 'waiter' has letters 1 to 2, not 3"),
        (("show", "RUN", "--stage", "chef"), "no such dead letters"),
        (("replay", "RUN", "--stage", "chef"), "has no dead letters that were not replayed"),
    ],
)
def test_what_is_not_there_is_a_usage_error(
    canteen: Canteen, arguments: tuple[str, ...], trouble: str
) -> None:
    run = canteen.listed()[0]["run"]

    done = canteen.mprun("dlq", *(run if word == "RUN" else word for word in arguments))

    assert 2 == done.returncode
    assert trouble in done.stderr


def test_replay_puts_the_letters_back_where_they_failed_and_marks_them(canteen: Canteen) -> None:
    (canteen.folder / "mended").touch()
    run = canteen.listed()[0]["run"]

    done = canteen.mprun("dlq", "replay", run)

    assert 0 == done.returncode, done.stderr
    assert list("012345") == canteen.eaten()
    assert [(2, 2)] == [(row["letters"], row["replayed"]) for row in canteen.listed()]
    assert 2 == canteen.mprun("dlq", "replay", run).returncode


@pytest.mark.slow
def test_a_letter_that_fails_again_is_a_letter_of_the_new_run(canteen: Canteen) -> None:
    run = canteen.listed()[0]["run"]

    done = canteen.mprun("dlq", "replay", run, "canteen.yaml", "--set", "stages.waiter.retry.attempts=1")

    assert 0 == done.returncode, done.stderr
    assert [(2, 0), (2, 2)] == sorted((row["letters"], row["replayed"]) for row in canteen.listed())


@pytest.mark.slow
def test_letters_of_a_replay_that_fails_are_not_marked(canteen: Canteen) -> None:
    run = canteen.listed()[0]["run"]

    done = canteen.mprun("dlq", "replay", run, "--set", "stages.waiter.on_error=fail")

    assert 1 == done.returncode
    assert "0 of 2 letters of stage 'waiter' replayed" in done.stderr
    assert [(2, 0)] == [(row["letters"], row["replayed"]) for row in canteen.listed()]
