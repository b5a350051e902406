"""What is safe only at a flush or a checkpoint, whoever is killed: a run that exits 0 has it all.

The oracle looks at what the handlers have done outside mprun: rows, lines, totals.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import textwrap
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from struck_runs import RunMprun, StruckFolder

KITCHEN = """
    import os, signal, sqlite3, time
    from pathlib import Path
    from runner.testing.failpoints import reached

    LINES = os.open("lines.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def count(last, slowly=0):
        for number in range(last):
            time.sleep(slowly)
            yield number

    def endless():
        number = 0
        while True:
            yield number
            number += 1

    def die_at(item, last):
        if item == last and not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def write(item):
        os.write(LINES, f"{item}\\n".encode())

    def fail_late(item):
        while not Path("rows.db").exists() or not Path("begun").exists():
            time.sleep(0.01)
        raise ValueError("the other stage")

    class Total:
        def __init__(self, dies=None):
            self.dies, self.total = dies, 0

        def __call__(self, item):
            die_at(item, self.dies)
            self.total += item

        def close(self):
            reached("close")
            print("total", self.total)

    class Slow(Total):
        def __call__(self, item):
            time.sleep(0.002)
            super().__call__(item)
            if item == 20:
                Path("rows.db").touch()
                Path("begun").touch()

        def close(self):
            Path("total").write_text(str(self.total))

    def slowly(items):
        time.sleep(0.002 * len(items))
        for item in items:
            write(item)
        if 20 in items:
            Path("rows.db").touch()
            Path("begun").touch()

    def one_by_one(item):
        slowly([item])

    class Choosy(Total):
        def __call__(self, item):
            if item % 100 == 3:
                raise ValueError(item)
            super().__call__(item)

    class Locked(Total):
        def __init__(self):
            super().__init__()
            self.rows = sqlite3.connect(":memory:")

    class RunningTotal(Total):
        def __call__(self, item):
            super().__call__(item)
            return self.total

        def close(self):
            reached("close")

    class Batches:
        def __init__(self, dies=None):
            self.dies, self.batch = dies, []

        def __call__(self, item):
            die_at(item, self.dies)
            self.batch.append(item)
            if len(self.batch) == 32:
                self.flush()

        def flush(self):
            for item in self.batch:
                write(item)
            self.batch = []

    class Rows:
        def __init__(self, dies=None, seconds=0):
            self.dies, self.seconds = dies, seconds
            self.rows = sqlite3.connect("rows.db", isolation_level=None)
            self.rows.execute("create table if not exists rows (item)")
            self.rows.execute("begin")

        def __call__(self, item):
            die_at(item, self.dies)
            time.sleep(self.seconds)
            self.rows.execute("insert into rows values (?)", (item,))

        def flush(self):
            self.rows.execute("commit")
            self.rows.execute("begin")
            Path("begun").touch()

        def close(self):
            reached("close")

    class Passing(Rows):
        def __call__(self, item):
            super().__call__(item)
            yield item
            yield -item
"""


class Kitchen(StruckFolder):
    """A folder with a workflow in it, and what its handlers leave there."""

    def __init__(self, path: Path, run_mprun: RunMprun) -> None:
        super().__init__(path, run_mprun, file="kitchen.yaml", victim="eater-1")
        (path / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")

    def write(self, eater: str, *, chef: str = "kitchen:count, with: {last: 1000}", more: str = "") -> None:
        """Write a workflow of which the stage `eater` is as given, with what follows it."""
        (self.path / "kitchen.yaml").write_text(
            f"name: kitchen\nstages:\n  chef: {{run: {chef}, to: q}}\n  eater: {{{eater}, from: q}}\n{more}",
            encoding="utf-8",
        )

    @property
    def rows(self) -> list[int]:
        """What is in the database."""
        with closing(sqlite3.connect(self.path / "rows.db")) as rows:
            return sorted(item for (item,) in rows.execute("select item from rows"))

    @property
    def lines(self) -> list[int]:
        """What is in the file, in order."""
        return [int(line) for line in (self.path / "lines.txt").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def kitchen(tmp_path: Path, run_mprun: RunMprun) -> Kitchen:
    """A kitchen of its own for each test."""
    return Kitchen(tmp_path, run_mprun)


ALL = list(range(1000))
STARTS = ["fork", pytest.param("spawn", marks=pytest.mark.slow)]


@pytest.mark.parametrize("start", STARTS)
def test_a_total_survives_its_worker(kitchen: Kitchen, start: str) -> None:
    kitchen.write(f"run: kitchen:Total, with: {{dies: 700}}, state: checkpoint, start_method: {start}")

    done = kitchen.run()

    assert (0, f"total {sum(ALL)}\n", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("start", STARTS)
def test_a_batch_of_its_own_is_all_there(kitchen: Kitchen, start: str) -> None:
    kitchen.write(f"run: kitchen:Batches, with: {{dies: 700}}, start_method: {start}")

    done = kitchen.run()

    assert (0, ALL) == (done.returncode, sorted(set(kitchen.lines)))


@pytest.mark.parametrize("start", STARTS)
def test_rows_are_all_there(kitchen: Kitchen, start: str) -> None:
    kitchen.write(f"run: kitchen:Rows, with: {{dies: 700}}, start_method: {start}")

    done = kitchen.run()

    assert (0, ALL) == (done.returncode, sorted(set(kitchen.rows)))


def test_what_a_pipe_stage_makes_from_its_state_comes_once(kitchen: Kitchen) -> None:
    kitchen.write(
        "run: kitchen:RunningTotal, with: {dies: 700}, state: checkpoint, to: r",
        more="  writer: {run: kitchen:write, from: r}\n",
    )

    done = kitchen.run()

    assert (0, [sum(range(n + 1)) for n in range(1000)]) == (done.returncode, kitchen.lines)


def test_items_that_fail_are_told_with_the_state_that_is_without_them(kitchen: Kitchen) -> None:
    kitchen.write("run: kitchen:Choosy, with: {dies: 700}, state: checkpoint, on_error: skip")

    done = kitchen.run("--set", "limits.max_errors=10")

    taken = [item for item in ALL if item % 100 != 3]
    assert (0, f"total {sum(taken)}", len(taken)) == (
        done.returncode,
        done.stdout.splitlines()[-1],
        kitchen.done(),
    )


def test_a_state_that_cannot_be_pickled_fails_the_run(kitchen: Kitchen) -> None:
    kitchen.write("run: kitchen:Locked, state: checkpoint")

    done = kitchen.run()

    assert 1 == done.returncode
    assert "Locked can't be pickled: `self.rows` (sqlite3.Connection)" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["joinable", "inline"])
def test_a_class_is_flushed_under_every_transport(kitchen: Kitchen, transport: str) -> None:
    kitchen.write("run: kitchen:Rows", chef="kitchen:count, with: {last: 100}")

    done = kitchen.run("--set", f"transport={transport}")

    assert (0, ALL[:100], 100) == (done.returncode, kitchen.rows, kitchen.done())


def interrupted(
    kitchen: Kitchen, mprun: Path, env: Mapping[str, str], number: signal.Signals, *more: str
) -> int:
    """Run it until something is safe, end it by a signal, and return the exit code."""
    process = subprocess.Popen(
        [mprun, "run", "kitchen.yaml", "-q", "--report", "report.json", *more],
        cwd=kitchen.path,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (kitchen.path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    try:
        return process.wait(30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


EFFECTS = {
    "function": "run: kitchen:one_by_one",
    "batch": "run: kitchen:slowly, batch: 8",
    "flush": "run: kitchen:Rows, with: {seconds: 0.01}, flush: {every: 200ms}",
    "checkpoint": "run: kitchen:Slow, state: checkpoint",
}
"""How items of one reader become safe."""


def is_as_counted(kitchen: Kitchen, effect: str) -> bool:
    """Whether what is safe is what counts as done; each item once, since nobody was killed."""
    done = kitchen.done()
    if effect == "checkpoint":
        return (kitchen.path / "total").read_text() == str(sum(range(done)))
    return (kitchen.rows if effect == "flush" else kitchen.lines) == list(range(done))


ENDED = [
    ("leased", "fork"),
    pytest.param("leased", "spawn", marks=pytest.mark.slow),
    pytest.param("joinable", "fork", marks=pytest.mark.slow),
    pytest.param("inline", "fork", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("transport", "start"), ENDED)
@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.quick("flush-leased-fork-2")
def test_a_stop_with_a_full_queue_leaves_safe_what_counts_as_done(
    kitchen: Kitchen,
    mprun: Path,
    plain_env: Mapping[str, str],
    effect: str,
    transport: str,
    start: str,
    number: signal.Signals,
) -> None:
    if (effect, transport) == ("checkpoint", "joinable"):
        pytest.skip("refused, since a death ends the run")
    more = "limits: {stop_timeout: 500ms}\nqueues: {q: {maxsize: 2000}}\n"
    kitchen.write(f"{EFFECTS[effect]}, start_method: {start}", chef="kitchen:endless", more=more)

    code = interrupted(kitchen, mprun, plain_env, number, "--set", f"transport={transport}")

    assert (128 + number, True) == (code, is_as_counted(kitchen, effect))


# Under `inline` who waits for something of another stage's, but at a queue, waits for ever.
@pytest.mark.parametrize(("transport", "start"), ENDED[:-1])
@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.quick("checkpoint-leased-fork")
def test_the_failure_of_another_stage_leaves_safe_what_counts_as_done(
    kitchen: Kitchen, effect: str, transport: str, start: str
) -> None:
    if (effect, transport) == ("checkpoint", "joinable"):
        pytest.skip("refused, since a death ends the run")
    kitchen.write(
        f"{EFFECTS[effect]}, start_method: {start}",
        chef="kitchen:endless",
        more="  other: {run: kitchen:count, with: {last: 1}, to: r}\n"
        "  failing: {run: kitchen:fail_late, from: r}\n",
    )

    done = kitchen.run("--set", f"transport={transport}")

    assert (1, True) == (done.returncode, is_as_counted(kitchen, effect)), done.stderr


PLACES = [
    *(("handling", nth) for nth in (1, 300)),
    *(("handled", nth) for nth in (1, 300)),
    *(("flushing", nth) for nth in (1, 2, 3)),
    *(("flushed", nth) for nth in (1, 2, 3)),
    *((place, nth) for place in ("sending", "torn-half", "torn-57", "sent") for nth in (1, 2, 3, 4)),
    ("closing", 1),
    ("close", 1),
    ("finishing", 1),
]


@pytest.mark.sweep(2)
@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize(("place", "nth"), PLACES)
def test_rows_are_all_there_wherever_the_worker_was_killed(
    kitchen: Kitchen, place: str, nth: int, start: str
) -> None:
    kitchen.write(f"run: kitchen:Rows, flush: {{items: 100}}, start_method: {start}")

    done = kitchen.strike(place, nth)

    assert (0, ALL) == (done.returncode, sorted(set(kitchen.rows)))


@pytest.mark.sweep(2)
@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize(("place", "nth"), PLACES)
def test_a_total_is_right_wherever_the_worker_was_killed(
    kitchen: Kitchen, place: str, nth: int, start: str
) -> None:
    # Who waits for an item now and then keeps its state more often than once.
    chef = f"kitchen:count, with: {{last: 1000, slowly: {0.002 if 'flush' in place else 0}}}"
    kitchen.write(f"run: kitchen:Total, state: checkpoint, start_method: {start}", chef=chef)

    done = kitchen.strike(place, nth)

    assert (0, f"total {sum(ALL)}") == (done.returncode, done.stdout.splitlines()[-1])


@pytest.mark.sweep(3)
@pytest.mark.slow
@pytest.mark.parametrize("more", ["", ", order: keep", ", shard_by: item"])
@pytest.mark.parametrize(("place", "nth"), PLACES)
def test_what_a_pipe_stage_makes_from_its_state_comes_once_wherever_it_was_killed(
    kitchen: Kitchen, place: str, nth: int, more: str
) -> None:
    kitchen.write(
        f"run: kitchen:RunningTotal, state: checkpoint, to: r{more}",
        more="  writer: {run: kitchen:write, from: r}\n",
    )

    done = kitchen.strike(place, nth)

    assert (0, [sum(range(n + 1)) for n in range(1000)]) == (done.returncode, kitchen.lines)


@pytest.mark.sweep(3)
@pytest.mark.slow
@pytest.mark.parametrize("more", ["", ", order: keep", ", shard_by: item"])
@pytest.mark.parametrize(("place", "nth"), PLACES)
def test_what_a_pipe_stage_yields_before_a_flush_comes_once_wherever_it_was_killed(
    kitchen: Kitchen, place: str, nth: int, more: str
) -> None:
    kitchen.write(
        f"run: kitchen:Passing, flush: {{items: 100}}, to: r{more}",
        more="  writer: {run: kitchen:write, from: r}\nqueues: {r: {maxsize: 64}}\n",
    )

    done = kitchen.strike(place, nth)

    expected = [each for item in ALL for each in (item, -item)]
    assert (0, expected, ALL) == (done.returncode, kitchen.lines, sorted(set(kitchen.rows)))
