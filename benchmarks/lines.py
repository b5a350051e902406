"""A big text file, line by line, to a reader that does nothing: mprun's `lines` against a JoinableQueue by hand.

python benchmarks/lines.py [--megabytes 2000] [--by-hand-lines 200000] [--rounds 5]

Each round runs both, one after the other, with one process at either end; what is compared is the median of lines per
second. The one by hand reads the beginning of the same file: it would take minutes for all of it. mprun runs it all,
and what is shown of its memory is the most that all of its processes together had of their own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from alternate import installed_mprun
from measure import run_once

LINE = b'203.0.113.%d - - [30/Nov/2026:12:%02d:%02d +0000] "GET /buns/%06d HTTP/1.1" 200 %5d "-" "curl/8.5"\n'
TIMEOUT = 3600.0


def write(path: Path, size: int) -> int:
    """Write a log of about so many bytes; return its lines."""
    block = b"".join(LINE % (n % 256, n // 60 % 60, n % 60, n, n * 7 % 99999) for n in range(100_000))
    blocks = max(1, size // len(block))
    with path.open("wb") as file:
        for _ in range(blocks):
            file.write(block)
    return blocks * 100_000


def read(path: str, most: int, outbox: Any) -> None:
    """The writer's end by hand."""
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number == most:
                break
            outbox.put(line.rstrip("\n"))


def drop(inbox: Any) -> None:
    """The reader's end by hand."""
    while inbox.get() is not None:
        inbox.task_done()
    inbox.task_done()


def by_hand(path: str, most: int) -> None:
    """Two processes round a JoinableQueue."""
    queue: Any = multiprocessing.JoinableQueue(10_000)
    ends = [
        multiprocessing.Process(target=read, args=(path, most, queue)),
        multiprocessing.Process(target=drop, args=(queue,)),
    ]
    for each in ends:
        each.start()
    ends[0].join()
    queue.put(None)
    queue.join()
    ends[1].join()


def workflow(folder: Path, log: Path) -> Path:
    """Write the workflow that does the same."""
    stages = {
        "reader": {"run": {"lines": {"path": str(log)}}, "to": "lines"},
        "nobody": {"run": {"null": {}}, "from": "lines"},
    }
    path = folder / "lines.yaml"
    path.write_text(json.dumps({"name": "lines", "stages": stages}))
    return path


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--by-hand-lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-hand", nargs=2, metavar=("FILE", "LINES"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.in_hand:
        by_hand(chosen.in_hand[0], int(chosen.in_hand[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MPRUN_HOME"] = str(folder / "home")
        log = folder / "access.log"
        lines = write(log, chosen.megabytes * 1_000_000)
        file = workflow(folder, log)
        some = min(lines, chosen.by_hand_lines)
        commands: dict[str, tuple[list[Any], int]] = {
            "by hand": ([sys.executable, __file__, "--in-hand", log, str(some)], some),
            "mprun": ([installed_mprun(), file, "-q"], lines),
        }
        rates: dict[str, list[float]] = {each: [] for each in commands}
        peaks: list[int] = []
        began = time.perf_counter()
        for _ in range(chosen.rounds):
            for each, (command, count) in commands.items():
                reading = run_once(command, timeout=TIMEOUT, watch=each == "mprun")
                rates[each].append(count / reading.seconds)
                peaks += [reading.peak] if each == "mprun" else []
        hand, ours = (statistics.median(rates[each]) for each in commands)
        print(f"{lines:,} lines, {log.stat().st_size / 1e6:,.0f} MB; {time.perf_counter() - began:.0f} s")
        print(f"by hand  {hand:12,.0f} lines/s")
        print(f"mprun    {ours:12,.0f} lines/s   {ours / hand:.1f} times   {max(peaks) / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
