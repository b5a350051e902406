"""A storm: a random reader is killed every few milliseconds, and every item comes to the sink, once.

    chef ──► cooks ──► eaters      SIGKILL to one of the cooks and eaters, every 10 ms or so, until the run has ended

The sink counts what it handles in a file that is mapped into its memory, one byte an item, so that what it had counted
survives it.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from holdings import nothing_left
from storms import Storm

from runner.composition import run_file
from runner.events.base import Event
from runner.events.report import Report

WORKERS = 3
"""Cooks, and eaters. One that is killed is away for as long as a process takes to be born."""

KITCHEN = """
    import mmap, os
    from pathlib import Path

    def steam(count):
        return range(count)

    def turn(item):
        return ~item

    class Eat:
        def __init__(self):
            with open(Path(__file__).with_name("eaten.bin"), "r+b") as file:
                self.eaten = mmap.mmap(file.fileno(), 0)
        def __call__(self, item):
            self.eaten[~item] += 1
"""
WORKFLOW = f"""
    name: storm
    defaults:
      stage:
        restart: {{max: 1000000, within: 1m}}
        retry: {{attempts: 100}}      # of which a death takes one: no item is to blame here
    limits: {{timeout: 10m}}
    stages:
      chef: {{run: "kitchen:steam", with: {{count: COUNT}}, restart: never, retry: {{attempts: 1}}, to: q}}
      cook: {{run: "kitchen:turn", count: {WORKERS}, from: q, to: r}}
      eater: {{run: "kitchen:Eat", count: {WORKERS}, from: r}}
"""


class Redeliveries:
    """Counts the items that the sink was killed on."""

    count = 0

    def observe(self, event: Event) -> None:
        """Count one."""
        if event.kind == "item.redelivered":
            self.count += event.stage == "eater"

    def close(self) -> None:
        """Nothing to flush."""


def weather(folder: Path, count: int, again: Redeliveries) -> tuple[Report, bytes]:
    """Run so many items through a storm; return the report, and how often the sink handled each."""
    (folder / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
    (folder / "storm.yaml").write_text(
        textwrap.dedent(WORKFLOW).replace("COUNT", str(count)), encoding="utf-8"
    )
    (folder / "eaten.bin").write_bytes(bytes(count))
    is_short = count <= 50_000
    storm = Storm(count, ["cook", "eater"], merciful=is_short, most=100 if is_short else 2_000)
    with storm.blowing():
        report = run_file(folder / "storm.yaml", observers=[storm, again])
    return report, (folder / "eaten.bin").read_bytes()


@pytest.mark.parametrize("count", [5_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_every_item_comes_through_a_storm_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    again = Redeliveries()

    with nothing_left():
        report, eaten = weather(tmp_path, count, again)

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert [("q", count, count), ("r", count, count)] == [(q.name, q.put, q.done) for q in report.queues]
    assert [] == [number for number, times in enumerate(eaten) if not times][:10]
    assert sum(eaten) - count <= again.count
