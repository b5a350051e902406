"""What it costs that workers are born and die, and that a run waits: against processes by hand.

python benchmarks/births.py --workers 1000 --rounds 7     both in turn, by the clock and in processor time
python benchmarks/births.py --chain 150                   one item through so many stages
python benchmarks/births.py --idle 60                     what a run takes that has nothing to do

By hand `--workers` are `multiprocessing.Process` objects that are forked, get one thing from a queue, and are joined.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from alternate import Command, installed_mprun

HANDLERS = """\
import time


def one():
    yield 1


def pass_on(item):
    return item


def take(item):
    pass


def wait(seconds):
    time.sleep(seconds)
    yield 1
"""

BY_HAND = """\
import multiprocessing, sys

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    queue = fork.JoinableQueue()
    workers = [fork.Process(target=queue.get) for _ in range(int(sys.argv[1]))]
    for worker in workers:
        worker.start()
    for _ in workers:
        queue.put(None)
    for worker in workers:
        worker.join()
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int)
    parser.add_argument("--chain", type=int)
    parser.add_argument("--idle", type=float)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "births.py").write_text(HANDLERS)
        (folder / "by_hand.py").write_text(BY_HAND)
        if asked.workers:
            by_hand = (sys.executable, folder / "by_hand.py", str(asked.workers))
            compare({"by hand": by_hand, "mprun": workers(folder, asked.workers)}, asked.rounds, folder)
        if asked.chain:
            compare({"mprun": chain(folder, asked.chain)}, asked.rounds, folder)
        if asked.idle:
            print(f"idle: {100 * idle(folder, asked.idle):.3f} % of a processor over all processes")


def workers(folder: Path, count: int) -> Command:
    """Write a workflow of so many workers that get one item in all."""
    stages = ['one: {run: "births:one", to: q}', f'take: {{run: "births:take", count: {count}, from: q}}']
    return run_of(folder, stages)


def chain(folder: Path, count: int) -> Command:
    """Write a workflow of so many stages in a row."""
    middle = [f's{n}: {{run: "births:pass_on", from: q{n}, to: q{n + 1}}}' for n in range(1, count - 1)]
    ends = ('s0: {run: "births:one", to: q1}', f'last: {{run: "births:take", from: q{count - 1}}}')
    return run_of(folder, [ends[0], *middle, ends[1]])


def run_of(folder: Path, stages: list[str]) -> Command:
    (folder / "births.yaml").write_text("name: births\nstages:\n" + "".join(f"  {each}\n" for each in stages))
    return (installed_mprun(), "run", "--quiet", folder / "births.yaml")


def compare(commands: Mapping[str, Command], rounds: int, home: Path) -> None:
    """Run them in turn and print medians, as multiples of the first."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(measured(lambda command=command: start(command, home).wait()))  # type: ignore[misc]
    first = [statistics.median(each) for each in zip(*next(iter(found.values())), strict=True)]
    for name, each in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*each, strict=True))
        print(f"{name:<10} {wall:7.2f} s  {wall / first[0]:5.2f}    CPU {cpu:7.2f} s  {cpu / first[1]:5.2f}")


def start(command: Command, home: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "MPRUN_HOME": str(home)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measured(call: Callable[[], int]) -> tuple[float, float]:
    """Return the seconds that a command takes, by the clock and of processors; leave if it fails."""
    before, began = spent(), time.perf_counter()
    if call():
        sys.exit("a command has failed")
    return time.perf_counter() - began, spent() - before


def spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def idle(folder: Path, seconds: float) -> float:
    """Let a run wait for an item, and return the share of a processor that all of its processes take meanwhile."""
    lasts = f'wait: {{run: "births:wait", with: {{seconds: {seconds + 30}}}, to: q}}'
    running = start(run_of(folder, [lasts, 'take: {run: "births:take", count: 2, from: q}']), folder)
    time.sleep(15)  # until it has come to rest
    before = sum(map(ticks, tree(running.pid)))
    time.sleep(seconds)
    took = sum(map(ticks, tree(running.pid))) - before
    running.terminate()
    running.wait()
    return took / os.sysconf("SC_CLK_TCK") / seconds


def tree(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from tree(int(child))


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    main()
