"""mprun against what one would write or use instead: whole processes, the same handlers, each in turn.

    rows × contenders ──► run_once, in rounds ──► medians ──► one table, and a plot

python benchmarks/compare.py                          all of it; takes about an hour
python benchmarks/compare.py --quick                  a few minutes: it shows that all runs, its figures mean little
python benchmarks/compare.py --rows numbers bytes     rows whose names begin so

Who: contenders.py. What: rows.py and workloads.py. How it is run: running.py and measure.py. A row's runs are as
long as it takes to be past the start: a slow contender carries fewer items, and rates are compared, or costs of one.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from alternate import warn_without_bytecode
from contenders import missing
from plot import write_plot
from row import Row, Setting
from rows import rows
from running import Kept, measure
from table import as_markdown, as_text, cells, summary, write_page

from runner.spec.resources import QueueSpec

QUICK = 0.1


def main() -> None:
    options = _options()
    if options.list:
        print(*(row.name for row in rows()), sep="\n")
        return
    kept = Kept.read(options.results)
    if not options.show:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
        with tempfile.TemporaryDirectory() as folder:
            run_all(options, kept, Path(folder))
    results = kept.results(rows())
    known = [result for result in results if result.figures]
    print(as_markdown(known) if options.markdown else as_text(known))
    print(f"\n{summary(known)}")
    if options.plot:
        write_plot(options.plot, results)
    if options.page:
        write_page(options.page, kept.about, results)


def run_all(options: argparse.Namespace, kept: Kept, folder: Path) -> None:
    """Measure the rows that are asked for, and keep each as soon as it is there."""
    os.environ["MPRUN_HOME"] = str(folder / "home")
    setting = Setting(_maxsize(options), folder, options.share or (QUICK if options.quick else 1.0))
    rounds = options.rounds or (1 if options.quick else 5)
    warn_without_bytecode()
    kept.about = _about(setting, rounds)
    _say(kept.about)
    for name in missing():
        _say(f"{name}: not installed, left out")
    for row in _chosen(options.rows):
        began = time.perf_counter()
        result = measure(row, setting, rounds)
        kept.add(result)
        _say(f"[{time.perf_counter() - began:.0f} s]  " + "  ".join(cell for cell in cells(result) if cell))


def _about(setting: Setting, rounds: int) -> str:
    share = (
        ""
        if setting.share == 1
        else f", {setting.share:g} of the items (the figures of so short runs mean little)"
    )
    return (
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, queues of {setting.maxsize:,} items, "
        f"medians of {rounds} rounds{share}."
    )


def _maxsize(options: argparse.Namespace) -> int:
    return options.maxsize or QueueSpec("").maxsize or 1000


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _chosen(beginnings: Sequence[str]) -> list[Row]:
    present = [row for row in rows() if row.needs is None or importlib.util.find_spec(row.needs) is not None]
    chosen = [row for row in present if not beginnings or row.name.startswith(tuple(beginnings))]
    if not chosen:
        names = ", ".join(row.name for row in present)
        sys.exit(f"no row begins with {' or '.join(beginnings)}; rows: {names}")
    return chosen


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare mprun with what one would use instead.")
    parser.add_argument("--rounds", type=int, help="how often each is run (default 5; 1 if quick)")
    parser.add_argument(
        "--rows", nargs="*", default=[], metavar="BEGINNING", help="only rows whose names begin so"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:g} of the items")
    parser.add_argument("--share", type=float, metavar="SHARE", help="another share of the items")
    parser.add_argument(
        "--maxsize", type=int, help="the bound of each queue (default: that of a file that says nothing)"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="write a plot")
    parser.add_argument(
        "--page", type=Path, metavar="FILE.md", help="write the table into a page, between its two marks"
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE.json",
        help="keep what is measured, row by row; rows that are not run now are shown as they are there",
    )
    parser.add_argument("--show", action="store_true", help="run nothing, show what --results has")
    parser.add_argument("--list", action="store_true", help="name the rows")
    return parser.parse_args()


if __name__ == "__main__":
    main()
