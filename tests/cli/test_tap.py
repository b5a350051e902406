"""`mprun tap`: what it prints, when it ends, and with which code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
PATIENCE = 30.0

HANDLERS = """\
import time
from pathlib import Path

def pages():
    number = 0
    while not Path("enough").exists():
        status = 500 if number % 3 else 200
        yield {"url": f"https://host/{number}", "status": status, "n": number, "\\x1b[31m": 1, "\\x9b": "\\u202e"}
        number += 1
        time.sleep(0.002)

def fetch(page):
    return page["url"]

def note(url):
    pass

def nothing():
    while not Path("enough").exists():
        time.sleep(0.01)
    yield 1
"""
FILE = """\
name: shop
stages:
  lister: {run: "h:pages", to: pages}
  fetcher: {run: "h:fetch", from: pages, to: urls, count: 2}
  saver: {run: "h:note", from: urls}
  silent: {run: "h:nothing", to: none}
  waiting: {run: "h:note", from: none}
"""


class Run:
    """A run under way, and commands that look at it."""

    def __init__(self, folder: Path, mprun: Path, run_mprun: RunMprun, env: dict[str, str]) -> None:
        self.folder = folder
        self._mprun, self._run = mprun, run_mprun
        self.env = {**env, "MPRUN_HOME": str(folder / "home")}
        (folder / "h.py").write_text(HANDLERS)
        (folder / "w.yaml").write_text(FILE)
        self.process = self.begin("w.yaml", "-q")
        deadline = time.monotonic() + PATIENCE
        while "alive" not in self("ps").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def begin(self, *arguments: str, **more: int) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        streams = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, **more}
        return subprocess.Popen(
            [self._mprun, *arguments], cwd=self.folder, env=self.env, encoding="utf-8", **streams
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(*arguments, cwd=self.folder, env={"MPRUN_HOME": str(self.folder / "home")})

    def end(self) -> None:
        (self.folder / "enough").touch()


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, mprun: Path, run_mprun: RunMprun, plain_env: dict[str, str]
) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("shop"), mprun, run_mprun, plain_env)
    yield run
    run.end()
    run.process.communicate(timeout=PATIENCE)


def test_it_ends_after_as_many_items_as_were_asked_for_and_says_of_how_many(shop: Run) -> None:
    said = shop("tap", "shop", "pages", "--count", "3")

    assert 0 == said.returncode, said.stderr
    lines = said.stdout.splitlines()
    assert 3 == len(lines)
    for line in lines:
        found = re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  fetcher-[12]  pages/(\d+) +(\{.*\})", line)
        assert found is not None, line
        assert f'"n": {found[1]}, "\\u001b[31m": 1' in found[2]
    assert re.fullmatch(r"shown 3 of [\d,]+ items in \d+\.\ds; sampled\n", said.stderr)


def test_a_program_gets_a_line_of_json_for_each(shop: Run) -> None:
    said = shop("tap", "shop", "fetcher", "--count", "2", "--format", "jsonl")

    first, second = map(json.loads, said.stdout.splitlines())
    assert ["at", "worker", "stage", "queues", "id", "item", "whole"] == list(first)
    assert ("fetcher", ["urls"], None, True) == (
        first["stage"],
        first["queues"],
        first["id"],
        first["whole"],
    )
    assert first["at"] <= second["at"]
    assert first["item"].startswith("https://host/")


def test_no_form_has_a_terminal_obey_what_items_say(shop: Run) -> None:
    lines = shop("tap", "shop", "pages", "--count", "1", "--format", "jsonl").stdout
    documents = shop("tap", "shop", "pages", "--count", "1", "--format", "yaml").stdout
    text = shop("tap", "shop", "pages", "--count", "1").stdout

    assert "\u202e" == json.loads(lines)["item"]["\x9b"]
    for each in (lines, documents, text):
        assert each.replace("\n", "").isprintable(), each


def test_conditions_choose_and_fields_pick(shop: Run) -> None:
    said = shop(
        *("tap", "shop", "pages", "--count", "3", "--format", "jsonl", "--raw"),
        *("--where", "item.status == 500 && endsWith(item.url, '1')", "--fields", "status,url,none.at"),
    )

    shown = [json.loads(line) for line in said.stdout.splitlines()]
    assert [["status", "url", "none.at"]] * 3 == [list(each) for each in shown]
    assert {(500, None)} == {(each["status"], each["none.at"]) for each in shown}
    assert all(each["url"].endswith("1") for each in shown)
    assert re.search(r"shown 3 of [\d,]+ looked at, of [\d,]+ items", said.stderr)


def test_raw_items_are_texts_as_they_are(shop: Run) -> None:
    said = shop("tap", "shop", "urls", "--count", "2", "--raw")

    assert all(re.fullmatch(r"https://host/\d+", line) for line in said.stdout.splitlines())


def test_yaml_is_a_document_each(shop: Run) -> None:
    said = shop("tap", "shop", "urls", "--count", "2", "--raw", "--format", "yaml")

    assert 2 == said.stdout.count("---\n")


def test_nothing_in_its_time_is_a_failure(shop: Run) -> None:
    said = shop("tap", "shop", "none", "--for", "300ms")

    assert (1, "") == (said.returncode, said.stdout)
    assert re.fullmatch(r"no item passed at queue 'none' in \d+\.\ds\n", said.stderr)


@pytest.mark.slow
def test_something_in_its_time_is_none(shop: Run) -> None:
    said = shop("tap", "shop", "lister", "--for", "1s", "--limit", "3")

    assert 0 == said.returncode
    assert said.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["nosuchplace"],
            "the run has no queue or stage 'nosuchplace'; known here: pages, urls, none, "
            "lister, silent, fetcher, waiting, saver",
        ),
        (
            ["pages", "--where", " "],
            "--where: expected a condition such as 'item.status >= 500', got nothing",
        ),
        (["pags"], "the run has no queue or stage 'pags'; did you mean 'pages'?"),
        (["saver", "--out"], "stage 'saver' puts nothing on a queue; without --out what it takes is shown"),
        (["lister", "--in"], "stage 'lister' reads no queue; without --in what it makes is shown"),
        (["pages", "--in", "--out"], "--in and --out exclude one another: two commands may look at both"),
        (
            ["pages", "--per", "soon"],
            "--per: expected a duration such as 300ms, 1.5s, 2m or 1h30m, got 'soon'",
        ),
        (["pages", "--per", "0s"], "the time of a tap is 0.1s or more, got 0.0"),
        (["pages", "--where", "itm.a"], "--where: there is no 'itm'; did you mean 'item'?"),
        (["pages", "--fields", "a,,b"], "--fields: expected names such as url,user.id, got 'a,,b'"),
    ],
)
def test_what_can_t_be_is_refused_at_once(shop: Run, arguments: list[str], error: str) -> None:
    said = shop("tap", "shop", *arguments)

    assert (2, "", f"mprun: {error}\n") == (said.returncode, said.stdout, said.stderr)


def test_a_run_that_is_not_there_may_be_one_that_answers_nobody(shop: Run) -> None:
    said = shop("tap", "shpo", "pages")

    assert 2 == said.returncode
    assert "; a run under `inline` answers nobody, and can't be looked at" in said.stderr


@pytest.mark.slow
def test_ctrl_c_says_how_many_were_shown(shop: Run) -> None:
    looking = shop.begin("tap", "shop", "pages")
    assert looking.stdout is not None
    looking.stdout.readline()

    looking.send_signal(signal.SIGINT)

    _, said = looking.communicate(timeout=PATIENCE)
    assert 130 == looking.returncode
    assert said.startswith("shown ")


@pytest.mark.slow
def test_a_reader_that_goes_ends_it_quietly(shop: Run) -> None:
    reading, writing = os.pipe()
    looking = shop.begin("tap", "shop", "pages", "--limit", "100", stdout=writing)
    os.close(writing)
    assert os.read(reading, 1)

    os.close(reading)

    _, said = looking.communicate(timeout=PATIENCE)
    assert (141, "") == (looking.returncode, said)


@pytest.mark.slow
def test_the_end_of_the_run_is_its_end(
    tmp_path: Path, mprun: Path, run_mprun: RunMprun, plain_env: dict[str, str]
) -> None:
    run = Run(tmp_path, mprun, run_mprun, plain_env)
    looking = run.begin("tap", "shop", "pages")
    assert looking.stdout is not None
    looking.stdout.readline()

    run.end()

    _, said = looking.communicate(timeout=PATIENCE)
    assert 0 == looking.returncode
    assert said.startswith("shown ")
    run.process.communicate(timeout=PATIENCE)
    assert 0 == run.process.returncode
