"""The page of a run in a real browser: without network and script, light and dark, wide and narrow."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
Visitor = Callable[..., Any]

EVIL = "<script>alert(1)</script>"
SHOP = """\
name: 包子铺
queues: {包子: {maxsize: 50}, 盘子: {maxsize: 20}}
stages:
  和面: {run: "shop:make", to: 包子}
  蒸包子: {run: "shop:steam", from: 包子, to: 盘子, count: 2, on_error: dead_letter}
  吃: {run: "shop:eat", from: 盘子}
limits: {max_errors: 1000}
"""
HANDLERS = f"""\
import time

def make():
    for n in range(400):
        yield "{EVIL}" if n % 50 == 7 else n

def steam(item):
    time.sleep(0.002)
    if isinstance(item, str):
        raise ValueError(f"no bun: {{item}}")
    return item

def eat(item):
    time.sleep(0.008)
"""
CI = """\
name: ci
jobs:
  prepare: {run: sleep 0.2}
  包子: {needs: prepare, run: sleep 0.6}
  test:
    needs: prepare
    strategy: {matrix: {n: [1, 2, 3, 4, 5, 6]}}
    run: 'sleep 0.1'
  deploy: {needs: [包子, test], run: 'exit 1'}
"""
CHARTS = {"graph": 1, "rate": 1, "stage-rate": 3, "fill": 2, "heat": 4, "histogram": 3, "shares": 3}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, run_mprun: RunMprun) -> Path:
    """A folder with the pages of a run of stages and of one of jobs, and the reports of both."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "shop.py").write_text(HANDLERS, encoding="utf-8")
    for name, text, code in (("shop", SHOP, 0), ("ci", CI, 1)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        files = ("--html", f"{name}.html", "--report", f"{name}.json")
        done = run_mprun(f"{name}.yaml", "-q", *files, cwd=folder, env={"MPRUN_HOME": str(folder / "home")})
        assert code == done.returncode, done.stderr
    return folder


def address(pages: Path, name: str) -> str:
    return (pages / f"{name}.html").as_uri()


@pytest.mark.parametrize("name", ["shop", "ci"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_asks_for_nothing_complains_of_nothing_and_is_never_wider_than_the_screen(
    pages: Path, visit: Visitor, name: str, width: int, dark: bool
) -> None:
    seen = visit(address(pages, name), width=width, dark=dark)

    assert ([], []) == (seen.requests, seen.complaints)
    assert width == seen.page.evaluate("document.documentElement.scrollWidth")
    assert seen.page.locator("h1").first.is_visible()


def test_all_charts_are_there(pages: Path, visit: Visitor) -> None:
    page = visit(address(pages, "shop")).page

    found = {kind: page.locator(f'svg[data-chart="{kind}"]').count() for kind in CHARTS}

    assert CHARTS == found
    assert sum(CHARTS.values()) == page.locator("svg[data-chart]").count()


def test_texts_of_the_user_are_shown_as_they_are(pages: Path, visit: Visitor) -> None:
    page = visit(address(pages, "shop"), scripts=True).page
    page.locator("#run-failures summary").first.click()

    assert page.locator("#run-failures li", has_text=EVIL).first.is_visible()
    assert page.locator("#run-graph text", has_text="蒸包子").first.is_visible()
    assert 0 == page.locator("script").count()


def test_the_numbers_are_those_of_the_report(pages: Path, visit: Visitor) -> None:
    report = json.loads((pages / "shop.json").read_text(encoding="utf-8"))
    page = visit(address(pages, "shop")).page

    rows = [row.locator("td").all_inner_texts() for row in page.locator("#run-stages tbody tr").all()]
    shown = {row[0]: [int(cell.replace(",", "")) for cell in row[1:6]] for row in rows}
    columns = ("workers", "received", "sent", "done", "failed")
    assert {s["name"]: [s[key] for key in columns] for s in report["stages"]} == shown


def test_the_area_under_the_curve_is_what_was_done(pages: Path, visit: Visitor) -> None:
    report = json.loads((pages / "shop.json").read_text(encoding="utf-8"))
    chart = visit(address(pages, "shop")).page.locator('svg[data-chart="rate"]')
    seconds, top, unit = (float(chart.get_attribute(f"data-{key}")) for key in ("seconds", "top", "unit"))
    across = float(chart.locator("svg").get_attribute("viewBox").split()[2])
    path = chart.locator("path[data-curve]").get_attribute("d")

    start, steps = re.fullmatch(r"M0 (\d+)(.*)", path).groups()
    height, area = float(start), 0.0
    for letter, amount in re.findall(r"([hv])(-?\d+)", steps):
        height += float(amount) * (letter == "v")
        area += float(amount) * (letter == "h") * (unit - height)

    done = next(stage["done"] for stage in report["stages"] if stage["name"] == "吃")
    assert done == pytest.approx(area / unit * top * seconds / across, rel=0.01)


def test_a_row_of_the_gantt_chart_is_a_job_and_its_bar_is_where_the_job_ran(
    pages: Path, visit: Visitor
) -> None:
    report = json.loads((pages / "ci.json").read_text(encoding="utf-8"))
    page = visit(address(pages, "ci")).page
    rows = page.locator("#run-gantt tr[data-job]")

    jobs = {job["job"]: job for job in report["jobs"]["jobs"]}
    names = [row.get_attribute("data-job") for row in rows.all()]
    assert list(jobs) == names
    critical = page.locator("#run-gantt tr[data-critical]")
    assert report["jobs"]["critical_path"] == [row.get_attribute("data-job") for row in critical.all()]
    left, wide = _place(page, "包子")
    job = jobs["包子"]
    assert job["started_after"] / report["seconds"] == pytest.approx(left, abs=0.02)
    assert (job["ended_after"] - job["started_after"]) / report["seconds"] == pytest.approx(wide, abs=0.02)


def _place(page: Any, job: str) -> tuple[float, float]:
    row = page.locator(f'#run-gantt tr[data-job="{job}"]')
    picture = row.locator("svg").bounding_box()
    bar = row.locator("rect").nth(1).bounding_box()
    return (bar["x"] - picture["x"]) / picture["width"], bar["width"] / picture["width"]


def test_a_page_is_dark_where_the_screen_is(pages: Path, visit: Visitor) -> None:
    shades = {}
    for dark in (False, True):
        seen = visit(address(pages, "shop"), dark=dark, scripts=True)
        shades[dark] = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert {False: "rgb(255, 255, 255)", True: "rgb(21, 24, 28)"} == shades
