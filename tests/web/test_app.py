"""What the server answers, request by request, over a home with a run in it; without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from web.asgi import Browser

from runner.web.access import HEADERS, Access, host_names, token_of
from runner.web.app import create_app

RunMprun = Callable[..., "CompletedProcess[str]"]

WORKFLOW = """
name: 包子
limits: {max_errors: 100}
stages:
  cook: {run: "kitchen:cook", to: table}
  eater: {run: "kitchen:eat", from: table, on_error: dead_letter, count: 2}
"""
KITCHEN = """
def cook():
    yield from [f"<img src=x onerror=alert({n})>" for n in range(20)]
def eat(meal, worker):
    worker.log.info("tasted & <b>liked</b>")
    if "(3)" in meal or "(7)" in meal:
        raise ValueError(f"{meal} is soup")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, run_mprun: RunMprun) -> Path:
    """A folder in which one run has come to its end, with two dead letters."""
    folder = tmp_path_factory.mktemp("kitchen")
    (folder / "kitchen.yaml").write_text(WORKFLOW)
    (folder / "kitchen.py").write_text(KITCHEN)
    done = run_mprun("run", "kitchen.yaml", "-q", cwd=folder, env={"MPRUN_HOME": str(folder / ".mprun")})
    assert 0 == done.returncode, done.stderr
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> str:
    return next((place / ".mprun" / "runs").iterdir()).name


def access_to(place: Path, *, read_only: bool = False) -> Access:
    names = host_names("127.0.0.1", is_remote=False)
    return Access(token_of(place / ".mprun"), names, "8765", read_only=read_only)


@pytest.fixture(scope="module")
def stranger(place: Path) -> Browser:
    """Whoever has not signed in."""
    return Browser(create_app(place / ".mprun", access_to(place)), {"host": "localhost:8765"})


@pytest.fixture(scope="module")
def browser(place: Path, stranger: Browser) -> Browser:
    """Whoever has."""
    access = access_to(place)
    signed_in = {"cookie": f"{access.cookie_name}={access.cookie_value}", "origin": "http://localhost:8765"}
    return Browser(stranger.app, {**stranger.headers, **signed_in})


PATHS = ("/", "/compare", "/script.js", "/stream/", "/runs/{run}", "/runs/{run}/log", "/nothing", "/metrics")


@pytest.mark.parametrize("path", PATHS)
def test_a_foreign_name_is_refused_whatever_is_asked_for(path: str, browser: Browser, run: str) -> None:
    refused = browser.get(path.format(run=run), host="evil.example")

    assert 400 == refused.status
    assert "name of this server" in refused.text


@pytest.mark.parametrize("path", PATHS[:-1])
def test_who_has_not_signed_in_is_told_how_to_whatever_is_asked_for(
    path: str, stranger: Browser, run: str
) -> None:
    refused = stranger.get(path.format(run=run))

    assert 401 == refused.status
    assert "mprun dashboard" in refused.text
    assert run not in refused.text


def test_the_link_signs_in_and_leads_away_from_the_token(stranger: Browser, place: Path) -> None:
    signed_in = stranger.get(f"/login?token={token_of(place / '.mprun')}")

    assert (303, "/") == (signed_in.status, signed_in.headers["location"])
    name, *rules = signed_in.headers["set-cookie"].split("; ")
    assert {"httponly", "samesite=strict", "path=/"} <= {rule.lower() for rule in rules}
    assert name.startswith("mprun-8765=")
    assert 200 == stranger.get("/", cookie=name).status


@pytest.mark.parametrize("token", ["", "?token=", "?token=wrong", "?token=%ff", "?other=1"])
def test_another_token_does_not(token: str, stranger: Browser) -> None:
    refused = stranger.get(f"/login{token}")

    assert 401 == refused.status
    assert "set-cookie" not in refused.headers


def test_who_comes_by_a_link_on_a_foreign_page_is_sent_round_once_more(stranger: Browser) -> None:
    """The browser keeps the cookie back that it has just been given, as long as it was led here from elsewhere."""
    assert "http-equiv" in stranger.get("/", sec_fetch_site="cross-site").text.replace("Content-Sec", "")
    assert 'http-equiv="refresh"' in stranger.get("/", sec_fetch_site="cross-site").text
    assert 'http-equiv="refresh"' not in stranger.get("/", sec_fetch_site="same-origin").text


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:9999", "null", ""])
def test_a_form_of_others_changes_nothing(origin: str, browser: Browser, run: str) -> None:
    refused = browser.post(f"/runs/{run}/stop", origin=origin)

    assert 403 == refused.status


def test_a_run_that_is_over_says_so_when_it_is_to_be_stopped(browser: Browser, run: str) -> None:
    answered = browser.post(f"/runs/{run}/stop")

    assert 409 == answered.status
    assert "does not answer" in answered.json()["error"]


def test_a_read_only_dashboard_has_no_buttons_and_takes_none(place: Path, browser: Browser, run: str) -> None:
    shown = Browser(create_app(place / ".mprun", access_to(place, read_only=True)), browser.headers)

    assert "data-post" not in shown.get(f"/runs/{run}/failures").text
    assert "data-post" in browser.get(f"/runs/{run}/failures").text
    assert 403 == shown.post(f"/runs/{run}/replay").status


@pytest.mark.parametrize("path", ["/", "/login", "/nothing", "/script.js", "/runs/{run}"])
def test_each_answer_says_what_it_may_do_and_who_may_frame_it(path: str, browser: Browser, run: str) -> None:
    headers = browser.get(path.format(run=run)).headers

    assert {key.lower(): value for key, value in HEADERS.items()}.items() <= headers.items()
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/runs/../dashboard.token",
        "/runs/..",
        "/runs/%2e%2e/log",
        "/dashboard.token",
        "/static/script.js",
        "/runs/{run}/log?job=../../../etc/passwd",
    ],
)
def test_no_file_is_served_by_a_name_from_the_request(path: str, browser: Browser, run: str) -> None:
    answered = browser.get(path.format(run=run))

    assert "root:" not in answered.text
    assert access_token_is_not_in(answered.text, browser)
    assert answered.status == 404 or "It has printed nothing" in answered.text


def access_token_is_not_in(text: str, browser: Browser) -> bool:
    return browser.headers["cookie"].partition("=")[2] not in text


def test_a_body_without_end_is_refused(browser: Browser, run: str) -> None:
    refused = browser.ask("POST", f"/runs/{run}/stop", transfer_encoding="chunked")

    assert 413 == refused.status
    assert 413 == browser.ask("POST", f"/runs/{run}/stop", b"x" * 70_000).status


@pytest.mark.parametrize("body", [b"[]", b"{", b"[" * 60_000, b'{"worker": 3}', b"\xff"])
def test_nonsense_is_refused_in_words(body: bytes, browser: Browser, run: str) -> None:
    refused = browser.ask("POST", f"/runs/{run}/stop", body)

    assert 409 == refused.status
    assert "expected" in refused.json()["error"]


def test_what_items_and_handlers_say_is_text_on_every_page(browser: Browser, run: str) -> None:
    pages = ("", "/failures", "/failures?kind=1", "/failures?stage=eater&letter=1", "/log", "/log?of=said")
    pages += ("/stage?name=eater",)
    for page in pages:
        text = browser.get(f"/runs/{run}{page}").text
        assert "<img" not in text and "<b>liked" not in text, page
    assert "&lt;img src=x onerror=alert(3)&gt;" in browser.get(f"/runs/{run}/failures?kind=1").text
    assert "&lt;b&gt;liked&lt;/b&gt;" in browser.get(f"/runs/{run}/log?of=said").text


def test_the_list_has_the_run_with_what_it_came_to(browser: Browser, run: str) -> None:
    text = browser.get("/").text

    assert f'data-key="{run}" data-outcome="done" data-done="18"' in text
    assert "包子" in text
    assert "No run is like that" in browser.get("/?q=nothing-like-it").text
    assert run in browser.get("/?q=%E5%8C%85%E5%AD%90").text
    assert run not in browser.get("/?state=killed").text.split("<main")[1]


@pytest.mark.parametrize(
    "query", ["?page=x", "?page=-1", "?state=odd", "?q=%00", "?page=99999999999999999999"]
)
def test_odd_queries_show_a_page_all_the_same(query: str, browser: Browser, run: str) -> None:
    assert 200 == browser.get(f"/{query}").status
    assert 200 == browser.get(f"/runs/{run}/log{query.replace('page', 'before')}").status
    assert 200 == browser.get(f"/runs/{run}/failures{query.replace('state', 'kind')}").status


def test_a_run_or_page_that_is_not_there_is_said(browser: Browser) -> None:
    assert 404 == browser.get("/runs/ffffffff").status
    assert 404 == browser.get("/runs/latest'").status
    assert 404 == browser.get("/compare?a=ffffffff").status
    assert "there is no such page" in browser.get("/nothing").text


def test_two_runs_are_compared(browser: Browser, run: str) -> None:
    text = browser.get(f"/compare?a={run}&b={run}").text

    assert "eater" in text and "alike" in text


def test_a_stream_has_all_there_is_and_then_only_what_has_changed(browser: Browser, run: str) -> None:
    (first,) = browser.stream(f"/stream/runs/{run}", 1)

    assert "fragments" == first["event"]
    assert "run-stages" in json.loads(first["data"])
    assert first["id"]


def test_a_stream_begins_behind_what_the_page_has(browser: Browser, run: str) -> None:
    page = browser.get(f"/runs/{run}/log").text
    seen = page.partition('data-seen="')[2].partition('"')[0]

    (first,) = browser.stream(f"/stream/runs/{run}/log?seen={seen}", 1)

    assert "alive" == first["event"]


def test_letters_and_their_attempts_are_shown(browser: Browser, run: str) -> None:
    text = browser.get(f"/runs/{run}/failures?stage=eater&letter=2").text

    assert 'data-letter="2"' in text
    assert "2 letters of stage eater" in text
    assert 'data-left="2"' in text


def test_the_log_is_shown_two_hundred_lines_at_a_time(browser: Browser, run: str) -> None:
    whole = browser.get(f"/runs/{run}/log").text
    said = browser.get(f"/runs/{run}/log?of=said").text

    assert "run.started" in whole and "run.finished" in whole
    assert 20 == said.count("tasted")
    assert "worker.exited" in browser.get(f"/runs/{run}/log?q=exited").text
    assert "Nothing is like that" in browser.get(f"/runs/{run}/log?q=100%25_of").text


def test_metrics_have_a_token_of_their_own_that_opens_nothing_else(place: Path, stranger: Browser) -> None:
    pytest.importorskip("prometheus_client")
    token = access_to(place).metrics_token

    assert 401 == stranger.get("/metrics").status
    assert 401 == stranger.get(f"/metrics?token={token_of(place / '.mprun')}").status
    assert 200 == stranger.get(f"/metrics?token={token}").status
    assert 200 == stranger.get("/metrics", authorization=f"Bearer {token}").status
    assert 401 == stranger.get(f"/login?token={token}").status


def test_metrics_may_be_open_and_are_for_nobody_who_was_led_here(place: Path, stranger: Browser) -> None:
    pytest.importorskip("prometheus_client")
    access = Access(token_of(place / ".mprun"), access_to(place).names, "8765", metrics_open=True)
    scraper = Browser(create_app(place / ".mprun", access), stranger.headers)

    assert scraper.get("/metrics").headers["content-type"].startswith("text/plain")
    assert 400 == scraper.get("/metrics", host="evil.example").status
    assert 401 == scraper.get("/").status


def test_who_does_not_read_is_dropped(browser: Browser, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.web.app.LONGEST_SEND", 0.05)

    assert browser.hang(f"/stream/runs/{run}") == "dropped"
