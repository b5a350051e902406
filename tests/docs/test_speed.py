"""The comparison behind docs/speed.md: it runs, and the page's table has each of its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
COMPARE = ROOT / "benchmarks" / "compare.py"
PAGE = ROOT / "docs" / "speed.md"
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


def table_of(page: str) -> str:
    """What stands between the two marks of a page."""
    return page.partition("<!-- compare:begin -->")[2].partition("<!-- compare:end -->")[0]


def test_the_table_of_the_page_has_each_row_in_its_order() -> None:
    assert compare("--list").splitlines() == names_of_rows(table_of(PAGE.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_it_runs_end_to_end_and_shows_again_what_it_has_kept(tmp_path: Path) -> None:
    kept, plot = tmp_path / "kept.json", tmp_path / "plot.svg"

    printed = compare(
        *("--share", "0.002", "--rounds", "1", "--markdown", "--results", kept, "--plot", plot),
        *("--rows", *ONE_OF_EACH_KIND),
    )

    figures = json.loads(kept.read_text(encoding="utf-8"))["figures"]
    assert len(ONE_OF_EACH_KIND) == len(names_of_rows(printed)) == len(figures)
    assert [] == [row for row, found in figures.items() if not found.get("mprun leased")]
    assert "svg" == ElementTree.parse(plot).getroot().tag.rpartition("}")[2]
    assert printed == compare("--show", "--results", kept, "--markdown")


def test_all_rows_are_written_between_the_marks_of_a_page(tmp_path: Path) -> None:
    kept, page = tmp_path / "kept.json", tmp_path / "page.md"
    kept.write_text(
        '{"about": "Two cores.", "figures": {"lone item": {"by hand": {"p50": 40, "p99": 2000}}}}'
    )
    page.write_text("before\n<!-- compare:begin -->\nold\n<!-- compare:end -->\nafter\n")

    compare("--show", "--results", kept, "--page", page)

    written = page.read_text(encoding="utf-8")
    assert compare("--list").splitlines() == names_of_rows(table_of(written))
    assert "| lone item |  | 40 µs, 2 ms |  |  |  | not measured (≤ 1.3) |" in written.splitlines()
    assert written.startswith("before\n<!-- compare:begin -->\n\nTwo cores. 0 of ")
    assert written.endswith("|\n\n<!-- compare:end -->\nafter\n")
