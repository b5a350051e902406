"""`rate` in real runs: however many workers a stage has, and however they die, no second has more than it allows.

A worker that was let begin may be late for as long as the machine is busy, and then comes on top of those of another
second: one of each worker, no more.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from runner.composition import run_file
from runner.events.report import Report

KITCHEN = """
import os, signal, time
from pathlib import Path

NOTES = os.open(Path(__file__).with_name("notes.txt"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(key):
    os.write(NOTES, f"{time.monotonic()} {key}\\n".encode())

def steam(n):
    for number in range(n):
        yield {"number": number, "guest": number % 2}

def steam_noted(n):
    for number in range(n):
        yield number
        note(0)

def eat(item):
    note(item["guest"])

def eat_and_die(item, worker):
    note(item["guest"])
    if item["number"] % 9 == 4 and worker.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)

def swallow(item):
    pass

def eat_all(items):
    for item in items:
        note(0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kitchen.py").write_text(textwrap.dedent(KITCHEN))
    return tmp_path


def run(folder: Path, chef: str, eater: str) -> Report:
    text = f"name: w\nlimits: {{timeout: 60s}}\nstages:\n  chef: {{{chef}, to: q}}\n  eater: {{{eater}, from: q}}\n"
    (folder / "w.yaml").write_text(text)
    report = run_file(folder / "w.yaml")
    assert report.balanced
    return report


def most_in_a_second(folder: Path) -> dict[int, int]:
    """How many items were begun in the fullest second, by key."""
    times: dict[int, list[float]] = {}
    for line in (folder / "notes.txt").read_text().splitlines():
        at, key = line.split()
        times.setdefault(int(key), []).append(float(at))
    return {key: max(sum(a <= t < a + 1 for t in each) for a in each) for key, each in times.items()}


@pytest.mark.slow
def test_many_workers_share_one_rate_however_they_die(folder: Path) -> None:
    report = run(
        folder,
        "run: 'kitchen:steam', with: {n: 60}",
        "run: 'kitchen:eat_and_die', count: 4, rate: 40/s, restart: {max: 100}",
    )

    assert ("done", 60) == (report.outcome, report.queue("q").done)
    (most,) = {sum(most_in_a_second(folder).values())}
    assert most <= 2 * (40 + 1 + 4)
    assert report.seconds >= 60 / 40


@pytest.mark.slow
def test_each_key_has_the_whole_rate(folder: Path) -> None:
    report = run(
        folder,
        "run: 'kitchen:steam', with: {n: 60}",
        "run: 'kitchen:eat', count: 3, rate: {limit: 20/s, per: item.guest}",
    )

    assert "done" == report.outcome
    assert all(each <= 20 + 1 + 3 for each in most_in_a_second(folder).values())
    assert report.seconds >= 29 / 20


@pytest.mark.slow
def test_a_producer_makes_no_more_than_its_rate_allows(folder: Path) -> None:
    report = run(
        folder,
        "run: 'kitchen:steam_noted', with: {n: 30}, rate: {limit: 20/s, burst: 5}",
        "run: 'kitchen:swallow'",
    )

    assert ("done", 30) == (report.outcome, report.queue("q").done)
    assert most_in_a_second(folder)[0] <= 20 + 5 + 1


@pytest.mark.slow
def test_a_batch_counts_for_all_its_items(folder: Path) -> None:
    report = run(
        folder, "run: 'kitchen:steam', with: {n: 60}", "run: 'kitchen:eat_all', batch: 10, rate: 40/s"
    )

    assert ("done", True) == (report.outcome, report.seconds >= 50 / 40)


def test_an_item_without_a_key_fails_and_the_others_go_on(folder: Path) -> None:
    report = run(
        folder,
        "run: 'kitchen:steam_noted', with: {n: 3}",
        "run: 'kitchen:swallow', rate: {limit: 100/s, per: item.host}, on_error: skip",
    )

    assert 3 == report.queue("q").dropped


def test_a_run_that_waits_for_its_rate_is_ended_at_once(folder: Path) -> None:
    text = (
        "name: w\nlimits: {timeout: 500ms, stop_timeout: 100ms}\nstages:\n"
        "  chef: {run: 'kitchen:steam', with: {n: 60}, to: q}\n"
        "  eater: {run: 'kitchen:eat', count: 2, from: q, rate: 1/h}\n"
    )
    (folder / "w.yaml").write_text(text)
    report = run_file(folder / "w.yaml")

    assert ("timeout", True) == (report.outcome, report.balanced)
