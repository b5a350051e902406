"""`mprun dlq`: what the letters of a real run look like, and that they go back where they failed."""

from __future__ import annotations

import json
import shutil
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

    def __init__(self, folder: Path, run_mprun: RunMprun, handlers: str = HANDLERS) -> None:
        self.folder = folder
        self._run = run_mprun
        (folder / "canteen.yaml").write_text(WORKFLOW)
        (folder / "canteen.py").write_text(handlers, encoding="utf-8")
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
        (("show", "RUN", "--stage", "chef"), "stage 'chef' has no dead letters in run"),
        (("replay", "RUN", "--stage", "chef"), "known here: waiter"),
    ],
)
@pytest.mark.quick("arguments0-there is no run 'nobody'")
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


HALF_DONE = """\
import os, signal
from pathlib import Path
HERE = Path(__file__).parent

def bake():
    return range(3)

def cut(bun):
    for half in ("left", "right", "crumbs"):
        if half == "crumbs" and bun == 1 and not (HERE / "mended").exists():
            FAIL
        yield f"{bun} {half}"

def eat(half):
    with (HERE / "eaten.txt").open("a") as eaten:
        eaten.write(f"{half}\\n")
"""
HALF_DONE_FILE = """\
name: halves
queues: {r: {QUEUE}}
limits: {max_errors: 1}
stages:
  baker: {run: "halves:bake", to: q}
  cutter: {run: "halves:cut", from: q, to: r, on_error: dead_letter, retry: {attempts: 1}STAGE}
  eater: {run: "halves:eat", from: r}
"""


@pytest.mark.parametrize(
    ("fail", "queue", "stage"),
    [
        ("raise ValueError('no knife')", "", ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", "max_bytes: 1MB", ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", "", ", order: keep"),
    ],
    ids=["raises", "killed", "in order"],
)
@pytest.mark.slow
def test_outputs_of_an_item_that_are_in_when_it_fails_are_counted_and_left_out_by_a_replay(
    tmp_path: Path, run_mprun: RunMprun, fail: str, queue: str, stage: str
) -> None:
    def mprun(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_mprun(*arguments, cwd=tmp_path, env={"MPRUN_HOME": str(tmp_path / "home")})

    (tmp_path / "halves.py").write_text(HALF_DONE.replace("FAIL", fail))
    (tmp_path / "halves.yaml").write_text(HALF_DONE_FILE.replace("QUEUE", queue).replace("STAGE", stage))
    mprun("run", "halves.yaml", "--quiet")
    shown = mprun("dlq", "show", "halves").stdout
    (tmp_path / "mended").touch()
    mprun("dlq", "replay", "halves")

    if "kill" not in fail:  # whoever is killed takes along what it has not sent
        assert "outputs:   2\n" in shown
    everything = [f"{bun} {half}" for bun in range(3) for half in ("crumbs", "left", "right")]
    assert everything == sorted((tmp_path / "eaten.txt").read_text().splitlines())


def test_a_replay_that_would_deliver_outputs_again_is_refused(tmp_path: Path, run_mprun: RunMprun) -> None:
    def mprun(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_mprun(*arguments, cwd=tmp_path, env={"MPRUN_HOME": str(tmp_path / "home")})

    text = HALF_DONE_FILE.replace("QUEUE", "").replace("STAGE", "")
    (tmp_path / "halves.py").write_text(HALF_DONE.replace("FAIL", "raise ValueError('no knife')"))
    (tmp_path / "halves.yaml").write_text(text)
    (tmp_path / "inline.yaml").write_text(
        text.replace(", on_error: dead_letter, retry: {attempts: 1}", "") + "transport: inline\n"
    )
    mprun("run", "halves.yaml", "--quiet")

    refused = mprun("dlq", "replay", "halves", "inline.yaml")

    assert 2 == refused.returncode
    assert "number 1 the first; only `transport: leased` can leave these out" in refused.stderr


@pytest.mark.parametrize(
    ("open_", "arguments"),
    [
        ("home/runs", ("replay",)),
        ("home/runs/RUN", ("replay",)),
        ("home/runs/RUN/dead-letters", ("replay", "--trust")),
        ("home/runs/RUN/dead-letters/waiter.jsonl", ("show", "--unpickle", "--trust")),
        ("home/runs/RUN/run.json", ("replay",)),
    ],
)
@pytest.mark.quick("home/runs/RUN/dead-letters/waiter.jsonl-arguments3")
def test_letters_that_others_may_have_written_are_neither_put_back_nor_unpickled(
    canteen: Canteen, open_: str, arguments: tuple[str, ...]
) -> None:
    run = canteen.listed()[0]["run"]
    (canteen.folder / open_.replace("RUN", run)).chmod(0o777)

    command, *options = arguments
    done = canteen.mprun("dlq", command, run, *options)

    assert (2, "") == (done.returncode, done.stdout)
    assert "can be written by others; `chmod go-w` it" in done.stderr


@pytest.mark.slow
def test_letters_that_were_brought_here_are_put_back_only_by_who_says_to_trust_them(canteen: Canteen) -> None:
    run = canteen.listed()[0]["run"]
    shutil.move(canteen.folder / "home", canteen.folder / "theirs")
    shutil.copytree(canteen.folder / "theirs", canteen.folder / "home")
    (canteen.folder / "mended").touch()

    refused = canteen.mprun("dlq", "replay", run)
    shown = canteen.mprun("dlq", "show", run, "--unpickle")
    trusted = canteen.mprun("dlq", "replay", run, "--trust")

    assert (2, 2, 0) == (refused.returncode, shown.returncode, trusted.returncode), trusted.stderr
    workflow = canteen.folder / "canteen.yaml"
    assert (
        f"the letters of run '{run}' were not written here: they were copied, or came with a repository; "
        f"to put 2 letters back runs '{workflow}', and code of whoever wrote them; say --trust if you know them"
    ) in refused.stderr
    assert "to unpickle an item runs code of its class" in shown.stderr
    assert f"replaying 2 letters of run {run} with {workflow}\n" in trusted.stderr


def test_letters_are_exported_a_line_each_with_their_items_whole(tmp_path: Path, run_mprun: RunMprun) -> None:
    def mprun(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_mprun(*arguments, cwd=tmp_path, env={"MPRUN_HOME": str(tmp_path / "home")})

    (tmp_path / "long.py").write_text(
        "def make():\n    yield 'x' * 70_000 + ' END'\n    yield {'a': (1, 2)}\n    yield {1j}\n"
        "def fail(item):\n    raise ValueError(1)\n"
    )
    (tmp_path / "long.yaml").write_text(
        "name: long\nlimits: {max_errors: 3}\nstages:\n  a: {run: 'long:make', to: q}\n"
        "  b: {run: 'long:fail', from: q, on_error: dead_letter}\n"
    )
    mprun("run", "long.yaml", "-q")

    told = [json.loads(line) for line in mprun("dlq", "export", "long").stdout.splitlines()]
    opened = [json.loads(line) for line in mprun("dlq", "export", "long", "--unpickle").stdout.splitlines()]

    assert [1, 2, 3] == sorted(line["number"] for line in told)
    assert not {"unpickled", "frame"} & set(told[0])
    whole = ["x" * 70_000 + " END", {"a": [1, 2]}, "{1j}"]
    assert sorted(map(str, whole)) == sorted(str(line["unpickled"]) for line in opened)


def test_letters_are_removed_once_they_are_replayed_or_by_force(canteen: Canteen) -> None:
    run = canteen.listed()[0]["run"]
    refused = canteen.mprun("dlq", "rm", run)
    assert (2, f"mprun: 2 letters of run '{run}' were not replayed; --force removes all\n") == (
        refused.returncode,
        refused.stderr,
    )

    removed = canteen.mprun("dlq", "rm", run, "--force")

    assert (0, f"removed 2 letters of run {run}\n") == (removed.returncode, removed.stderr)
    assert not (canteen.folder / "home/runs" / run / "dead-letters").exists()


def test_a_quiet_replay_says_what_became_of_the_letters_and_keeps_a_report(canteen: Canteen) -> None:
    run = canteen.listed()[0]["run"]
    options = ("-q", "--report", "report.json", "--set", "stages.waiter.retry.attempts=1")

    done = canteen.mprun("dlq", "replay", run, *options)

    again = json.loads((canteen.folder / "report.json").read_text())["run"]
    told = [
        f"mprun: 2 dead letters: `mprun dlq show {again}` tells what is in the first",
        f"2 of 2 letters of stage 'waiter' replayed in run {again}; 2 of them failed again, and are letters of that "
        "run",
    ]
    assert (0, told) == (done.returncode, done.stderr.splitlines())


TWO_KINDS = """\
    if bun.number in (1, 3, 5) and not (HERE / "mended").exists():
        raise KeyError(bun.number)
    if bun.number in (2, 4) and not (HERE / "mended").exists():
        raise ValueError(f"dropped {bun.number}")
    return bun.number
"""


@pytest.fixture
def two_kinds(tmp_path: Path, run_mprun: RunMprun) -> Canteen:
    """A folder whose run has left letters 1, 3 and 5 of one kind, and of another 2 and 4."""
    before, rest = HANDLERS.split("    if bun.number in (2, 4)")
    _, after = rest.split("    return bun.number\n")
    return Canteen(tmp_path, run_mprun, before + TWO_KINDS + after)


def kinds(canteen: Canteen) -> dict[str, tuple[int, int, int]]:
    """Of each kind: its number, letters, and how many of them were replayed."""
    rows = json.loads(canteen.mprun("dlq", "ls", "canteen", "--kinds", "--format", "json").stdout)
    return {row["error"].partition(":")[0]: (row["kind"], row["letters"], row["replayed"]) for row in rows}


def test_letters_are_counted_by_kind_under_the_numbers_that_the_record_gives(two_kinds: Canteen) -> None:
    told = json.loads(two_kinds.mprun("show", "canteen", "--failures", "--format", "json").stdout)

    assert {("KeyError", 3, 0), ("ValueError", 2, 0)} == {
        (error, n, replayed) for error, (_, n, replayed) in kinds(two_kinds).items()
    }
    assert {kind["error"].partition(":")[0]: kind["id"] for kind in told} == {
        error: number for error, (number, *_) in kinds(two_kinds).items()
    }


@pytest.mark.slow
def test_a_replay_of_a_kind_puts_back_those_and_no_others(two_kinds: Canteen) -> None:
    number = str(kinds(two_kinds)["ValueError"][0])
    shown = two_kinds.mprun("dlq", "show", "canteen", "--kind", number, "--format", "json")
    exported = two_kinds.mprun("dlq", "export", "canteen", "--kind", number)
    (two_kinds.folder / "mended").touch()

    replayed = two_kinds.mprun("dlq", "replay", "canteen", "--kind", number, "--quiet")

    assert "包子2" == json.loads(shown.stdout)["item"]
    assert ["包子2", "包子4"] == [json.loads(line)["item"] for line in exported.stdout.splitlines()]
    assert "2 of 2 letters of stage 'waiter' replayed" in replayed.stderr
    assert ["0", "2", "4"] == two_kinds.eaten()
    assert {"KeyError": (3, 0), "ValueError": (2, 2)} == {k: v[1:] for k, v in kinds(two_kinds).items()}
    again = two_kinds.mprun("dlq", "replay", "canteen", "--kind", number)
    assert 2 == again.returncode
    assert "has no such dead letters that were not replayed" in again.stderr


def test_a_kind_that_is_not_there_is_refused_with_those_that_are(two_kinds: Canteen) -> None:
    refused = two_kinds.mprun("dlq", "replay", "canteen", "--kind", "9")

    assert 2 == refused.returncode
    assert "is of kind 9; of kinds there are" in refused.stderr
    assert "(3 letters)" in refused.stderr


def test_without_a_record_kinds_have_the_numbers_in_which_their_first_letters_came(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    canteen = Canteen(tmp_path, run_mprun)
    (record,) = (tmp_path / "home").glob("runs/*/run.db")
    record.unlink()

    assert {"ValueError": (1, 2, 0)} == kinds(canteen)
