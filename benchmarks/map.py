"""`mprun map` beside `xargs -P` and GNU parallel: the same trivial command for each of many items, in turns.

    python benchmarks/map.py [--rounds 5] [--items 1000] [--command /bin/true]

Each figure is the time of the whole command, its start and its end with it; of each the median is shown, the ratio to
xargs, and the seconds of a processor that it took with all that it ran. Who is not installed is left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sysconfig
import time
from pathlib import Path

WORKERS = 4
MPRUN = Path(sysconfig.get_path("scripts"), "mprun")


def commands(command: str) -> dict[str, list[str]]:
    known = {
        "xargs -P4": ["xargs", "-P", str(WORKERS), "-n", "1", command],
        "mprun map": [str(MPRUN), "map", "-j", str(WORKERS), command],
        "mprun map -k": [str(MPRUN), "map", "-k", "-j", str(WORKERS), command],
        "parallel": ["parallel", "-j", str(WORKERS), command, "{}"],
    }
    return {name: words for name, words in known.items() if shutil.which(words[0]) is not None}


def measure(words: list[str], items: bytes) -> tuple[float, float]:
    """Return how long it took, and how much of a processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, input=items, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--command", default="/bin/true")
    given = parser.parse_args()
    items = "".join(f"{number}\n" for number in range(given.items)).encode()
    known = commands(given.command)
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in known}
    for _ in range(given.rounds):
        for name, words in known.items():
            figures[name].append(measure(words, items))
    base = [took for took, _ in figures["xargs -P4"]]
    print(f"{given.items:,} times {given.command}, {os.cpu_count()} cores")
    print(f"{'':<14}{'seconds':>9}{'ratio':>8}{'processor':>11}")
    for name, found in figures.items():
        ratio = statistics.median(took / other for (took, _), other in zip(found, base, strict=True))
        seconds, cpu = (statistics.median(each[index] for each in found) for index in (0, 1))
        print(f"{name:<14}{seconds:>8.3f}s{ratio:>8.2f}{cpu:>10.2f}s")


if __name__ == "__main__":
    main()
