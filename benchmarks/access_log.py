"""access_log.yaml against the script of one's own, by Pool.imap: time, and processor time, in turn.

python benchmarks/access_log.py --lines 1000000 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from alternate import CHECKOUT, Command, installed_mprun
from measure import Reading, run_once

SCRIPT = "Pool.imap(chunksize=1000)"
WORKFLOW = "access_log.yaml"

MOST_CPU = 1.3
"""The times of the script's processor time that the workflow may take; of its time, 1."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time access_log.yaml against a script of one's own.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--lines", type=int, default=1_000_000, help="how many lines the log has")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MPRUN_HOME"] = str(folder / "home")
        make_log(folder, given.lines)
        readings: dict[str, list[Reading]] = {SCRIPT: [], WORKFLOW: []}
        for turn in range(given.rounds + 1):
            for label, command in commands(folder, turn).items():
                reading = run_once(command, timeout=600)
                readings[label] += [reading] if turn else []  # the first round warms up
    print_table(readings, given.rounds, given.lines)


def make_log(folder: Path, lines: int) -> None:
    write = f"import access_log_sample; access_log_sample.write_sample({str(folder / 'access.log.gz')!r}, {lines})"
    subprocess.run([sys.executable, "-c", write], cwd=CHECKOUT / "workflows", check=True)


def commands(folder: Path, turn: int) -> dict[str, Command]:
    log = folder / "access.log.gz"
    script, workflow = CHECKOUT / "benchmarks/plain/access_log.py", CHECKOUT / "workflows/access_log.yaml"
    outputs = [folder / f"{label}-{turn}" for label in ("script", "workflow")]
    params = ("--param", f"log={log}", "--param", f"folder={outputs[1]}")
    return {
        SCRIPT: (sys.executable, script, "--log", log, "--folder", outputs[0]),
        WORKFLOW: (installed_mprun(), "run", workflow, "-q", *params),
    }


def print_table(readings: dict[str, list[Reading]], rounds: int, lines: int) -> None:
    print(f"{lines:,} lines, {os.cpu_count()} cores, medians of {rounds} rounds in turn\n")
    seconds = {name: statistics.median(each.seconds for each in found) for name, found in readings.items()}
    cpu = {name: statistics.median(each.cpu for each in found) for name, found in readings.items()}
    for name in readings:
        print(f"{name:<28}{seconds[name]:>8.2f} s{cpu[name]:>8.2f} s of processors")
    time, processors = seconds[WORKFLOW] / seconds[SCRIPT], cpu[WORKFLOW] / cpu[SCRIPT]
    met = time <= 1 and processors <= MOST_CPU
    print(
        f"\n{time:.2f} × the time, target ≤ 1; {processors:.2f} × the processors, target ≤ {MOST_CPU}: ",
        end="",
    )
    print("met" if met else "missed")


if __name__ == "__main__":
    main()
