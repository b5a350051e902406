"""`worker.item_id` names an item, and only that one, however often and by whomever it is handled."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

KITCHEN = """
import os, signal
from pathlib import Path

def count(last):
    yield from range(last)

def note(item, worker):
    with open("ids.txt", "a") as ids:
        ids.write(f"{item} {worker.item_id}\\n")

def eat(item, worker):
    note(item, worker)
    if item in (150, 151) and worker.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if item in (160, 170) and worker.attempt == 1:
        raise ValueError(item)

def taste(item, worker):
    note(item, worker)

def drive(queue, worker):
    for first in iter(queue.get, None):
        second = queue.get()
        note(first, worker)
        queue.task_done()
        if second is not None:
            note(second, worker)
            queue.task_done()

class Asks:
    def __init__(self, worker):
        self.worker = worker

    def __call__(self, item):
        pass

    def close(self):
        self.worker.item_id
"""


def run(run_mprun: RunMprun, folder: Path, eater: str, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "kitchen.py").write_text(KITCHEN, encoding="utf-8")
    (folder / "kitchen.yaml").write_text(
        "name: kitchen\n"
        "queues: {buns: {sentinel: null}}\n"
        "stages:\n"
        "  chef: {run: kitchen:count, with: {last: 200}, to: buns}\n"
        f"  eater: {{{eater}, from: buns}}\n",
        encoding="utf-8",
    )
    return run_mprun("run", "kitchen.yaml", "--log", "json", *more, cwd=folder)


def ids_of(folder: Path) -> dict[int, set[str]]:
    """The ids that each item has had."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for line in (folder / "ids.txt").read_text(encoding="utf-8").splitlines():
        item, name = line.split(" ")
        found[int(item)].add(name)
    return dict(found)


def expected(done: subprocess.CompletedProcess[str]) -> dict[int, set[str]]:
    """One producer puts its items in order, so that the place of each is its number."""
    origin = re.search(r'"run": "(\w+)"', done.stderr)
    assert origin is not None, done.stderr
    return {item: {f"{origin[1]}/buns/{item}"} for item in range(200)}


@pytest.mark.parametrize(
    "how",
    ["", pytest.param(", start_method: spawn", marks=pytest.mark.slow)],
    ids=["fork", "spawn"],
)
def test_an_item_keeps_its_id_over_attempts_and_deaths(run_mprun: RunMprun, tmp_path: Path, how: str) -> None:
    done = run(run_mprun, tmp_path, f"run: kitchen:eat, count: 2, retry: {{attempts: 3, backoff: 10ms}}{how}")

    assert (0, expected(done)) == (done.returncode, ids_of(tmp_path))


def test_shards_share_the_places_of_their_queue(run_mprun: RunMprun, tmp_path: Path) -> None:
    done = run(run_mprun, tmp_path, "run: kitchen:eat, count: 2, shard_by: item, retry: {attempts: 3}")

    ids = ids_of(tmp_path)
    assert (0, {1}) == (done.returncode, {len(names) for names in ids.values()})
    assert sorted(expected(done).values(), key=str) == sorted(ids.values(), key=str)


@pytest.mark.parametrize("transport", ["leased", "inline"])
@pytest.mark.parametrize("handler", ["taste", "drive"])
def test_it_names_the_oldest_item_in_hand_also_of_a_handler_that_drives_its_queue(
    run_mprun: RunMprun, tmp_path: Path, handler: str, transport: str
) -> None:
    done = run(run_mprun, tmp_path, f"run: kitchen:{handler}", "--transport", transport)

    assert (0, expected(done)) == (done.returncode, ids_of(tmp_path))


@pytest.mark.parametrize("transport", ["leased", "inline"])
def test_where_no_item_is_in_hand_there_is_none_to_name(
    run_mprun: RunMprun, tmp_path: Path, transport: str
) -> None:
    done = run(run_mprun, tmp_path, "run: kitchen:Asks", "--transport", transport)

    assert (1, True) == (done.returncode, "`worker.item_id`: no item is in hand" in done.stderr)


def test_where_nobody_counts_the_items_the_reason_is_told(run_mprun: RunMprun, tmp_path: Path) -> None:
    done = run(run_mprun, tmp_path, "run: kitchen:taste", "--transport", "joinable")

    assert done.returncode == 1
    assert "`worker.item_id` needs a ledger that counts the items: use `leased` or `inline`" in done.stderr
