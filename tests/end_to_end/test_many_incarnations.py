"""One run, killed with all that is of it any number of times at random instants, is one run in the end.

    run ──SIGKILL──► resume ──SIGKILL──► … ──► done     `MPRUN_INCARNATIONS=100` for as many

Instants are of time here, and not of work: so a kill may also come while another runner reads the cut, takes files
back, starts workers, or replays a producer.
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
from pathlib import Path
from typing import Any

import pytest

LIVES = int(os.environ.get("MPRUN_INCARNATIONS", "25"))
ITEMS = 200 * LIVES
LETTERS = ITEMS // 100
HANDLERS = """
    import os, time

    def numbers(count):
        for number in range(count):
            yield {"number": number}

    def spread(item, worker):
        if not os.path.exists("calm"):
            time.sleep(0.02)
        if item["number"] % 100 == 99:
            raise ValueError("never")
        if item["number"] % 40 == 7 and worker.attempt == 1:
            raise OSError("not yet")
        for turn in range(item["number"] % 4):
            yield {"number": item["number"], "turn": turn}
"""
WORKFLOW = """
    name: killed
    queues: {a: {maxsize: 40}, b: {maxsize: 40}}
    limits: {max_errors: 100%%}
    stages:
      list: {run: "h:numbers", with: {count: %d}, to: a, deterministic: true}
      spread:
        {run: "h:spread", from: a, to: b, count: 2, on_error: dead_letter, retry: {attempts: 2, backoff: 20ms}}
      keep: {run: %s, from: b}
"""
SINKS = {
    "jsonl": "{jsonl: {path: out.jsonl, mode: append}}",
    "sqlite": "{sqlite: {path: out.db, table: items}}",
}
A_LIFE = 3_000
"""Bytes that a life may add to the record, which tells of the birth of its workers."""
FAILURES = 150_000
"""Bytes that all of them may add, of items that failed: a hundred of a kind are told of."""
A_LOG = 6_000_000
"""Bytes of a log, which SQLite puts in its place when it has 4 MB: that, and what came in one transaction."""
_LONG = 120.0


class Life:
    """The folder of a run that dies often."""

    def __init__(self, folder: Path, sink: str) -> None:
        self.folder, self._sink = folder, sink
        self.words = ["run", "w.yaml"]
        (folder / "h.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")
        text = textwrap.dedent(WORKFLOW) % (ITEMS, SINKS[sink])
        (folder / "w.yaml").write_text(text, encoding="utf-8")

    def mprun(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("mprun")), *words]
        with (self.folder / "errors.txt").open("ab") as errors:
            streams = {"stdout": errors, "stderr": errors} | more
            return subprocess.Popen(command, cwd=self.folder, start_new_session=True, **streams)

    def told(self, *words: str) -> Any:
        """What a command tells as JSON."""
        with self.mprun(*words, "--format", "json", stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            return json.load(process.stdout)

    def die(self, after: float = 0.0, cuts: int = 0) -> int:
        """Run, or go on, and be killed so many cuts, and then seconds, later; return how it ended."""
        mine = self.lives() + 1
        process = self.mprun(*self.words, "--no-progress", "-q")
        deadline = time.monotonic() + _LONG
        while cuts and self.cuts(mine) < cuts and process.poll() is None:
            assert time.monotonic() < deadline, self.errors()
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self.words = ["resume", "latest"]
        return process.wait(_LONG)

    def errors(self) -> str:
        return (self.folder / "errors.txt").read_text(encoding="utf-8")

    def cuts(self, life: int) -> int:
        """How many cuts there have been of the life that it is in, if that is this one or a later one."""
        with contextlib.suppress(sqlite3.Error):
            for (number,) in self.asked(f"SELECT number FROM cut WHERE incarnation >= {life}"):
                return int(number)
        return 0

    def lives(self) -> int:
        """How many of its runners have written anything."""
        found = self.asked("SELECT max(n) FROM incarnation")
        return int(found[0][0]) if found else 0

    def asked(self, query: str) -> list[tuple[Any, ...]]:
        for file in self.folder.glob(".mprun/runs/*/run.db"):
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
                return database.execute(query).fetchall()
        return []

    def size(self) -> int:
        """How many bytes the record has, with what is in its log only."""
        return int(self.asked("PRAGMA page_count")[0][0] * self.asked("PRAGMA page_size")[0][0])

    def log_size(self) -> int:
        """How many bytes its log has, which one that is killed does not put in its place."""
        with contextlib.suppress(FileNotFoundError):  # a recorder that lived on has done so
            return sum(each.stat().st_size for each in self.folder.glob(".mprun/runs/*/run.db-wal"))
        return 0

    def left(self) -> Counter[tuple[int, int]]:
        if self._sink == "jsonl":
            lines = (self.folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
            return Counter((each["number"], each["turn"]) for each in map(json.loads, lines))
        with contextlib.closing(sqlite3.connect(self.folder / "out.db")) as database:
            return Counter(database.execute("SELECT number, turn FROM items"))

    def letters(self) -> Counter[str]:
        files = self.folder.glob(".mprun/runs/*/dead-letters/*.jsonl")
        return Counter(
            json.loads(line)["item"]
            for file in files
            for line in file.read_text(encoding="utf-8").splitlines()
        )


def wanted() -> Counter[tuple[int, int]]:
    """What a run leaves that nobody kills."""
    return Counter((n, turn) for n in range(ITEMS) if n % 100 != 99 for turn in range(n % 4))


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
def test_however_often_a_run_is_killed_it_is_one_run_that_leaves_what_was_wanted(
    tmp_path: Path, sink: str
) -> None:
    life, dice = Life(tmp_path, sink), random.Random(sink)
    ends, sizes, logs = [life.die(cuts=3)], [life.size()], [life.log_size()]
    while life.lives() < LIVES and ends[-1] == -signal.SIGKILL:
        ends.append(life.die(dice.uniform(0.0, 0.4), cuts=dice.choice((0, 1, 1, 2))))
        sizes.append(life.size())
        logs.append(life.log_size())
    killed = life.told("history")
    (tmp_path / "calm").touch()
    done = life.mprun("resume", "latest", "-q").wait(_LONG)

    assert ({-signal.SIGKILL}, 0) == (set(ends), done), life.errors()
    assert [("killed", LIVES)] == [(row["outcome"], row["incarnations"]) for row in killed]
    (row,) = life.told("history")
    assert ("done", LIVES + 1) == (row["outcome"], row["incarnations"])
    assert wanted() == life.left()
    assert (LETTERS, {1}) == (len(life.letters()), set(life.letters().values()))
    outputs = wanted().total()
    queues = life.told("show", "latest")["report"]["queues"]
    assert [("a", ITEMS, ITEMS - LETTERS, LETTERS), ("b", outputs, outputs, 0)] == [
        (queue["name"], queue["put"], queue["done"], queue["dead_lettered"]) for queue in queues
    ]
    assert all(0 < queue["done_before"] < queue["done"] for queue in queues)
    assert max(sizes) <= sizes[0] + LIVES * A_LIFE + FAILURES, sizes
    assert max(logs) <= A_LOG, logs
