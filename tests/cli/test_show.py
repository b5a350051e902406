"""`mprun show` and `mprun logs`: a run of the past as it was told of at its end, and what was said in it."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kept_cuts import cut_of
from record_homes import recorded
from trace_format import require_valid, shown_on

from runner.ledger.ranges import Frame
from runner.record.writer import RunWriter
from runner.store.run_lock import RunLock

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
Mprun = Callable[..., Any]

SHOP = """\
name: shop
queues:
  orders: {maxsize: 10}
stages:
  lister: {run: "shop:orders", to: orders}
  worker: {run: "shop:handle", from: orders, on_error: skip, names: [neo]}
limits: {max_errors: 100}
"""
HANDLERS = """\
def orders():
    yield from range(10)

def handle(order, worker):
    if order % 5 == 3:
        raise ValueError(f"order {order} is odd")
    worker.log.info("handled", order=order)
"""
CI = """\
name: ci
jobs:
  build: {steps: [{run: echo built}]}
  test: {needs: build, steps: [{run: "echo tested; exit 3"}]}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("past")


@pytest.fixture(scope="module")
def past(home: Path, run_mprun: RunMprun) -> Mprun:
    """A home with a run of stages in which two items failed, one of jobs, and one that was killed."""
    (home / "shop.yaml").write_text(SHOP)
    (home / "shop.py").write_text(HANDLERS)
    (home / "ci.yaml").write_text(CI)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_mprun(*arguments, cwd=home, env={"MPRUN_HOME": str(home / "home")})

    recorded(home / "home", "dead0001", "killed", time.time() - 60, outcome=None)
    ended = run("run", "shop.yaml"), run("run", "ci.yaml")
    assert [0, 1] == [each.returncode for each in ended]
    (home / "shop-end.txt").write_text(ended[0].stderr)
    return run


def test_show_tells_the_end_as_it_was_told(past: Mprun, home: Path) -> None:
    then = (home / "shop-end.txt").read_text()

    shown = past("show", "shop").stdout
    heading, _, rest = shown.partition("\n\n")

    assert heading.startswith("run ") and " of shop: done; began 20" in heading
    assert rest in then and "done in" in rest


def test_show_of_jobs_is_their_last_screen(past: Mprun) -> None:
    shown = past("show", "ci").stdout

    assert "✗ test failed" in shown and "│ tested" in shown
    assert "failed after" in shown.splitlines()[-1]


def test_show_of_a_killed_run_says_so(past: Mprun) -> None:
    shown = past("show", "dead").stdout

    assert "run dead0001 of killed: killed; began" in shown
    assert "its runner was killed: nothing of it runs any more; `mprun rerun dead0001` runs it again" in shown
    assert shown.splitlines()[-1].startswith("killed after")


def test_show_as_json_has_all_there_is_to_know(past: Mprun, home: Path) -> None:
    told = json.loads(past("show", "shop", "--format", "json").stdout)

    assert ("shop", "done", 8, 2, str(home)) == tuple(
        told[key] for key in ("workflow", "outcome", "done", "failed", "cwd")
    )
    assert "done" == told["report"]["outcome"]
    assert [str(home / "shop.py")] == list(told["modules"])


def test_failures_are_shown_by_kind_with_items(past: Mprun) -> None:
    text = past("show", "shop", "--failures").stdout
    (kind,) = json.loads(past("show", "shop", "--failures", "--format", "json").stdout)

    assert text.startswith("kind 1: 2 failures in stage worker, first 20")
    assert "  error:  ValueError: order 3 is odd\n  item:   3\n  item:   8\n    Traceback" in text
    assert (2, "ValueError: order 3 is odd", ["3", "8"]) == (
        kind["n"],
        kind["error"],
        [sample["item"] for sample in kind["samples"]],
    )
    assert "nothing failed\n" == past("show", "dead0001", "--failures").stdout


def test_events_are_shown_as_the_log_had_them(past: Mprun, home: Path) -> None:
    then = (home / "shop-end.txt").read_text()

    lines = past("show", "shop", "--events").stdout.splitlines()
    events = [
        json.loads(line) for line in past("show", "shop", "--events", "--format", "json").stdout.splitlines()
    ]

    assert all(line in then for line in lines)
    assert {"run.started", "worker.ready", "item.failed", "run.finished"} <= {
        each["event"] for each in events
    }


def test_the_file_is_shown_as_it_was(past: Mprun, home: Path) -> None:
    (home / "shop.yaml").write_text("changed: since")

    shown = past("show", "shop", "--file").stdout

    assert SHOP == shown
    assert SHOP == json.loads(past("show", "shop", "--file", "--format", "json").stdout)["text"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("show", "shpo"), "there is no run 'shpo'; did you mean 'shop'?"),
        (
            ("show", "shop", "--events", "--file"),
            "--events, --failures, --file and --trace are shown one at a time",
        ),
        (("logs", "shop", "noe"), "the run has no worker 'noe'; did you mean 'neo'?"),
        (("logs", "ci", "tets"), "the run has no job 'tets'; did you mean 'test'?"),
        (("logs", "shop", "--grep", "("), "--grep: '(' is no regular expression"),
        (("logs", "ci", "--since", "1h"), "--since: what jobs print has no times"),
    ],
)
def test_what_cannot_be_shown_is_refused(past: Mprun, words: tuple[str, ...], expected: str) -> None:
    refused = past(*words)

    assert (2, "") == (refused.returncode, refused.stdout)
    assert expected in refused.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("shop",), [0, 1, 2, 4, 5, 6, 7, 9]),
        (("shop", "neo", "--grep", "order=[45]$"), [4, 5]),
        (("shop", "--since", "1d", "--grep", "order=9"), [9]),
        (("shop", "--since", "3000-01-01"), []),
    ],
)
def test_logs_are_what_handlers_said(past: Mprun, words: tuple[str, ...], expected: list[int]) -> None:
    lines = past("logs", *words).stdout.splitlines()

    assert [f"order={order}" for order in expected] == [line.split()[-1] for line in lines]
    assert all(" neo " in line or "worker=neo" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "build | built\ntest | tested\n"),
        (("test",), "tested\n"),
        (("--grep", "^test"), "test | tested\n"),
    ],
)
def test_logs_of_jobs_are_what_they_printed(past: Mprun, words: tuple[str, ...], expected: str) -> None:
    assert expected == past("logs", "ci", *words).stdout


def test_logs_of_a_run_under_way_go_on_until_it_is_over(
    tmp_path: Path, mprun_of: Callable[[Path], Mprun]
) -> None:
    (tmp_path / "slow.yaml").write_text(SHOP.replace("shop", "slow").replace("orders", "pile"))
    (tmp_path / "slow.py").write_text(
        "import os, time\n\ndef pile():\n    for n in range(2):\n        yield n\n"
        "        while not os.path.exists('go'):\n            time.sleep(0.01)\n\n"
        "def handle(item, worker):\n    worker.log.info('had', item=item)\n"
    )
    mprun = mprun_of(tmp_path)
    runs: list[Any] = []
    run = threading.Thread(target=lambda: runs.append(mprun("run", "slow.yaml", "-q")))
    run.start()
    while "item=0" not in mprun("logs", "slow").stdout:
        time.sleep(0.05)
    follows: list[Any] = []
    follow = threading.Thread(target=lambda: follows.append(mprun("logs", "slow", "-f").stdout))
    follow.start()
    (tmp_path / "go").touch()
    run.join()
    follow.join()

    assert 0 == runs[0].returncode
    assert ["item=0", "item=1"] == [line.split()[-1] for line in follows[0].splitlines()]


@pytest.fixture
def mprun_of(run_mprun: RunMprun) -> Callable[[Path], Mprun]:
    """Commands in a folder whose home is its own."""

    def at(folder: Path) -> Mprun:
        return lambda *words: run_mprun(*words, cwd=folder, env={"MPRUN_HOME": str(folder / "home")})

    return at


def test_a_run_of_which_nothing_was_written_says_why(
    tmp_path: Path, mprun_of: Callable[[Path], Mprun]
) -> None:
    run_folder = recorded(tmp_path / "home", "dead0002", outcome=None)
    (run_folder.path / "run.db").unlink()

    refused = mprun_of(tmp_path)("show", "latest")

    assert 2 == refused.returncode
    assert (
        "nothing is known of run 'dead0002' but that it was killed: that was before anything could be written; "
        f"`mprun run {run_folder.facts().file}` begins anew\n"
    ) in refused.stderr


def test_a_damaged_record_is_refused_with_what_is_wrong(
    tmp_path: Path, mprun_of: Callable[[Path], Mprun]
) -> None:
    run_folder = recorded(tmp_path / "home", "bad00001")
    RunLock(run_folder.path).release()
    (run_folder.path / "run.db").write_bytes(b"garbage" * 500)

    refused = mprun_of(tmp_path)("show", "bad", "--format", "json")

    why = "the record of run 'bad00001' can't be read: file is not a database; `mprun run baozi.yaml` begins anew"
    assert (1, why) == (refused.returncode, json.loads(refused.stdout)["error"])


def test_of_a_run_whose_record_is_damaged_nobody_says_that_it_could_be_run_again_or_gone_on_with(
    tmp_path: Path, mprun_of: Callable[[Path], Mprun]
) -> None:
    run_folder, mprun = recorded(tmp_path / "home", "bad00001", outcome=None), mprun_of(tmp_path)
    (run_folder.path / "control.sock").touch()
    (run_folder.path / "run.db").write_bytes(b"garbage" * 500)

    listed, resumed, history = mprun("ps"), mprun("resume", "latest"), mprun("history")

    assert "`mprun run baozi.yaml` begins anew" in listed.stdout
    assert "mprun rerun" not in listed.stdout
    assert (6, True) == (resumed.returncode, "run 'bad00001' can't be gone on with: " in resumed.stderr)
    assert "RESUMED" not in history.stdout


WAITING = cut_of(*(Frame(b"x", 1) for _ in range(3)))
AT = datetime.fromtimestamp(101.5).strftime("%Y-%m-%d %H:%M:%S")


def test_a_run_that_can_be_gone_on_with_says_how_and_from_where(
    tmp_path: Path, mprun_of: Callable[[Path], Mprun]
) -> None:
    home = tmp_path / "home"
    for run, outcome in {"dead0003": None, "fell0004": "failed", "done0005": "done"}.items():
        recorded(home, run, at=100.0, outcome=outcome, cut=WAITING)
    mprun = mprun_of(tmp_path)

    shown = {run: mprun("show", run).stdout for run in ("dead", "fell", "done")}
    ways = {
        run: f"`mprun resume {run}` goes on with it as it was at {AT}, 3 items waiting"
        for run in ("dead0003", "fell0004")
    }
    killed = f"its runner was killed: nothing of it runs any more; {ways['dead0003']}\n"
    assert killed in shown["dead"] and f"\n{ways['fell0004']}\n" in shown["fell"]
    assert "resume" not in shown["done"]
    documents = [json.loads(mprun("show", run, "--format", "json").stdout) for run in ("dead", "done")]
    assert [(101.5, 3), (None, 0)] == [(each["resumable"], each["waiting"]) for each in documents]


def test_a_run_without_anything_to_go_on_from_is_run_again(
    tmp_path: Path, mprun_of: Callable[[Path], Mprun]
) -> None:
    recorded(tmp_path / "home", "dead0003", outcome=None)

    assert "`mprun rerun dead0003` runs it again" in mprun_of(tmp_path)("show", "latest").stdout


def test_a_run_that_was_gone_on_with_is_one_line(tmp_path: Path, mprun_of: Callable[[Path], Mprun]) -> None:
    mprun, home = mprun_of(tmp_path), tmp_path / "home"
    recorded(home, "once0006", at=100.0)
    before = mprun("history").stdout
    run_folder = recorded(home, "more0007", at=100.0, outcome=None, over=False)
    writer = RunWriter(run_folder.path, {"pid": 1, "at": 200.0}, incarnation=2)
    writer.end({"at": 210.0, "outcome": "done", "exit_code": 0})
    writer.close()

    rows = [line.split() for line in mprun("history").stdout.splitlines()]
    assert "RESUMED" not in before
    assert ("RESUMED", ["1", "0"]) == (rows[0][-1], [row[-1] for row in rows[1:]])


def test_a_trace_of_stages_has_a_line_for_each_worker_with_its_failures(past: Mprun, home: Path) -> None:
    done = past("show", "shop", "--trace", "shop.json")

    events = require_valid(json.loads((home / "shop.json").read_text()))
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert 2 == shown_on(events, "neo").count("item.failed")


def test_a_trace_of_jobs_is_printed_where_the_file_is_a_dash(past: Mprun) -> None:
    events = require_valid(json.loads(past("show", "ci", "--trace", "-").stdout))

    assert ["test", "echo tested; exit 3", "failed"] == shown_on(events, "test")
    assert [("s", 1), ("f", 1)] == [(each["ph"], each["id"]) for each in events if each["ph"] in "sf"]


def test_a_run_that_was_killed_has_a_trace(past: Mprun) -> None:
    events = require_valid(json.loads(past("show", "dead0001", "--trace", "-").stdout))

    assert ["neo", "starting"] == shown_on(events, "neo")


def test_a_trace_that_cannot_be_written_is_refused_by_its_name(past: Mprun) -> None:
    done = past("show", "shop", "--trace", "nowhere/shop.json")

    assert 2 == done.returncode
    assert "--trace: 'nowhere/shop.json' can't be written: No such file or directory" in done.stderr
