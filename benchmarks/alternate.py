"""Whole processes timed in turn, so that whatever slows the machine slows all of them alike.

round 1: a b c   round 2: a b c   …   ──► the median of each
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

Command = Sequence[str | Path]

CHECKOUT = Path(__file__).resolve().parent.parent


def medians(commands: Mapping[str, Command], *, rounds: int, home: Path) -> dict[str, float]:
    """Return the median seconds of each command, over `rounds` rounds after one that only warms up."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            seconds = time_once(command, home)
            if turn:
                times[name].append(seconds)
    return {name: statistics.median(each) for name, each in times.items()}


def time_once(command: Command, home: Path) -> float:
    """Run a command to its end and return the seconds; leave if it fails, for its time means nothing."""
    environment = {**os.environ, "MPRUN_HOME": str(home)}
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(
            f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}"
        )
    return seconds


def installed_mprun() -> Path:
    """Return the `mprun` of the interpreter that runs this, with a warning where its times would mislead."""
    found = shutil.which("mprun", path=sysconfig.get_path("scripts"))
    if found is None:
        sys.exit(f"mprun is not installed for {sys.executable}: pip install .")
    warn_without_bytecode()
    return Path(found)


def warn_without_bytecode() -> None:
    """Say so where each start compiles mprun anew: what is measured then is the compiler."""
    package = importlib.util.find_spec("runner")
    compiled = package and package.origin and Path(importlib.util.cache_from_source(package.origin)).exists()
    if not compiled and sys.dont_write_bytecode:
        print(
            "warning: mprun has no compiled files and PYTHONDONTWRITEBYTECODE forbids to write them.\n"
            "Times are too long. Unset it, or install mprun with `pip install .`, without `-e`.",
            file=sys.stderr,
        )
