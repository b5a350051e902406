"""The dashboard in a real browser: what it shows is what `mprun ps` says, it goes on, acts, and runs no text."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from web.dashboards import (
    StartedDashboard,
    ended,
    env_of,
    snapshot,
    start_dashboard,
    start_run,
    wait_until,
)

pytestmark = pytest.mark.browser

Visitor = Callable[..., Any]

WORKFLOW = """
name: kitchen
limits: {max_errors: 1000}
queues:
  table: {maxsize: 20}
stages:
  cook: {run: "kitchen:cook", to: table}
  eater: {run: "kitchen:eat", from: table, count: 2, on_error: dead_letter}
"""
KITCHEN = """
import time
from pathlib import Path
def cook():
    for n in range(12):
        yield f"<img src=x onerror=alert({n})>"
    while not Path("go").exists():
        time.sleep(0.02)
    n = 12
    while not Path("end").exists():
        yield f"<img src=x onerror=alert({n})>"
        n += 1
        time.sleep(0.02)
def eat(meal):
    if "(3)" in meal and not Path("spoon").exists():
        raise ValueError(f"{meal} is <b>soup</b>")
    time.sleep(0.005)
"""


class Place:
    """A folder with a run under way, which has done 11 of 12 items and waits, and a dashboard beside it."""

    def __init__(self, folder: Path, mprun: Path, plain_env: dict[str, str]) -> None:
        self.folder, self.mprun, self.env = folder, mprun, env_of(plain_env, folder)
        (folder / "kitchen.yaml").write_text(WORKFLOW)
        (folder / "kitchen.py").write_text(KITCHEN)
        self.home = folder / ".mprun"
        self.run = start_run(mprun, self.env, folder / "kitchen.yaml")
        wait_until(lambda: self.stage("eater")["done"] == 11, "the run has come so far")
        self.id = str(self.ps()["run"])
        self.dashboard = self.start()

    def start(self, port: int = 0) -> StartedDashboard:
        return start_dashboard(self.mprun, self.env, self.home, "--port", str(port))

    def ps(self) -> Any:
        return snapshot(self.mprun, self.env)

    def stage(self, name: str) -> Any:
        return next(each for each in self.ps()["stages"] if each["name"] == name)

    def path(self, page: str = "") -> str:
        return f"{self.dashboard.base}/runs/{self.id}{page}"

    def tell(self, word: str) -> None:
        (self.folder / word).touch()


@pytest.fixture
def place(tmp_path: Path, mprun: Path, plain_env: dict[str, str]) -> Iterator[Place]:
    made = Place(tmp_path, mprun, plain_env)
    with ended(made.run):
        yield made
        made.dashboard.process.kill()
        with ended(made.dashboard.process):
            pass


def signed_in(visit: Visitor, place: Place, path: str | None = None, **options: Any) -> Any:
    """Sign in by the link, then open a page, and wait until it is live."""
    seen = visit(place.dashboard.link, scripts=True, online=True, **options)
    seen.requests.clear()
    seen.page.goto(path or place.path())
    seen.page.wait_for_selector("#connection[data-state=live]")
    return seen


def swaps_of(page: Any) -> int:
    """How often fragments were swapped in."""
    return int(page.get_attribute("#page", "data-swaps") or 0)


def test_the_numbers_of_a_page_are_those_of_ps(place: Place, visit: Visitor) -> None:
    page = signed_in(visit, place).page

    page.wait_for_selector("tr[data-key=eater][data-passed='11']")
    known = {each["name"]: each for each in place.ps()["stages"]}
    for name, passed in (("cook", known["cook"]["sent"]), ("eater", known["eater"]["done"])):
        row = page.locator(f"#run-stages tr[data-key={name}]")
        assert str(passed) == row.get_attribute("data-passed")
        assert str(known[name]["workers"]) == row.get_attribute("data-workers")
        assert str(known[name]["alive"]) == row.get_attribute("data-alive")


def test_a_page_goes_on_after_its_dashboard_was_killed_and_started_again(
    place: Place, visit: Visitor
) -> None:
    page = signed_in(visit, place).page
    port = place.dashboard.port

    place.dashboard.kill()
    page.wait_for_selector("#connection[data-state=lost]")
    assert "not connected" in page.inner_text("#connection")
    place.tell("go")
    wait_until(lambda: place.stage("eater")["done"] > 40, "the run goes on by itself")
    place.dashboard = place.start(port)

    page.wait_for_selector("#connection[data-state=live]")
    wait_until(lambda: int(page.get_attribute("tr[data-key=eater]", "data-passed")) > 40, "the page shows it")
    assert "Items a second" in page.inner_text("#run-rate")


def test_a_stage_is_scaled_from_its_page(place: Place, visit: Visitor) -> None:
    page = signed_in(visit, place).page

    page.click("button[aria-label='one worker more for eater']")

    wait_until(lambda: place.stage("eater")["workers"] == 3, "there is a worker more")
    page.wait_for_selector("#run-stages tr[data-key=eater][data-workers='3']")
    page.click("button[aria-label='one worker fewer for eater']")
    wait_until(lambda: place.stage("eater")["workers"] == 2, "there is one fewer again")


def test_a_run_is_stopped_from_its_page_after_a_question(place: Place, visit: Visitor) -> None:
    page = signed_in(visit, place).page
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))

    page.click("#run-actions button")

    place.run.wait(60)
    page.wait_for_selector("#run-summary .state:has-text('interrupted')")
    assert "Stop this run?" in asked[0]
    assert page.locator("#run-actions").is_hidden()


def test_a_letter_is_put_back_from_its_page(place: Place, visit: Visitor) -> None:
    page = signed_in(visit, place, place.path("/failures?stage=eater&letter=1")).page
    page.on("dialog", lambda dialog: dialog.accept())
    place.tell("spoon")

    page.click("#failures-letter button")

    page.wait_for_selector("#failures-letters [data-left='0']")
    assert "It was put back" in page.inner_text("#failures-letter")
    page.goto(place.dashboard.base)
    page.wait_for_selector("tr[data-outcome=done]")
    assert 2 == page.locator("tr[data-outcome]").count()


def test_a_page_says_that_its_run_was_killed_and_how_to_go_on(place: Place, visit: Visitor) -> None:
    page = signed_in(visit, place).page
    place.tell("go")

    place.run.send_signal(signal.SIGKILL)
    place.run.wait(60)

    page.wait_for_selector("#run-summary .state:has-text('killed')")
    page.wait_for_selector(f"#run-summary :text('mprun resume {place.id}')")
    page.goto(place.dashboard.base)
    page.wait_for_selector(f"tr[data-key='{place.id}'][data-outcome=killed]")
    assert f"mprun resume {place.id}" in page.inner_text("#runs")


def test_items_are_text_and_nothing_is_asked_of_others(place: Place, visit: Visitor) -> None:
    place.tell("go")
    seen = signed_in(visit, place)
    pages = ("", "/stage?name=eater", "/failures?kind=1&stage=eater&letter=1", "/log", "/log?of=said")
    for path in pages:
        seen.page.goto(place.path(path))
        seen.page.wait_for_selector("#connection[data-state=live]")
        assert 0 == seen.page.locator("img").count()
    seen.page.goto(place.path("/failures?kind=1"))
    assert "<img src=x onerror=alert(3)>" in seen.page.inner_text("#failures-kind")
    seen.page.goto(f"{place.dashboard.base}/compare?a={place.id}&b={place.id}")
    seen.page.goto(place.dashboard.base)
    seen.page.wait_for_selector("#connection[data-state=live]")

    assert [] == seen.complaints
    assert [] == [url for url in seen.requests if not url.startswith((place.dashboard.base, "data:"))]


def test_what_a_reader_has_opened_and_chosen_stays_while_the_page_goes_on(
    place: Place, visit: Visitor
) -> None:
    place.tell("go")
    page = signed_in(visit, place, place.path("/failures?kind=1")).page
    page.goto(place.path())
    page.wait_for_selector("#connection[data-state=live]")
    page.click("#run-failures summary")
    page.focus("button[aria-label='one worker more for eater']")
    nodes = page.locator("*").count()
    before = swaps_of(page)

    wait_until(lambda: swaps_of(page) >= before + 12, "the page goes on")

    assert page.locator("#run-failures details[open]").count() == 1
    assert "one worker more" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert page.locator("*").count() < nodes + 60


def test_items_that_pass_are_shown_and_are_text(place: Place, visit: Visitor) -> None:
    place.tell("go")
    page = signed_in(visit, place, place.path("/stage?name=eater")).page

    page.click("button:has-text('what goes in')")

    page.wait_for_selector("#stage-tap pre :text('<img src=x')")
    assert 0 == page.locator("img").count()
    page.click("button[aria-label='close the tap']")
    page.wait_for_selector("#stage-tap:not([data-tap])")


def test_who_is_not_signed_in_is_told_how_to(place: Place, visit: Visitor) -> None:
    page = visit(place.path(), scripts=True, online=True).page

    assert "Sign in" in page.inner_text("h1")
    assert place.id not in page.content()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_screen(width: int, place: Place, visit: Visitor) -> None:
    page = signed_in(visit, place, width=width).page
    for path in ("", "/stage?name=eater", "/failures?kind=1&stage=eater&letter=1", "/log"):
        page.goto(place.path(path))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
