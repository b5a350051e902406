"""Batches in whole runs, whose workers are really killed: what has been done is looked for in files, not counters."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.testing.failpoints import HOOK, HOOK_VARIABLE, MARK_VARIABLE, VARIABLE

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

KITCHEN = """
import os, signal, time
from pathlib import Path
from mprun import BatchFailed
from runner.testing.failpoints import reached

def count(last):
    yield from range(last)

def slowly(last):
    for number in range(last):
        if number == 20:
            lines(["begun"], "begun.txt")
        time.sleep(0.005)
        yield number

def keyed(last):
    yield from ((number % 7, number) for number in range(last))

def big(last):
    yield from (bytes(100_000) + str(number).encode() for number in range(last))

def write(name, text):
    out = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, text.encode())
    os.close(out)

def lines(items, to="done.txt"):
    write(to, "".join(f"{item}\\n" for item in items))

def eat(items, worker):
    write("calls.txt", f"{worker.name} {len(items)} {worker.attempt} {worker.redelivered}\\n")
    lines(items)
    reached("between")

def poison(items):
    if 70 in items:
        os.kill(os.getpid(), signal.SIGKILL)
    lines(items)

def choosy(items, worker):
    lines(items, "seen.txt")
    if 70 in items and worker.attempt < 3:
        raise ValueError("not seventy")
    lines(items)

def double(items):
    for item in items:
        reached("between")
        yield item * 2

def total(items):
    return sum(items)

def some(items):
    bad = {at: ValueError(item) for at, item in enumerate(items) if item % 100 == 70}
    yield from (item for at, item in enumerate(items) if at not in bad)
    if bad:
        raise BatchFailed(bad)

def hang(items):
    if 70 in items:
        time.sleep(60)
    lines(items)

def put(item):
    write("out.txt", f"{item}\\n")

def ids(items, worker):
    lines(worker.item_ids)
"""


def run(
    run_mprun: RunMprun,
    folder: Path,
    stages: str,
    *more: str,
    env: dict[str, str] | None = None,
    rest: str = "",
) -> subprocess.CompletedProcess[str]:
    (folder / "kitchen.py").write_text(KITCHEN, encoding="utf-8")
    (folder / "kitchen.yaml").write_text(f"name: kitchen\n{rest}stages:\n{stages}", encoding="utf-8")
    return run_mprun("run", "kitchen.yaml", "-q", *more, cwd=folder, env=env)


def numbers(file: Path) -> list[int]:
    return [int(line) for line in file.read_text(encoding="utf-8").split()]


CHEF = "  chef: {run: kitchen:count, with: {last: 300}, to: q}\n"
EATER = "  eater: {run: kitchen:eat, from: q, batch: 32}\n"
COOK = "  cook: {run: kitchen:double, from: q, to: r, batch: 32}\n"
OUT = "  out: {run: kitchen:put, from: r}\n"


def strike(folder: Path, where: str, nth: int, worker: str) -> dict[str, str]:
    return {
        HOOK_VARIABLE: HOOK,
        VARIABLE: f"{where}:SIGKILL:{nth}:{worker}",
        MARK_VARIABLE: str(folder / "struck"),
    }


PLACES = [
    ("received", 1),
    ("marked", 2),
    ("handling", 3),
    ("between", 2),
    ("handled", 3),
    ("sending", 2),
    ("torn-half", 2),
    ("sent", 2),
    ("finishing", 1),
]


def quick_at(*names: str) -> list[object]:
    """The places at which to kill, those of these names in the quick suite."""
    return [each if each[0] in names else pytest.param(*each, marks=pytest.mark.slow) for each in PLACES]


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("where", "nth"), quick_at("between", "sending"))
def test_wherever_a_consumer_is_killed_every_item_is_done_and_only_a_batch_in_hand_comes_again(
    run_mprun: RunMprun, tmp_path: Path, where: str, nth: int, start: str
) -> None:
    set_start = ("--set", f"stages.eater.start_method={start}")
    done = run(run_mprun, tmp_path, CHEF + EATER, *set_start, env=strike(tmp_path, where, nth, "eater-1"))

    assert (0, "") == (done.returncode, done.stderr)
    assert (tmp_path / "struck").exists()
    seen = Counter(numbers(tmp_path / "done.txt"))
    assert set(range(300)) == set(seen)
    assert sum(times == 2 for times in seen.values()) <= 32
    assert max(seen.values()) <= 2


@pytest.mark.parametrize("queue", ["", ", max_bytes: 1MB"], ids=["plain", "bytes"])
@pytest.mark.parametrize(("where", "nth"), quick_at("between", "torn-half"))
@pytest.mark.quick("between-2-plain")
def test_wherever_a_pipe_stage_is_killed_each_output_is_in_once(
    run_mprun: RunMprun, tmp_path: Path, where: str, nth: int, queue: str
) -> None:
    queues = f"queues: {{r: {{maxsize: 50{queue}}}}}\n"
    kill = strike(tmp_path, where, 40 if where == "between" else nth, "cook-1")
    done = run(run_mprun, tmp_path, CHEF + COOK + OUT, env=kill, rest=queues)

    assert (0, "") == (done.returncode, done.stderr)
    assert (tmp_path / "struck").exists()
    assert [2 * number for number in range(300)] == sorted(numbers(tmp_path / "out.txt"))


def test_an_item_that_kills_its_worker_is_found_and_its_neighbours_are_done_once(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    eater = "  eater: {run: kitchen:poison, from: q, batch: 32, on_error: dead_letter}\n"
    done = run(run_mprun, tmp_path, CHEF + eater, "--events", "events.jsonl", "--set", "limits.max_errors=1")

    assert 0 == done.returncode, done.stderr
    assert [n for n in range(300) if n != 70] == sorted(numbers(tmp_path / "done.txt"))
    events = [
        json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    (letter,) = [event for event in events if event["event"] == "item.dead_lettered"]
    assert 2 == letter["attempts"]
    (failed,) = [event for event in events if event["event"] == "batch.failed"]
    assert (32, True) == (failed["items"], failed["died"])


def test_with_a_single_attempt_none_of_a_batch_that_was_in_hand_comes_again(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    eater = (
        "  eater: {run: kitchen:poison, from: q, batch: 32, on_error: dead_letter, retry: {attempts: 1}}\n"
    )
    done = run(run_mprun, tmp_path, CHEF + eater, "--set", "limits.max_errors=32")

    assert 0 == done.returncode, done.stderr
    eaten = numbers(tmp_path / "done.txt")
    lost = sorted(set(range(300)) - set(eaten))
    assert len(eaten) == len(set(eaten)) == 300 - len(lost)
    assert lost == list(range(lost[0], lost[-1] + 1)), "a batch of neighbours"
    assert 70 in lost
    assert len(lost) <= 32


def test_an_item_that_fails_is_tried_again_alone_and_the_others_are_done_once(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    eater = "  eater: {run: kitchen:choosy, from: q, batch: 32, retry: {attempts: 3, backoff: 1ms}}\n"
    done = run(run_mprun, tmp_path, CHEF + eater)

    assert (0, "") == (done.returncode, done.stderr)
    assert list(range(300)) == sorted(numbers(tmp_path / "done.txt"))


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
@pytest.mark.quick("leased")
def test_only_those_that_the_handler_names_have_failed(
    run_mprun: RunMprun, tmp_path: Path, transport: str
) -> None:
    cook = "  cook: {run: kitchen:some, from: q, to: r, batch: 32, on_error: skip}\n"
    more = ("--set", "limits.max_errors=3", "--set", f"transport={transport}")
    done = run(run_mprun, tmp_path, CHEF + cook + OUT, *more)

    assert 0 == done.returncode, done.stderr
    assert [n for n in range(300) if n % 100 != 70] == sorted(numbers(tmp_path / "out.txt"))


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
def test_what_is_returned_for_a_batch_is_one_output(
    run_mprun: RunMprun, tmp_path: Path, transport: str
) -> None:
    cook = "  cook: {run: kitchen:total, from: q, to: r, batch: {size: 50, wait: 10s}}\n"
    done = run(run_mprun, tmp_path, CHEF + cook + OUT, "--set", f"transport={transport}")

    assert 0 == done.returncode, done.stderr
    assert [sum(range(at, at + 50)) for at in range(0, 300, 50)] == sorted(numbers(tmp_path / "out.txt"))


def test_the_order_is_kept_whatever_batches_and_deaths_there_are(run_mprun: RunMprun, tmp_path: Path) -> None:
    cook = "  cook: {run: kitchen:double, from: q, to: r, count: 3, batch: 16, order: keep}\n"
    done = run(run_mprun, tmp_path, CHEF + cook + OUT, env=strike(tmp_path, "between", 40, "cook-1"))

    assert 0 == done.returncode, done.stderr
    assert [2 * number for number in range(300)] == numbers(tmp_path / "out.txt")


def test_equal_keys_stay_with_one_worker_and_in_their_order(run_mprun: RunMprun, tmp_path: Path) -> None:
    stages = (
        "  chef: {run: kitchen:keyed, with: {last: 300}, to: q}\n"
        "  eater: {run: kitchen:lines, from: q, count: 2, batch: 16, shard_by: '0'}\n"
    )
    done = run(run_mprun, tmp_path, stages)

    assert 0 == done.returncode, done.stderr
    pairs = [
        ast.literal_eval(line) for line in (tmp_path / "done.txt").read_text(encoding="utf-8").splitlines()
    ]
    for key in range(7):
        assert [n for n in range(300) if n % 7 == key] == [n for each, n in pairs if each == key]


@pytest.mark.slow
def test_a_batch_that_takes_too_long_is_killed_and_only_the_culprit_is_lost(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    eater = "  eater: {run: kitchen:hang, from: q, batch: 32, timeout: 300ms, on_error: skip}\n"
    more = ["--set", "limits.max_errors=1", "--log-level", "debug", "--events", "events.jsonl"]
    done = run(run_mprun, tmp_path, CHEF + eater, *more)

    assert 0 == done.returncode, done.stderr
    assert [n for n in range(300) if n != 70] == sorted(numbers(tmp_path / "done.txt"))
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    first, *_ = [each["reason"] for each in told if each["event"] == "worker.terminating"]
    assert re.fullmatch(r"timed out after 300ms on a batch of \d+ items, the first \d+", first)


def test_no_batch_is_waited_for_that_its_queue_has_no_room_for(run_mprun: RunMprun, tmp_path: Path) -> None:
    stages = (
        "  chef: {run: kitchen:big, with: {last: 30}, to: q}\n"
        "  eater: {run: kitchen:ids, from: q, batch: {size: 100, wait: 10m}}\n"
    )
    began = time.monotonic()
    done = run(run_mprun, tmp_path, stages, rest="queues: {q: {max_bytes: 1MB}}\n")

    assert 0 == done.returncode, done.stderr
    assert 30 == len(set((tmp_path / "done.txt").read_text(encoding="utf-8").split()))
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
@pytest.mark.parametrize("daemon", ["true", "false"])
@pytest.mark.quick("true-leased", "true-inline", "false-inline")
def test_the_last_batch_is_handed_over_when_the_stream_ends(
    run_mprun: RunMprun, tmp_path: Path, transport: str, daemon: str
) -> None:
    eater = f"  eater: {{run: kitchen:lines, from: q, batch: {{size: 1000, wait: 10m}}, daemon: {daemon}}}\n"
    done = run(run_mprun, tmp_path, CHEF + eater, "--set", f"transport={transport}")

    assert 0 == done.returncode, done.stderr
    assert list(range(300)) == sorted(numbers(tmp_path / "done.txt"))


@pytest.mark.slow
def test_a_stopped_run_hands_over_what_it_has(tmp_path: Path, mprun: Path, plain_env: dict[str, str]) -> None:
    (tmp_path / "kitchen.py").write_text(KITCHEN, encoding="utf-8")
    (tmp_path / "kitchen.yaml").write_text(
        "name: kitchen\nstages:\n"
        "  chef: {run: kitchen:slowly, with: {last: 100000}, to: q}\n"
        "  eater: {run: kitchen:lines, from: q, batch: {size: 1000, wait: 10m}}\n",
        encoding="utf-8",
    )
    command = [mprun, "run", "kitchen.yaml", "-q", "--events", "events.jsonl"]
    with subprocess.Popen(command, cwd=tmp_path, env=plain_env) as running:
        while not (tmp_path / "begun.txt").exists():
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert 130 == running.wait(30)
    finished = [json.loads(line) for line in _lines(tmp_path / "events.jsonl")][-1]
    (queue,) = finished["queues"]
    assert queue["put"] == queue["done"] == len(numbers(tmp_path / "done.txt")) > 0


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
