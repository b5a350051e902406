"""The comparison behind docs/speed.md: it runs, and shows what it has kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
COMPARE = ROOT / "benchmarks" / "compare.py"
ONE_OF_EACH_KIND = (
    "one more array of 100 KB",
    "numbers, 1×1",
    "numbers, chain of 5 stages",
    "items of 2 ms, 4 workers",
    "items of 5 ms, 64 workers",
    "lone item",
    "mprun --help",
    "memory of 1 million",
)


def compare(*words: str | Path) -> str:
    """Run the comparison and return what it prints; what it says meanwhile is shown where it fails."""
    done = subprocess.run(
        [sys.executable, COMPARE, *words],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def names_of_rows(table: str) -> list[str]:
    """The first cells of a table in Markdown, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]]


@pytest.mark.slow
def test_it_runs_end_to_end_and_shows_again_what_it_has_kept(tmp_path: Path) -> None:
    kept, plot = tmp_path / "kept.json", tmp_path / "plot.svg"

    printed = compare(
        *("--share", "0.002", "--rounds", "1", "--markdown", "--results", kept, "--plot", plot),
        *("--rows", *ONE_OF_EACH_KIND),
    )

    figures = json.loads(kept.read_text(encoding="utf-8"))
    assert len(ONE_OF_EACH_KIND) == len(names_of_rows(printed)) == len(figures)
    assert [] == [row for row, found in figures.items() if not found.get("mprun leased")]
    assert "svg" == ElementTree.parse(plot).getroot().tag.rpartition("}")[2]
    assert printed == compare("--show", "--results", kept, "--markdown")
