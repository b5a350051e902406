"""How light mprun is on its feet: whole processes, as multiples of `python -c pass` in the same run.

python benchmarks/light.py --rounds 30
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from alternate import CHECKOUT, Command, installed_mprun, medians

PASS = "python -c pass"

# The most that each may take, in times of `python -c pass`.
TARGETS = {
    "mprun --help": 4,
    "mprun validate baozi.yaml": 10,
    "mprun run, one item": 18,
}

ONE_ITEM = """\
name: one_item
queues:
  between: {maxsize: 1}
stages:
  producer: {run: "one_item:make", to: between}
  consumer: {run: "one_item:take", from: between}
"""

ONE_ITEM_HANDLERS = """\
def make():
    yield 1


def take(item):
    pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time mprun's short commands against `python -c pass`.")
    parser.add_argument("--rounds", type=int, default=20, help="how often each command is run")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        times = medians(commands(Path(folder)), rounds=rounds, home=Path(folder))
    print_table(times, rounds)


def commands(folder: Path) -> dict[str, Command]:
    """Write the workflow of one item into `folder` and return what is timed, by name."""
    mprun = installed_mprun()
    workflow = folder / "one_item.yaml"
    workflow.write_text(ONE_ITEM)
    (folder / "one_item.py").write_text(ONE_ITEM_HANDLERS)
    return {
        PASS: (sys.executable, "-c", "pass"),
        "mprun --help": (mprun, "--help"),
        "mprun validate baozi.yaml": (mprun, "validate", CHECKOUT / "workflows/baozi.yaml"),
        "mprun run, one item": (mprun, "run", workflow),
    }


def print_table(times: dict[str, float], rounds: int) -> None:
    print(f"Python {sys.version.split()[0]}, medians of {rounds} rounds, each command in turn\n")
    print(f"{'command':<28}{'median':>12}{'ratio':>8}{'target':>9}")
    for name, seconds in times.items():
        ratio = seconds / times[PASS]
        target = TARGETS.get(name)
        verdict = (
            "" if target is None else f"{'≤ ' + str(target):>9}  {'met' if ratio <= target else 'missed'}"
        )
        print(f"{name:<28}{seconds * 1000:>9.1f} ms{ratio:>8.1f}{verdict}")


if __name__ == "__main__":
    main()
