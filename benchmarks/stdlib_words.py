"""What a second process is worth: stdlib_words.yaml with two tokenizers against the script of one process.

python benchmarks/stdlib_words.py --rounds 5
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from alternate import CHECKOUT, Command, installed_mprun, medians

SCRIPT = "python stdlib_words.py"
WORKFLOW = "mprun stdlib_words.yaml"

MOST = 0.60
"""The share of the script's time that the workflow may take on two cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time stdlib_words.yaml against its single-process script.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        times = medians(commands(), rounds=rounds, home=Path(folder))
    print_table(times, rounds)


def commands() -> dict[str, Command]:
    workflows = CHECKOUT / "workflows"
    return {
        SCRIPT: (sys.executable, workflows / "stdlib_words.py"),
        WORKFLOW: (installed_mprun(), "run", workflows / "stdlib_words.yaml"),
    }


def print_table(times: dict[str, float], rounds: int) -> None:
    share = times[WORKFLOW] / times[SCRIPT]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, medians of {rounds} rounds in turn\n")
    for name, seconds in times.items():
        print(f"{name:<28}{seconds:>8.2f} s")
    print(f"\nshare {share:.0%}, target ≤ {MOST:.0%}: {'met' if share <= MOST else 'missed'}")


if __name__ == "__main__":
    main()
