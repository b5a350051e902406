"""The built-in sinks as whole runs use them: their options, how one reads what they wrote, where they are killed."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pyarrow import parquet  # type: ignore[import-untyped]


def lines_in(path: Path) -> list[int]:
    """What the sink `text` wrote."""
    return [int(line) for line in path.read_text(encoding="utf-8").splitlines()]


def json_in(path: Path) -> list[int]:
    """What the sink `jsonl` wrote; each line is whole."""
    return [json.loads(line)["n"] for line in path.read_text(encoding="utf-8").splitlines()]


def rows_in(path: Path) -> list[int]:
    """What the sink `csv` wrote, below its one head."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert ["n", "word"] == head
    return [int(n) for n, _ in rows]


def table_in(path: Path) -> list[int]:
    """What the sink `sqlite` wrote; of which items it was made is forgotten where the run has ended well."""
    with closing(sqlite3.connect(path)) as rows:
        if not rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'buns'").fetchone():
            return []  # it is made with its first rows
        return [n for (n,) in rows.execute("SELECT n FROM buns ORDER BY rowid")]


def files_in(path: Path) -> list[int]:
    """What the sink `dir` wrote; each file is whole. What a stopped run may be gone on with from is beside them."""
    files = [each for each in path.iterdir() if each.name != ".mprun"]
    found = {each.stem: json.loads(each.read_text(encoding="utf-8")) for each in files}
    assert {name: int(name) for name in found} == {name: item["n"] for name, item in found.items()}
    return sorted(item["n"] for item in found.values())


def columns_in(path: Path) -> list[int]:
    """What the sink `parquet` wrote."""
    found: list[int] = parquet.read_table(path).column("n").to_pylist()
    return sorted(found) if path.is_dir() else found


PLACES = [
    *(("handling", nth) for nth in (1, 300)),
    *(("handled", nth) for nth in (1, 300)),
    *((place, nth) for place in ("taking", "taken") for nth in (1, 3, 7)),
    *((place, nth) for place in ("flushing", "writing", "flushed") for nth in (1, 2, 3)),
    *((place, nth) for place in ("sending", "torn-half", "torn-57", "sent") for nth in (1, 2, 3, 4)),
    ("closing", 1),
    ("finishing", 1),
]
OF_BATCHES = [
    *((place, nth) for place in ("handling", "writing", "handled") for nth in (1, 2, 5)),
    *((place, nth) for place in ("sending", "torn-half", "sent") for nth in (1, 2, 4)),
    ("finishing", 1),
]
OF_ITEMS = [
    *((place, nth) for place in ("handling", "writing", "handled") for nth in (1, 2, 300)),
    *((place, nth) for place in ("sending", "torn-half", "sent") for nth in (1, 2)),
    ("finishing", 1),
]


@dataclass(frozen=True)
class Sink:
    """A kind of sink, and how one reads what it wrote."""

    run: str
    read: Callable[[Path], list[int]]
    name: str = "out"
    often: str = ", flush: {items: 100}"
    """What has it say more often that items are done."""
    places: Sequence[tuple[str, int]] = tuple(PLACES)
    """Where it is killed."""
    is_taken: str = "it is there already"
    """What is said where something is there."""
    remedy: str = "`mode: append` adds to it, `mode: replace` puts a new one in its place"
    modes: Sequence[str] = ("fail", "append", "replace")

    def options(self, more: str = "") -> str:
        """The value of `run`."""
        return self.run.replace("MORE", more)


SINKS = {
    "text": Sink('{text: {path: out, line: "${{ item.n }}"MORE}}', lines_in),
    "jsonl": Sink("{jsonl: {path: out MORE}}", json_in),
    "csv": Sink("{csv: {path: out MORE}}", rows_in),
    "sqlite": Sink(
        "{sqlite: {path: out, table: buns MORE}}",
        table_in,
        often=", batch: 100",
        places=OF_BATCHES,
        is_taken="table 'buns' is there already",
    ),
    "parquet": Sink(
        "{parquet: {path: out MORE}}",
        columns_in,
        modes=("fail", "replace"),
        remedy="`mode: replace` puts a new one in its place",
    ),
    "parquet folder": Sink("{parquet: {path: out/ MORE}}", columns_in),
    "dir": Sink(
        '{dir: {path: out, name: "${{ item.n }}.json" MORE}}',
        files_in,
        often="",
        places=OF_ITEMS,
        is_taken="the folder is there already, and not empty",
    ),
}
FILES = {name: sink for name, sink in SINKS.items() if sink.read in (lines_in, json_in, rows_in)}
