"""What sinks write, against the bare library that writes the same rows in bulk.

python benchmarks/sinks.py [--rows 100000] [--files 5000] [--rounds 5] [--only csv sqlite] [--whole]

    bare     one process writes the rows as the library's page says: `writerows`, `executemany`, …
    sink     one process hands the rows to mprun's sink, and has it say every 5,000 that they are safe
    --whole  mprun itself, one worker that makes the rows and one that is the sink, from its start to its end

Each round runs both, one after the other; what is compared is the median of rows per second of processor time, which
others on the machine disturb least, or with `--whole` of time, less that of a run without rows.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from alternate import installed_mprun
from measure import run_once

from runner.handlers.kinds import Mapper, WorkerContext
from runner.handlers.registry import find_kind
from runner.spec.model import Role

TIMEOUT = 600.0
FRAME = 500
"""Rows that come together, as they are some 64 KiB."""
SINKS = {
    "text": {"path": "out"},
    "jsonl": {"path": "out"},
    "csv": {"path": "out"},
    "sqlite": {"path": "out", "table": "hits"},
    "parquet": {"path": "out"},
    "dir": {"path": "out", "name": "${{ item.n }}.json"},
}


def rows(count: int) -> Iterator[dict[str, Any]]:
    """What is written: five fields, such as a log has."""
    for n in range(count):
        yield {"n": n, "path": f"/buns/{n % 1000}", "status": 200, "seconds": n % 97 / 8, "agent": "curl/8.5"}


def paths(count: int) -> Iterator[str]:
    """What a sink of texts gets of them."""
    for row in rows(count):
        yield row["path"]


def bare_text(found: Iterable[Any]) -> None:
    with Path("out").open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in found)


def bare_jsonl(found: Iterable[dict[str, Any]]) -> None:
    with Path("out").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in found)


def bare_csv(found: Iterable[dict[str, Any]]) -> None:
    with Path("out").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["n", "path", "status", "seconds", "agent"])
        writer.writeheader()
        writer.writerows(found)


def bare_sqlite(found: Iterable[dict[str, Any]]) -> None:
    connection = sqlite3.connect("out")
    with connection:
        connection.execute(
            "CREATE TABLE hits (n INTEGER, path TEXT, status INTEGER, seconds REAL, agent TEXT)"
        )
        connection.executemany("INSERT INTO hits VALUES (:n, :path, :status, :seconds, :agent)", found)
    connection.close()


def bare_parquet(found: Iterable[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(list(found)), "out")


def bare_dir(found: Iterable[dict[str, Any]]) -> None:
    Path("out").mkdir()
    for row in found:
        Path(f"out/{row['n']}.json").write_text(json.dumps(row) + "\n", encoding="utf-8")


BARE: dict[str, Callable[[Iterable[dict[str, Any]]], None]] = {
    "text": bare_text,
    "jsonl": bare_jsonl,
    "csv": bare_csv,
    "sqlite": bare_sqlite,
    "parquet": bare_parquet,
    "dir": bare_dir,
}


def workflow(folder: Path, sink: str, count: int) -> Path:
    """Write the workflow that writes so many rows."""
    stages = {
        "source": {
            "run": "sinks:paths" if sink == "text" else "sinks:rows",
            "with": {"count": count},
            "to": "rows",
        },
        "sink": {"run": {sink: SINKS[sink]}, "from": "rows"},
    }
    path = folder / f"{sink}-{count}.yaml"
    path.write_text(json.dumps({"name": "sinks", "stages": stages}), encoding="utf-8")
    return path


def sunk(sink: str, found: Iterable[dict[str, Any]]) -> None:
    """Hand rows to a sink, as a worker does."""
    place = itertools.count()
    kind = find_kind(sink).of_role(Role.CONSUMER)
    assert kind.writes is not None
    writes = kind.writes(SINKS[sink])
    assert writes.open is not None
    output = writes.open(str(Path.cwd()), "run")
    taken: list[int] = []
    context = WorkerContext(
        "neo", "sink", 0, 0, role=Role.CONSUMER, prepared=output.prepared, places=lambda: taken
    )
    handler = kind.build(SINKS[sink], context)
    assert isinstance(handler, Mapper)
    state = b""
    for batch in iter(lambda: list(itertools.islice(found, 5000)), []):
        if writes.commits.batch is not None:
            taken = [next(place) for _ in batch]
            handler.call(batch)
            continue
        for at in range(0, len(batch), FRAME):
            some = batch[at : at + FRAME]
            if handler.call_many is None or not handler.call_many(some):
                for item in some:
                    handler.call(item)
        if handler.flush is not None:
            handler.flush()
        state = b"" if handler.capture is None else handler.capture()
    handler.close()
    output.finish(complete=True, states={"neo": state})


def in_process(sink: str, who: str, count: int) -> None:
    """Write rows that are there already, and print the processor time that it took."""
    found: list[Any] = list(paths(count) if sink == "text" else rows(count))
    find_kind(sink)  # what is imported once is no part of a rate
    if sink == "parquet":
        import_module("pyarrow.parquet")
    began = time.process_time()
    if who == "bare":
        BARE[sink](found)
    else:
        sunk(sink, iter(found))
    print(json.dumps({"took": time.process_time() - began}), file=sys.stderr)


def clear(folder: Path) -> None:
    """Leave nothing of the last one."""
    out = folder / "out"
    if out.is_dir():
        shutil.rmtree(out)
    out.unlink(missing_ok=True)


def measure(folder: Path, sink: str, who: str, count: int, *, whole: bool) -> float:
    """Return rows per second."""
    clear(folder)
    own = [sys.executable, Path(__file__).resolve(), "--in", sink, who, str(count)]
    if not whole:
        done = subprocess.run(own, cwd=folder, capture_output=True, text=True, check=True)
        return count / float(json.loads(done.stderr.splitlines()[-1])["took"])
    os.chdir(folder)
    took = []
    for some in (0, count):
        clear(folder)
        command = (
            [*own[:-1], str(some)]
            if who == "bare"
            else [installed_mprun(), workflow(folder, sink, some), "-q"]
        )
        took.append(run_once(command, timeout=TIMEOUT).seconds)
    return count / max(took[1] - took[0], 1e-9)


def main() -> None:
    """Measure, and print a line for each sink."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument(
        "--files", type=int, default=5_000, help="rows for the sink that makes a file of each"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=SINKS, default=list(SINKS))
    parser.add_argument(
        "--whole", action="store_true", help="measure a run of mprun from its start to its end"
    )
    parser.add_argument("--in", nargs=3, dest="inner", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inner:
        sink, who, count = chosen.inner
        in_process(sink, who, int(count))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MPRUN_HOME"] = str(folder / "home")
        (folder / "sinks.py").write_bytes(Path(__file__).read_bytes())
        print("sink          bare rows/s    sink rows/s   ratio")
        for sink in chosen.only:
            count = chosen.files if sink == "dir" else chosen.rows
            rates: dict[str, list[float]] = {"bare": [], "sink": []}
            for _ in range(chosen.rounds):
                for who, found in rates.items():
                    found.append(measure(folder, sink, who, count, whole=chosen.whole))
            theirs, ours = (statistics.median(each) for each in rates.values())
            print(f"{sink:10} {theirs:14,.0f} {ours:14,.0f} {ours / theirs:7.2f}", flush=True)


if __name__ == "__main__":
    main()
