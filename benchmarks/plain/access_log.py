"""Requests by minute and by path by a script of one's own: what workflows/access_log.yaml is compared with.

python benchmarks/plain/access_log.py --log access.log.gz
"""

import argparse
import csv
import gzip
import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from multiprocessing import Pool
from pathlib import Path

LINE = re.compile(rb'\S+ \S+ \S+ \[([^\]]+):\d\d [^\]]+\] "[A-Z]+ ([^ ?"]+)[^ "]* [^"]+" (\d{3}) (\d+|-)')
CHUNK = 1000


@cache
def iso(minute: bytes) -> str:
    return f"{datetime.strptime(minute.decode(), '%d/%b/%Y:%H:%M'):%Y-%m-%dT%H:%M}"


def parse(line: bytes) -> tuple[str, str, int, int] | bytes:
    """Return minute, path, bytes and whether it is an error; a line that is none of a log as it is."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return line
    found = LINE.match(line)
    if found is None:
        return line
    minute, path, status, size = found.groups()
    return iso(minute), path.decode(), 0 if size == b"-" else int(size), int(status >= b"400")


def lines_of(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as log:
        yield from log


def count(log: Path, rejected: Path) -> dict[tuple[str, str], list[int]]:
    totals: dict[tuple[str, str], list[int]] = {}
    with Pool(2) as pool, rejected.open("wb") as kept:
        for parsed in pool.imap(parse, lines_of(log), chunksize=CHUNK):
            if isinstance(parsed, bytes):
                kept.write(parsed)
                continue
            minute, path, size, error = parsed
            for key in (("minute", minute), ("path", path)):
                total = totals.setdefault(key, [0, 0, 0])
                total[0] += 1
                total[1] += size
                total[2] += error
    return totals


def store(totals: dict[tuple[str, str], list[int]], path: Path) -> None:
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    with database:
        database.execute(
            "CREATE TABLE totals (kind TEXT, name TEXT, hits INTEGER, bytes INTEGER, errors INTEGER, "
            "PRIMARY KEY (kind, name))"
        )
        rows = ((*key, *total) for key, total in totals.items())
        database.executemany("INSERT INTO totals VALUES (?, ?, ?, ?, ?)", rows)
    database.close()


def write(totals: dict[tuple[str, str], list[int]], path: Path) -> None:
    paths = [(name, *total) for (kind, name), total in totals.items() if kind == "path"]
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "hits", "bytes", "errors"])
        table.writerows(sorted(paths, key=lambda row: (-row[1], row[0])))
    unfinished.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the requests of a log by minute and by path.")
    parser.add_argument("--log", default="access.log.gz", type=Path, help="where the log is")
    parser.add_argument("--folder", default="statistics", type=Path, help="the folder for what comes out")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    totals = count(given.log, given.folder / "rejected.log")
    store(totals, given.folder / "access.db")
    write(totals, given.folder / "paths.csv")


if __name__ == "__main__":
    main()
