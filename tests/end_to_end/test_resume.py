"""Everything of a run is killed, again and again, and gone on with: what it leaves is what an undisturbed run leaves.

    run ──SIGKILL──► resume ──SIGKILL──► resume ──► done      supervisor, workers, and now and then the recorder

A kill comes when a sink has so many bytes more than before, not after some time: so it falls into the work on a machine
of any speed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

HANDLERS = """
    import time
    from collections import Counter
    from pathlib import Path

    def numbers(count):
        for number in range(count):
            yield {"key": f"k{number % 7}", "number": number}

    def texts(count):
        for number in range(count):
            yield f"{number:06}" * 50

    def big(count):
        for number in range(count):
            yield number.to_bytes(4, "little") * 50_000

    def size(item):
        time.sleep(0.003)
        return {"number": int.from_bytes(item[:4], "little"), "size": len(item), "same": item == item[:4] * 50_000}

    def note(number):
        with open("calls.txt", "a") as calls:
            calls.write(f"{number}\\n")

    def double(item):
        time.sleep(0.0005)
        note(item["number"])
        return {**item, "number": item["number"] * 2}

    def spread(item):
        time.sleep(0.0005)
        note(item["number"])
        for turn in range(item["number"] % 4):
            yield {"number": item["number"], "turn": turn}

    def batch(items):
        time.sleep(0.003)
        for item in items:
            note(item["number"])
            yield {"number": item["number"], "in": "batch"}

    def shaky(item, worker):
        time.sleep(0.0005)
        if item["number"] % 50 == 3:
            raise ValueError("never")
        if item["number"] % 20 == 7 and worker.attempt == 1:
            raise OSError("not yet")
        return {"number": item["number"]}

    class Totals:
        def __init__(self, worker):
            self.name, self.counts = worker.name, Counter()

        def __call__(self, item):
            time.sleep(0.0005)
            self.counts[item["key"]] += 1
            return {"number": item["number"]}

        def close(self):
            Path(f"totals-{self.name}.txt").write_text(repr(sorted(self.counts.items())))

    class Flushed:
        def __init__(self):
            self.lines = []

        def __call__(self, item):
            time.sleep(0.0005)
            self.lines.append(f"{item['number']}\\n")

        def flush(self):
            with open("flushed.txt", "a") as file:
                file.write("".join(self.lines))
            self.lines = []
"""
SINK = "jsonl: {path: out.jsonl, mode: append}"


@dataclass(frozen=True)
class Shape:
    """A workflow, and what it leaves."""

    text: str
    grows: str = "out.jsonl"
    """What shows how far it is."""
    in_order: bool = False
    exact: bool = True
    """Whether each item is there once, and not at least once."""
    others: tuple[str, ...] = ()
    """Other files, which are there whole at the end."""


def stages(text: str, queues: str = "a: {maxsize: 40}, b: {maxsize: 40}") -> str:
    return f"name: resumed\nqueues: {{{queues}}}\nstages:\n{textwrap.indent(textwrap.dedent(text).strip(), '  ')}\n"


SHAPES = {
    "pipe": Shape(
        stages(
            f"""
            list: {{run: "h:numbers", with: {{count: 1500}}, to: a, deterministic: true}}
            double: {{run: "h:double", from: a, to: b, count: 2}}
            keep: {{run: {{{SINK}}}, from: b}}
            """
        )
    ),
    "fan-out": Shape(
        stages(
            f"""
            list: {{run: "h:numbers", with: {{count: 1500}}, to: a, deterministic: true}}
            spread: {{run: "h:spread", from: a, to: b, count: 3}}
            keep: {{run: {{{SINK}}}, from: b}}
            """
        )
    ),
    "batch": Shape(
        stages(
            f"""
            list: {{run: "h:numbers", with: {{count: 2000}}, to: a, deterministic: true}}
            batch: {{run: "h:batch", from: a, to: b, count: 2, batch: 8}}
            keep: {{run: {{{SINK}}}, from: b}}
            """
        )
    ),
    "in order": Shape(
        stages(
            f"""
            list: {{run: "h:numbers", with: {{count: 1500}}, to: a, deterministic: true}}
            double: {{run: "h:double", from: a, to: b, count: 3, order: keep}}
            keep: {{run: {{{SINK}}}, from: b}}
            """
        ),
        in_order=True,
    ),
    "sharded": Shape(
        stages(
            f"""
            list: {{run: "h:numbers", with: {{count: 1500}}, to: a, deterministic: true}}
            totals: {{run: "h:Totals", from: a, to: b, count: 2, shard_by: key, state: checkpoint}}
            keep: {{run: {{{SINK}}}, from: b}}
            """
        ),
        others=("totals-totals-1.txt", "totals-totals-2.txt"),
    ),
    "by bytes": Shape(
        stages(
            f"""
            list: {{run: "h:numbers", with: {{count: 1500}}, to: a, deterministic: true}}
            double: {{run: "h:double", from: a, to: b, count: 2}}
            keep: {{run: {{{SINK}}}, from: b}}
            """,
            "a: {max_bytes: 4KiB}, b: {maxsize: 3}",
        )
    ),
    "retries and letters": Shape(
        stages(
            f"""
            list: {{run: "h:numbers", with: {{count: 1500}}, to: a, deterministic: true}}
            shaky:
              run: "h:shaky"
              from: a
              to: b
              count: 2
              on_error: dead_letter
              retry: {{attempts: 2, backoff: 50ms}}
            keep: {{run: {{{SINK}}}, from: b}}
            """
        )
        + "limits: {max_errors: 30}\n"
    ),
    "big items": Shape(
        stages(
            f"""
            list: {{run: "h:big", with: {{count: 250}}, to: a, deterministic: true}}
            size: {{run: "h:size", from: a, to: b, count: 2}}
            keep: {{run: {{{SINK}}}, from: b}}
            """,
            "a: {maxsize: 20}, b: {maxsize: 20}",
        )
    ),
    "table": Shape(
        stages(
            """
            list: {run: "h:numbers", with: {count: 1500}, to: a, deterministic: true}
            double: {run: "h:double", from: a, to: b, count: 2}
            keep: {run: {sqlite: {path: out.db, table: items}}, from: b}
            """
        ),
        grows="calls.txt",
    ),
    "flush": Shape(
        stages(
            """
            list: {run: "h:numbers", with: {count: 1500}, to: a, deterministic: true}
            eat: {run: "h:Flushed", from: a, count: 2, flush: {every: 50ms}}
            """,
            "a: {maxsize: 40}",
        ),
        grows="flushed.txt",
        exact=False,
    ),
    "replaced": Shape(
        stages(
            """
            list: {run: "h:numbers", with: {count: 1500}, to: a, deterministic: true}
            double: {run: "h:double", from: a, to: b, count: 2}
            keep: {run: {csv: {path: out.csv, mode: replace, columns: [key, number]}}, from: b, count: 2}
            """
        ),
        grows="calls.txt",
    ),
}


class Folder:
    """A folder with a workflow, its runs, and what they leave."""

    def __init__(self, path: Path, shape: Shape) -> None:
        path.mkdir()
        self.path, self.shape = path, shape
        (path / "h.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")
        (path / "w.yaml").write_text(shape.text, encoding="utf-8")
        self._errors = path / "errors.txt"

    env: Mapping[str, str] | None = None

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("mprun")), *words, "--no-progress", "-q"]
        with self._errors.open("ab") as errors:
            return subprocess.Popen(
                command, cwd=self.path, stdout=errors, stderr=errors, start_new_session=True, env=self.env
            )

    def kill_in_mid_run(self, words: list[str], more: int, *, recorder: bool) -> bool:
        """Kill a run, with all that is of it, once it has left so many bytes more; False if it was over before."""
        goal = self.size() + more
        run = self.start(*words)
        while self.size() < goal and run.poll() is None:
            time.sleep(0.002)
        over = run.poll() is not None
        apart = descendants(run.pid) if recorder else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        for pid in apart:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = run.wait(60)
        assert not over or code == 0, self.errors()
        return not over

    def finish(self, *words: str) -> None:
        code = self.start(*words).wait(120)
        assert code == 0, self.errors()

    def errors(self) -> str:
        return self._errors.read_text(encoding="utf-8", errors="replace")

    def size(self) -> int:
        try:
            return (self.path / self.shape.grows).stat().st_size
        except FileNotFoundError:
            return 0

    def left(self) -> list[str]:
        """What there is, a text for each item."""
        if (table := self.path / "out.db").exists():
            with contextlib.closing(sqlite3.connect(table)) as connection:
                return [repr(row) for row in connection.execute("SELECT * FROM items")]
        names = ("out.jsonl", "out.csv", "flushed.txt")
        file = next(each for name in names if (each := self.path / name).exists())
        return file.read_text(encoding="utf-8").splitlines()

    def others(self) -> list[str]:
        return [(self.path / name).read_text(encoding="utf-8") for name in self.shape.others]

    def letters(self) -> list[str]:
        files = self.path.glob(".mprun/runs/*/dead-letters/*.jsonl")
        lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines())
        return sorted(json.loads(line)["item"] for line in lines)


def descendants(pid: int) -> list[int]:
    """Whoever is of a process, in whatever session."""
    parents = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (each / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
                parents[int(each.name)] = int(fields.split()[1])
    found, fresh = [], [pid]
    while fresh:
        fresh = [each for each, parent in parents.items() if parent in fresh]
        found += fresh
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Folder]:
    made: dict[str, Folder] = {}

    def run(name: str) -> Folder:
        if name not in made:
            made[name] = Folder(tmp_path_factory.mktemp("undisturbed") / "run", SHAPES[name])
            made[name].finish("run", "w.yaml")
        return made[name]

    return run


def cases() -> list[object]:
    seeds = range(int(os.environ.get("MPRUN_KILL_SEEDS", "2")))
    return [pytest.param(name, seed, id=f"{name}-{seed}") for name in SHAPES for seed in seeds]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), cases())
def test_a_run_that_is_killed_and_gone_on_with_leaves_what_an_undisturbed_one_does(
    name: str, seed: int, tmp_path: Path, undisturbed: Callable[[str], Folder]
) -> None:
    dice, wanted = random.Random(f"{name} {seed}"), undisturbed(name)
    folder, whole, kills = Folder(tmp_path / "run", SHAPES[name]), wanted.size(), 0
    words = ["run", "w.yaml"]
    for turn in range(4):
        more = int(whole * dice.uniform(0.02, 0.3))
        if not folder.kill_in_mid_run(words, more, recorder=turn % 2 == 1):
            break
        kills += 1
        words = ["resume", "latest"]
    folder.finish("resume", "latest")
    assert kills
    left, expected = folder.left(), wanted.left()
    if not folder.shape.exact:
        left, expected = sorted(set(left)), sorted(set(expected))
    elif not folder.shape.in_order:
        left, expected = sorted(left), sorted(expected)
    assert left == expected
    assert folder.others() == wanted.others()
    assert folder.letters() == wanted.letters()
    if (calls := folder.path / "calls.txt").exists():
        counted = Counter(calls.read_text(encoding="utf-8").splitlines())
        assert set(counted) == set((wanted.path / "calls.txt").read_text(encoding="utf-8").splitlines())


SYNCED = """
    import os

    def arm(worker):
        sync = os.fsync
        def synced(descriptor):
            sync(descriptor)
            found = os.fstat(descriptor)
            with open("synced.txt", "a") as file:
                file.write(f"{found.st_ino} {found.st_size}\\n")
        os.fsync = synced
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("MPRUN_KILL_SEEDS", "4"))))
@pytest.mark.parametrize("name", ["pipe", "in order"])
def test_with_fsync_the_machine_may_go_down_and_take_along_what_the_disk_had_not(
    name: str, seed: int, tmp_path: Path, undisturbed: Callable[[str], Folder]
) -> None:
    """The disk is asked for nothing here: what was written to the file after its last fsync is cut off at each kill.

    It is the order that is held to, fsync before acknowledgement before cut, and not what a disk does.
    """
    dice, wanted, shape = random.Random(f"{name} {seed}"), undisturbed(name), SHAPES[name]
    text = shape.text.replace("name: resumed\n", "name: resumed\nresume: {fsync: true, every: 20ms}\n")
    folder = Folder(tmp_path / "run", replace(shape, text=text))
    (folder.path / "synced.py").write_text(textwrap.dedent(SYNCED), encoding="utf-8")
    folder.env = {**os.environ, "MPRUN_WORKER_HOOK": "synced:arm", "PYTHONPATH": str(folder.path)}
    words, out = ["run", "w.yaml"], folder.path / "out.jsonl"
    for _ in range(3):
        if not folder.kill_in_mid_run(words, int(wanted.size() * dice.uniform(0.05, 0.3)), recorder=True):
            break
        lines = (folder.path / "synced.txt").read_text(encoding="utf-8").splitlines()
        lengths = dict(map(int, line.split()) for line in lines)
        os.truncate(out, lengths.get(out.stat().st_ino, 0))
        words = ["resume", "latest"]
    folder.finish("resume", "latest")
    left, expected = folder.left(), wanted.left()
    assert (left if shape.in_order else sorted(left)) == (expected if shape.in_order else sorted(expected))
