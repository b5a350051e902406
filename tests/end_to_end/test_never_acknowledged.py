"""Items that a handler takes from its queue and never says to be done: each counts as taken, and its stage is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., Any]

HANDLERS = """
def make():
    yield from range(5)

def take_three(queue):
    queue.get(), queue.get(), queue.get()

def take_all(queue):
    while True:
        queue.get()

def do_one_of_three(queue):
    queue.get(), queue.task_done(), queue.get(), queue.get()
"""
TAKEN = {"take_three": (3, 0), "take_all": (5, 0), "do_one_of_three": (3, 1)}


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
@pytest.mark.parametrize("handler", TAKEN)
@pytest.mark.quick("do_one_of_three-leased", "do_one_of_three-inline", "take_three-inline")
def test_what_was_taken_and_never_acknowledged_is_told_as_such_with_its_stage(
    tmp_path: Path, run_mprun: RunMprun, handler: str, transport: str
) -> None:
    (tmp_path / "h.py").write_text(HANDLERS)
    flow = tmp_path / "flow.yaml"
    flow.write_text(f"name: x\nstages: {{m: {{run: 'h:make', to: q}}, c: {{run: 'h:{handler}', from: q}}}}\n")
    taken, done = TAKEN[handler]

    told = run_mprun("run", flow, "--transport", transport, "--report", tmp_path / "r.json", cwd=tmp_path)

    report = json.loads((tmp_path / "r.json").read_text())
    (queue,), stage = report["queues"], report["stages"][1]
    assert 1 == told.returncode
    assert f"stage 'c' took {taken - done} and never called `task_done()` for them" in report["reason"]
    assert (taken, done, 0) == (stage["received"], stage["done"], stage["retried"])
    assert (done, taken - done, queue["put"] - taken) == (queue["done"], queue["leased"], queue["waiting"])


def test_what_one_reader_kept_and_another_did_is_done(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "h.py").write_text(
        "import time\n"
        "def make():\n    yield from range(200)\n"
        "def eat(queue, worker):\n"
        "    if worker.name == 'a':\n        queue.get()\n        return\n"
        "    while True:\n        queue.get()\n        time.sleep(0.001)\n        queue.task_done()\n"
    )
    flow = tmp_path / "flow.yaml"
    flow.write_text(
        "name: x\nstages: {m: {run: 'h:make', to: q}, c: {run: 'h:eat', from: q, names: [a, b]}}\n"
    )

    told = run_mprun("run", flow, cwd=tmp_path)

    assert 0 == told.returncode, told.stderr
    assert "ledger: 200 put = 200 done" in told.stderr
