"""Coroutines and threads of one worker that wait for 100 ms answers, against the ideal: all of them wait at once.

Each is run at two lengths in turn, and what counts is the difference: what a start costs is in neither.

python benchmarks/concurrency.py --rounds 5
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from alternate import Command, installed_mprun, medians

ANSWER = 0.1
TARGET = 1.05
"""The most that either may take, in times of the ideal."""
LENGTHS = (10, 50)
"""How often all that are in hand at once are answered, in a short run and in a long one."""

HANDLERS = f"""\
import asyncio
import time


def make(count):
    yield from range(count)


async def ask(item):
    await asyncio.sleep({ANSWER})


def call(item):
    time.sleep({ANSWER})
"""

WAYS = {
    "64 coroutines": (64, "{run: 'waits:ask', concurrency: 64, from: q}"),
    "16 threads": (16, "{run: 'waits:call', threads: 16, from: q}"),
}
"""How many items are in hand at once, and the stage that has them."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time waits side by side in one worker against the ideal.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each workflow is run")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        times = medians(commands(Path(folder)), rounds=rounds, home=Path(folder))
    print(f"Python {sys.version.split()[0]}, medians of {rounds} rounds, each workflow in turn\n")
    ideal = (LENGTHS[1] - LENGTHS[0]) * ANSWER
    for way in WAYS:
        short, long = (times[f"{way}, {length} answers"] for length in LENGTHS)
        ratio = (long - short) / ideal
        print(f"{way:<16}{ratio:>7.3f} × ideal  ≤ {TARGET}  {'met' if ratio <= TARGET else 'missed'}")


def commands(folder: Path) -> dict[str, Command]:
    """Write the workflows into `folder` and return what is timed, by name."""
    (folder / "waits.py").write_text(HANDLERS)
    found: dict[str, Command] = {}
    for way, (at_once, stage) in WAYS.items():
        for length in LENGTHS:
            name = f"{way}, {length} answers"
            workflow = folder / f"{name.replace(' ', '_').replace(',', '')}.yaml"
            workflow.write_text(
                f"name: waits\nstages:\n  make: {{run: 'waits:make', with: {{count: {at_once * length}}}, to: q}}\n"
                f"  wait: {stage}\n"
            )
            found[name] = (installed_mprun(), "run", workflow)
    return found


if __name__ == "__main__":
    main()
