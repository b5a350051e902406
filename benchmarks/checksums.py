"""What starting a program costs: sha256sum of many small files, a call for each, against `xargs -P2 -n1`.

python benchmarks/checksums.py --files 10000 --rounds 3

The third is workflows/checksums.yaml, whose calls take 64 files each. All write the same lines, but for their order.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from alternate import CHECKOUT, Command, installed_mprun, medians

BY_XARGS = "xargs -P2 -n1 sha256sum"
ONE_BY_ONE = "a call for each"
SHIPPED = "checksums.yaml"

MOST = 1.3
"""The times of xargs that a call for each may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time checksums of many files against xargs.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--files", type=int, default=10_000, help="how many files there are")
    parser.add_argument(
        "--prefix", default="", help="what to run each by, such as 'chrt -r 5' on a busy machine"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder / "files", given.files)
        each = {label: (*given.prefix.split(), *command) for label, command in commands(folder).items()}
        times = medians(each, rounds=given.rounds, home=folder / "home")
        check(folder)
    print_table(times, given.rounds, given.files)


def make_files(folder: Path, count: int) -> None:
    """Make files of 1 to 40 KB, the same each time."""
    chance = random.Random(1)
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}").write_bytes(chance.randbytes(chance.randint(1_000, 40_000)))


def commands(folder: Path) -> dict[str, Command]:
    mprun, shipped = installed_mprun(), CHECKOUT / "workflows" / "checksums.yaml"
    one_by_one = folder / "one-by-one.yaml"
    text = shipped.read_text(encoding="utf-8")
    left_out = ("batch:", "order:")  # xargs keeps no order either
    lines = [line for line in text.splitlines(True) if not line.strip().startswith(left_out)]
    one_by_one.write_text("".join(lines), encoding="utf-8")
    files, xargs = (
        folder / "files",
        f"find {folder}/files -type f | sort | xargs -P2 -n1 sha256sum > {folder}/xargs.txt",
    )

    def run(workflow: Path) -> Command:
        sums = folder / f"{workflow.stem}.txt"
        return (mprun, "run", workflow, "-q", "--param", f"files={files}/*", "--param", f"sums={sums}")

    return {BY_XARGS: ("sh", "-c", xargs), ONE_BY_ONE: run(one_by_one), SHIPPED: run(shipped)}


def check(folder: Path) -> None:
    """Leave if they have not written the same: a time of something else means nothing."""
    made = [
        sorted((folder / f"{name}.txt").read_bytes().splitlines())
        for name in ("xargs", "one-by-one", "checksums")
    ]
    if made[0] != made[1] or made[1] != made[2]:
        sys.exit("the sums differ")


def print_table(times: dict[str, float], rounds: int, files: int) -> None:
    print(f"{files:,} files, {os.cpu_count()} cores, medians of {rounds} rounds in turn\n")
    for name, seconds in times.items():
        print(f"{name:<28}{seconds:>8.2f} s{seconds / times[BY_XARGS]:>8.2f} ×")
    ratio = times[ONE_BY_ONE] / times[BY_XARGS]
    print(f"\n{ONE_BY_ONE}: {ratio:.2f} ×, target ≤ {MOST}: {'met' if ratio <= MOST else 'missed'}")


if __name__ == "__main__":
    main()
