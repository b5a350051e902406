"""What mprun adds to jobs: milliseconds for each of many trivial ones, and memory and time for one that prints a lot.

python benchmarks/jobs.py --jobs 10000 --megabytes 1000

    many jobs    time of the run, less its start and its end, less what the same programs take started in a plain loop
    much output  time and peak memory of a run of one job, beside the same program writing to a file
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alternate import installed_mprun
from measure import Reading, run_once

MOST_MS = 3.0
"""Milliseconds that a trivial job may cost over its fork and exec."""
PROGRAM = ("true",)
_SAMPLE = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description="Time what mprun adds to jobs.")
    parser.add_argument("--jobs", type=int, default=10_000, help="how many trivial jobs")
    parser.add_argument("--megabytes", type=int, default=1000, help="how much the other job prints")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"Python {sys.version.split()[0]}\n")
        time_many(Path(folder), chosen.jobs)
        time_much(Path(folder), chosen.megabytes)


def time_many(folder: Path, count: int) -> None:
    wall, cpu = bare(min(count, _SAMPLE))
    few = reading_of(folder, 1)
    print(
        f"{count:,} jobs, each `{' '.join(PROGRAM)}`; in a loop {wall:.2f} ms each, {cpu:.2f} ms of processor\n"
    )
    print(f"{'at once':<10}{'run':>10}{'over fork+exec':>18}{'of processor':>16}")
    for at_once in (1, 2):
        many = reading_of(folder, count, at_once)
        seconds = many.seconds - few.seconds
        over, busy = seconds * 1000 / count - wall, (many.cpu - few.cpu) * 1000 / count - cpu
        verdict = "met" if over <= MOST_MS else "missed"
        print(f"{at_once:<10}{seconds:>8.1f} s{over:>15.2f} ms{busy:>13.2f} ms  ≤ {MOST_MS:g} {verdict}")


def time_much(folder: Path, megabytes: int) -> None:
    size = megabytes * 1_000_000
    with (folder / "bare").open("wb") as out:
        began = time.perf_counter()
        subprocess.run(["head", "-c", str(size), "/dev/zero"], stdout=out, check=True)
        bare = time.perf_counter() - began
    (folder / "much.yaml").write_text(f"name: much\njobs:\n  a: {{run: [head, -c, {size}, /dev/zero]}}\n")
    (folder / "none.yaml").write_text("name: none\njobs:\n  a: {run: ['true']}\n")
    base = run_once(command(folder, "none.yaml"), timeout=60, watch=True)
    much = run_once(command(folder, "much.yaml"), timeout=600, watch=True)
    print(
        f"\none job that prints {megabytes:,} MB: {much.seconds:.1f} s; the program alone into a file: {bare:.1f} s"
    )
    print(f"peak memory {much.peak / 1e6:.0f} MB; with a job that prints nothing {base.peak / 1e6:.0f} MB")


def bare(count: int) -> tuple[float, float]:
    """Return the milliseconds of starting the program and waiting for it, and those of the processor in them."""
    began, busy = time.perf_counter(), processor()
    for _ in range(count):
        subprocess.Popen(PROGRAM, stdin=subprocess.DEVNULL).wait()
    return (time.perf_counter() - began) * 1000 / count, (processor() - busy) * 1000 / count


def processor() -> float:
    """Return the seconds of processor time of this process and of the children it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def reading_of(folder: Path, count: int, at_once: int = 1) -> Reading:
    program = ", ".join(f'"{word}"' for word in PROGRAM)
    jobs = "\n".join(f"  j{number}: {{run: [{program}]}}" for number in range(count))
    (folder / "many.yaml").write_text(f"name: many\njobs:\n{jobs}\n")
    return run_once(command(folder, "many.yaml", "--jobs", str(at_once)), timeout=600)


def command(folder: Path, file: str, *more: str) -> list[str | Path]:
    return [installed_mprun(), "run", folder / file, "--quiet", *more]


if __name__ == "__main__":
    main()
