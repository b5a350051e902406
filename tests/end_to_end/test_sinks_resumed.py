"""Built-in sinks over the death of the whole runner: another goes on with the run, and each item is there once."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from killed_runners import run_killed
from sink_runs import SINKS, Sink

HANDLERS = """
    import time

    def count(last, slowly=0.001, offset=0):
        for number in range(offset, last):
            if number % 10 == 0:
                time.sleep(slowly)
            yield {"n": number, "word": f"包 {number}"}

    def same(item):
        return item
"""
KILLED = 137 - 128


class Folder:
    """A folder with a workflow in it, whose runners are killed."""

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self.path = path
        self._env = env
        (path / "source.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")

    def write(self, sink: str, *, last: int = 3000, more: str = "", middle: str = "count: 2") -> None:
        """Write a workflow: two workers in the middle, so that what is made again comes in another order."""
        (self.path / "flow.yaml").write_text(
            "name: flow\nstages:\n"
            f"  source: {{run: source:count, with: {{last: {last}}}, to: q}}\n"
            f"  middle: {{run: source:same, from: q, to: r, {middle}}}\n"
            f"  sink: {{run: {sink}, from: r{more}}}\n",
            encoding="utf-8",
        )

    def run(self, *places: str) -> tuple[int, str]:
        """Have runners at it, each killed at its place; return how the last one ended, and what it said."""
        for place in places:
            done = run_killed(self.path, place, self._env)
            assert done.returncode == -KILLED or place is places[-1], done.stderr
        return done.returncode, done.stderr

    def left(self) -> set[str]:
        """What is there beside what the test has put there."""
        names = {each.name for each in self.path.iterdir()}
        return names - {"source.py", "flow.yaml", "__pycache__", "cuts", "cuts.partial", "home"}


@pytest.fixture
def folder(tmp_path: Path, plain_env: Mapping[str, str]) -> Folder:
    """A folder of its own for each test."""
    return Folder(tmp_path, plain_env)


CASES = [pytest.param(sink, mode, id=f"{name}-{mode}") for name, sink in SINKS.items() for mode in sink.modes]


@pytest.mark.parametrize(("sink", "mode"), CASES)
@pytest.mark.quick("jsonl-fail", "sqlite-fail", "csv-replace")
def test_each_item_is_there_once_though_runner_after_runner_was_killed(
    folder: Folder, sink: Sink, mode: str
) -> None:
    folder.write(sink.options(f", mode: {mode}"), more=sink.often)

    ended = folder.run("cut 3", "cut 4", "cut 2", "cut 5", "never")

    found = sorted(sink.read(folder.path / sink.name))
    assert ((0, ""), list(range(3000)), {sink.name}) == (ended, found, folder.left())


@pytest.mark.parametrize("place", ["finishing", "finished"])
@pytest.mark.parametrize(("sink", "mode"), CASES)
@pytest.mark.quick("finished-jsonl-replace", "finished-sqlite-replace")
def test_each_item_is_there_once_though_the_runner_was_killed_as_all_was_put_in_place(
    folder: Folder, sink: Sink, mode: str, place: str
) -> None:
    folder.write(sink.options(f", mode: {mode}"), last=500, more=sink.often)

    ended = folder.run("cut 2", place, "never")

    found = sorted(sink.read(folder.path / sink.name))
    assert ((0, ""), list(range(500)), {sink.name}) == (ended, found, folder.left())
