"""`mprun report`, `mprun plot` and `mprun run --html`: pages and pictures of runs, as files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from record_homes import recorded

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
Mprun = Callable[..., Any]

SHOP = """\
name: 包子 shop
queues:
  orders: {maxsize: 10}
stages:
  lister: {run: "shop:orders", to: orders}
  worker: {run: "shop:handle", from: orders, on_error: dead_letter, names: [neo]}
limits: {max_errors: 100}
"""
HANDLERS = """\
import shutil, time

def orders():
    yield from range(60)

def handle(order, worker):
    time.sleep(0.01)
    if order % 30 == 3:
        raise ValueError(f"<script>alert({order})</script>")

def remove():
    shutil.rmtree("gone")
"""
CI = """\
name: ci
jobs:
  build: {steps: [{run: echo built}]}
  test: {needs: build, steps: [{run: "echo '<b>tested</b>'; exit 3"}]}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def past(home: Path, run_mprun: RunMprun) -> Mprun:
    """A home with a run of stages in which two items failed, one of jobs, and one that was killed."""
    (home / "shop.yaml").write_text(SHOP, encoding="utf-8")
    (home / "shop.py").write_text(HANDLERS)
    (home / "ci.yaml").write_text(CI)

    def mprun(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return run_mprun(*arguments, cwd=home, env={"MPRUN_HOME": str(home / ".mprun")})

    assert 0 == mprun("shop.yaml", "-q").returncode
    assert 1 == mprun("ci.yaml", "-q").returncode
    recorded(home / ".mprun", "dead0001", workflow="killed", outcome=None)
    return mprun


def test_a_report_is_a_page_named_by_its_workflow_and_run(past: Mprun, home: Path) -> None:
    done = past("report", "包子 shop")

    found = re.fullmatch(r"wrote the page of run (\w+) to '(包子-shop-\w+\.html)'\n", done.stdout)
    assert found, done
    page = (home / found[2]).read_text(encoding="utf-8")
    assert f"包子-shop-{found[1]}.html" == found[2]
    assert "done in" in page
    assert "&lt;script&gt;alert(3)" in page
    assert "<script" not in page


def test_a_page_takes_the_place_of_an_older_one_and_of_nothing_else(past: Mprun, home: Path) -> None:
    (home / "notes.html").write_text("<!DOCTYPE html>\n<p>my notes</p>")
    (home / "empty.html").touch()

    for name in ("mine.html", "mine.html", "empty.html"):
        assert 0 == past("report", "latest", "-o", name).returncode
    refused = past("report", "latest", "-o", "notes.html")

    assert 2 == refused.returncode
    assert "'notes.html' is there, and no page or plot of mprun's" in refused.stderr
    assert "<!DOCTYPE html>\n<p>my notes</p>" == (home / "notes.html").read_text()
    assert 0 == past("plot", "包子 shop", "rate", "-o", "mine.html").returncode


def test_a_page_goes_to_standard_output_where_that_is_asked_for(past: Mprun) -> None:
    done = past("report", "latest", "-o", "-")

    assert done.stdout.startswith("<!DOCTYPE html>")
    assert done.stdout.endswith("</html>\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "none"), "there is no run 'none'"),
        (("report", "latest", "-o", "nowhere/x.html"), "there is no folder 'nowhere'"),
        (("report", "latest", "-o", "."), "is a folder"),
        (("report", "latest", "-o", "-", "--open"), "--open shows a file"),
        (("plot", "ci", "rate", "-o", "x.svg"), "is one of jobs"),
        (("run", "shop.yaml", "--html", "shop.py"), "--html: 'shop.py' is there"),
        (("run", "shop.yaml", "--html", "-"), "standard output belongs to the handlers"),
        (("run", "shop.yaml", "--html", "x.html", "--report", "x.html"), "name the same file"),
    ],
)
def test_what_can_not_be_written_is_refused_before_anything_else(
    past: Mprun, arguments: tuple[str, ...], words: str
) -> None:
    refused = past(*arguments)

    assert 2 == refused.returncode
    assert words in refused.stderr


def test_the_page_of_a_killed_run_says_so_and_how_to_go_on(past: Mprun) -> None:
    page = past("report", "killed", "-o", "-").stdout

    assert "killed after" in page
    assert "Its runner was killed" in page
    assert "<code>mprun rerun dead0001</code>" in page


def test_the_page_of_jobs_has_their_bars_and_the_last_words_of_those_that_failed(past: Mprun) -> None:
    page = past("report", "ci", "-o", "-").stdout

    assert ["build", "test"] == re.findall(r'data-job="(\w+)"', page)
    assert "&lt;b&gt;tested&lt;/b&gt;" in page


def test_each_plot_is_an_svg_file(past: Mprun, home: Path) -> None:
    for what in ("rate", "fill", "busy", "workers", "latency"):
        done = past("plot", "包子 shop", what, "-o", f"{what}.svg")

        assert f"wrote '{what}.svg'\n" == done.stdout, done
        root = ElementTree.parse(home / f"{what}.svg").getroot()
        assert "{http://www.w3.org/2000/svg}svg" == root.tag


def test_a_plot_of_what_a_run_has_not_says_so(past: Mprun) -> None:
    done = past("plot", "killed", "latency", "-o", "x.svg")

    assert 1 == done.returncode
    assert "no times of items were measured" in done.stderr


def test_a_run_writes_its_page_at_its_end_also_where_that_is_bad(past: Mprun, home: Path) -> None:
    done = past("ci.yaml", "-q", "--html", "end.html")

    assert 1 == done.returncode
    page = (home / "end.html").read_text(encoding="utf-8")
    assert "failed after" in page
    assert "When each job ran" in page


def test_a_run_without_a_record_has_a_page_without_curves(past: Mprun, home: Path) -> None:
    assert 0 == past("shop.yaml", "-q", "--no-record", "--html", "bare.html").returncode

    page = (home / "bare.html").read_text(encoding="utf-8")
    assert "No record of this run was kept" in page
    assert "What flowed where" in page
    assert "Items a second" not in page


def test_a_page_that_can_not_be_written_in_the_end_costs_a_warning_alone(past: Mprun, home: Path) -> None:
    (home / "gone").mkdir()
    (home / "remove.yaml").write_text('name: remove\nstages: {it: {run: "shop:remove"}}\n')

    done = past("remove.yaml", "-q", "--html", "gone/page.html")

    assert 0 == done.returncode
    assert "mprun: the page is not written: --html: 'gone/page.html'" in done.stderr


@pytest.mark.usefixtures("past")
def test_a_page_is_opened_in_the_browser_that_the_user_has(home: Path, run_mprun: RunMprun) -> None:
    (home / "show").write_text('#!/bin/sh\necho "$1" > shown.txt\n')
    (home / "show").chmod(0o755)
    env = {"MPRUN_HOME": str(home / ".mprun"), "BROWSER": f"{home}/show %s"}

    done = run_mprun("report", "ci", "-o", "opened.html", "--open", cwd=home, env=env)

    assert 0 == done.returncode, done.stderr
    assert f"{(home / 'opened.html').as_uri()}\n" == (home / "shown.txt").read_text()


def test_the_page_of_a_run_that_was_gone_on_with_lists_its_runners(past: Mprun, home: Path) -> None:
    again = past("resume", "ci", "-q", "--html", "again.html")

    page = (home / "again.html").read_text(encoding="utf-8")
    assert 1 == again.returncode
    assert "Its runners" in page
