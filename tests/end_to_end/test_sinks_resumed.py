"""Built-in sinks over the death of the whole runner: another goes on with the run, and each item is there once."""

from __future__ import annotations

import json
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

    def salted(item):
        return item | {"word": str(time.time_ns())}

    def note(item, worker):
        with open(f"noted-{worker.name}", "a") as file:
            file.write(f"{worker.item_id} {item['n']}\\n")
        return item
"""
KILLED = 137 - 128


class Folder:
    """A folder with a workflow in it, whose runners are killed."""

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self.path = path
        self._env = env
        self.printed = ""
        (path / "source.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")

    def write(self, sink: str, *, last: int = 2000, more: str = "", middle: str = "count: 2") -> None:
        """Write a workflow: what the two in the middle make again is not the same, and comes in another order."""
        (self.path / "flow.yaml").write_text(
            "name: flow\nstages:\n"
            f"  source: {{run: source:count, with: {{last: {last}}}, to: q}}\n"
            f"  middle: {{run: source:salted, from: q, to: r, {middle}}}\n"
            f"  sink: {{run: {sink}, from: r{more}}}\n",
            encoding="utf-8",
        )

    def run(self, *places: str) -> tuple[int, str]:
        """Have runners at it, each killed at its place; return how the last one ended, and what it said."""
        for place in places:
            done = run_killed(self.path, place, self._env)
            self.printed += done.stdout
            wanted = 130 if place.startswith("stop") else -KILLED
            assert done.returncode == wanted or place is places[-1], done.stderr
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
@pytest.mark.quick("sqlite-fail")
def test_each_item_is_there_once_though_runner_after_runner_was_killed(
    folder: Folder, sink: Sink, mode: str
) -> None:
    folder.write(sink.options(f", mode: {mode}"), more=sink.often)

    ended = folder.run("cut 3", "cut 2", "cut 4", "never")

    found = sorted(sink.read(folder.path / sink.name))
    assert ((0, ""), list(range(2000)), {sink.name}) == (ended, found, folder.left())


@pytest.mark.parametrize("place", ["finishing", "finished"])
@pytest.mark.parametrize(("sink", "mode"), CASES)
@pytest.mark.quick("finished-jsonl-replace")
def test_each_item_is_there_once_though_the_runner_was_killed_as_all_was_put_in_place(
    folder: Folder, sink: Sink, mode: str, place: str
) -> None:
    folder.write(sink.options(f", mode: {mode}"), last=500, more=sink.often)

    ended = folder.run("cut 2", place, "never")

    found = sorted(sink.read(folder.path / sink.name))
    assert ((0, ""), list(range(500)), {sink.name}) == (ended, found, folder.left())


@pytest.mark.slow
@pytest.mark.parametrize(("sink", "mode"), CASES)
@pytest.mark.parametrize(("before", "word"), [("cut 3", "opening"), ("finishing", "putting")])
def test_whatever_was_being_done_to_a_file_as_the_runner_was_killed_each_item_is_there_once(
    folder: Folder, sink: Sink, mode: str, before: str, word: str
) -> None:
    folder.write(sink.options(f", mode: {mode}"), last=1000, more=sink.often)
    folder.run(before)

    ended, number = (-KILLED, ""), 0
    while ended[0] == -KILLED:
        number += 1
        ended = folder.run(f"{word} {number}")

    found = sorted(sink.read(folder.path / sink.name))
    assert ((0, ""), list(range(1000)), {sink.name}) == (ended, found, folder.left())
    assert number > 1


@pytest.mark.slow
@pytest.mark.parametrize(("sink", "mode"), CASES)
def test_each_item_is_there_once_though_the_run_was_stopped_and_stopped_again(
    folder: Folder, sink: Sink, mode: str
) -> None:
    folder.write(sink.options(f", mode: {mode}"), more=sink.often)

    ended = folder.run("stop 3", "stop 2", "cut 2", "stop 4", "never")

    found = sorted(sink.read(folder.path / sink.name))
    assert ((0, ""), list(range(2000)), {sink.name}) == (ended, found, folder.left())


@pytest.mark.parametrize("mode", ["fail", "replace"])
@pytest.mark.parametrize(
    "name", ["", ', name: "${{ item.n }}-${{ item.word }}"'], ids=["by its number", "by what it is"]
)
@pytest.mark.slow
def test_of_what_was_made_again_under_another_name_one_file_is_there(
    folder: Folder, name: str, mode: str
) -> None:
    folder.write(f"{{dir: {{path: out{name}, mode: {mode}}}}}")

    ended = folder.run("cut 3", "cut 2", "cut 4", "never")

    found = sorted(
        json.loads(each.read_text(encoding="utf-8"))["n"] for each in (folder.path / "out").iterdir()
    )
    assert ((0, ""), list(range(2000))) == (ended, found)


@pytest.mark.slow
def test_a_row_of_each_key_is_there_once(folder: Folder) -> None:
    folder.write("{sqlite: {path: out, table: buns, key: [n]}}", more=", batch: 100")

    ended = folder.run("cut 3", "cut 2", "cut 4", "never")

    found = sorted(SINKS["sqlite"].read(folder.path / "out"))
    assert ((0, ""), list(range(2000)), {"out"}) == (ended, found, folder.left())


@pytest.mark.slow
def test_what_is_printed_is_there_at_least_once(folder: Folder) -> None:
    folder.write('{print: {line: "${{ item.n }}"}}')

    ended = folder.run("cut 3", "cut 4", "never")

    printed = [int(line) for line in folder.printed.splitlines()]
    assert ((0, ""), set(range(2000))) == (ended, set(printed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "again"), [("noted-first-1", "the same id"), ("noted-sink-1", "another")], ids=["alone", "of two"]
)
def test_no_two_items_have_one_id_though_places_are_given_again(folder: Folder, run: str, again: str) -> None:
    """Else a service that knows an `Idempotency-Key` would take the second item for the first."""
    folder.write("source:note", middle="count: 2")
    with (folder.path / "flow.yaml").open("a", encoding="utf-8") as file:
        file.write("  first: {run: source:note, from: q0, to: q}\n")
    flow = (folder.path / "flow.yaml").read_text(encoding="utf-8").replace("to: q}", "to: q0}", 1)
    (folder.path / "flow.yaml").write_text(flow, encoding="utf-8")

    ended = folder.run("cut 3", "cut 2", "cut 4", "never")

    noted = [line.split() for line in (folder.path / run).read_text(encoding="utf-8").splitlines()]
    pairs = {(item_id, int(n)) for item_id, n in noted}
    numbers = [n for _, n in pairs]
    assert ((0, ""), set(range(2000)), len({item_id for item_id, _ in pairs})) == (
        ended,
        set(numbers),
        len(pairs),
    )
    if again == "the same id":
        assert len(numbers) == len(set(numbers))
