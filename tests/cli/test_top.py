"""`mprun top`: one look for a pipe, and a person at a terminal, over real runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from watched_terminals import PATIENCE, TopOnTerminal

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

HANDLERS = """
import os, time

def lister():
    n = 0
    while not os.path.exists("end"):
        yield n
        n += 1

def work(i):
    time.sleep(0.005)
    if i % 10 == 0:
        raise ValueError(f"no price in row {i}")
    return i

def save(i): pass

def long(i):
    until = time.monotonic() + 600
    while time.monotonic() < until and not os.path.exists("end"):
        pass

def two(): yield from range(2)
"""
SAYING = """
import os, time

def talk(worker):
    worker.log.info("hello")
    while not os.path.exists("end"):
        time.sleep(0.05)
"""
SHOP = """
name: shop
stages:
  lister: {run: "h:lister", to: pages}
  parser: {run: "h:work", from: pages, to: rows, on_error: dead_letter}
  saver: {run: "h:save", from: rows}
queues: {pages: {maxsize: 20}, rows: {maxsize: 20}}
limits: {max_errors: 1000000}
"""
SLOW = """
name: slow
stages:
  lister: {run: "h:two", to: q}
  worker: {run: "h:long", from: q, count: 2}
"""


def _has_stack(top: TopOnTerminal, lines: list[str]) -> bool:
    """Say whether the handler's line is shown; ask again where the worker was met between two items."""
    if any("it waits in mprun itself" in line for line in lines):
        top.press("\r")
    return any("h.py:" in line and "sleep" in line for line in lines)


def _text_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""


class Watched:
    """A folder in which runs go on, and `mprun` to look at them."""

    def __init__(self, folder: Path, mprun: Path, run_mprun: RunMprun, env: dict[str, str]) -> None:
        self.folder = folder
        self._mprun = mprun
        self._run_mprun = run_mprun
        self.env = {**env, "MPRUN_HOME": str(folder / "home"), "LC_ALL": "C.UTF-8"}
        self.started: list[subprocess.Popen[bytes]] = []
        (folder / "h.py").write_text(HANDLERS)

    def start(self, workflow: str, *options: str) -> subprocess.Popen[bytes]:
        """Begin a run, and wait until it can be looked at."""
        name = f"w{len(self.started)}.yaml"
        (self.folder / name).write_text(workflow)
        process = subprocess.Popen(
            [self._mprun, name, "-q", *options],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.started.append(process)
        self.wait_for(lambda: self.command("top", "--once").returncode == 0 or len(self.started) > 1)
        return process

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {"MPRUN_HOME": self.env["MPRUN_HOME"], "LC_ALL": "C.UTF-8"}
        return self._run_mprun(*arguments, cwd=self.folder, env=env)

    def top(self, *arguments: str, size: tuple[int, int] = (80, 24)) -> TopOnTerminal:
        return TopOnTerminal([self._mprun, "top", *arguments], self.folder, self.env, size)

    def snapshot(self) -> dict[str, Any]:
        done = self.command("top", "--once", "--format", "json")
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def wait_for(self, found: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (what := found()):
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.05)
        return what

    def end(self) -> None:
        (self.folder / "end").touch()
        for process in self.started:
            process.wait(PATIENCE)


@pytest.fixture
def watched(tmp_path: Path, mprun: Path, run_mprun: RunMprun, plain_env: dict[str, str]) -> Iterator[Watched]:
    scene = Watched(tmp_path, mprun, run_mprun, plain_env)
    yield scene
    (tmp_path / "end").touch()
    for process in scene.started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_without_a_run_a_sentence_says_so(watched: Watched) -> None:
    done = watched.command("top")

    assert (2, "") == (done.returncode, done.stdout)
    assert "no run is under way here" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "json"], "`--format json` goes with `--once`"),
        (["--interval", "soon"], "expected a duration"),
        (["--interval", "1ms"], "expected 0.1s or longer"),
        (["nothing", "--once"], "nothing"),
    ],
)
def test_what_can_not_be_is_refused(watched: Watched, arguments: list[str], said: str) -> None:
    done = watched.command("top", *arguments)

    refused = done.stderr + done.stdout
    assert (2, True) == (done.returncode, said in refused)


@pytest.mark.slow
def test_of_a_run_that_is_over_the_table_is_printed(watched: Watched) -> None:
    (watched.folder / "w.yaml").write_text(SHOP)
    (watched.folder / "end").touch()
    watched.command("w.yaml", "-q")

    for arguments in (["top", "shop"], ["top", "shop", "--once"]):
        done = watched.command(*arguments)
        lines = done.stdout.splitlines()
        assert done.returncode == 0
        assert lines[0].startswith("shop  done after 00:00:0")
        assert [line.split()[0] for line in lines if line.startswith("  ")][:6] == [
            "STAGE",
            "lister",
            "↓",
            "parser",
            "↓",
            "saver",
        ]
        assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_one_look_as_json_meets_its_schema_also_of_a_run_that_is_over(
    watched: Watched, checkout: Path
) -> None:
    (watched.folder / "w.yaml").write_text(SHOP)
    (watched.folder / "end").touch()
    watched.command("w.yaml", "-q")

    told = json.loads(watched.command("top", "latest", "--once", "--format", "json").stdout)

    Draft202012Validator(json.loads((checkout / "schemas" / "top.schema.json").read_text())).validate(told)
    assert ("shop", "ended", "done", 0) == (
        told["workflow"],
        told["status"],
        told["outcome"],
        told["exit_code"],
    )


@pytest.mark.slow
def test_one_look_at_a_run_under_way_equals_what_ps_tells(watched: Watched, checkout: Path) -> None:
    """Where both have a field. Two looks are not of one moment, so that a run stands still for them."""
    watched.start(SLOW)
    watched.wait_for(lambda: [each["item"] for each in watched.snapshot()["workers"]].count(None) == 1)
    (ps,) = json.loads(watched.command("ps", "--format", "json").stdout)
    told = watched.snapshot()

    Draft202012Validator(json.loads((checkout / "schemas" / "top.schema.json").read_text())).validate(told)
    grow = ("elapsed", "busy", "starved", "blocked", "full_seconds")
    assert _common(ps, told, "run", grow) == []
    for several, name in (("stages", "name"), ("queues", "name"), ("workers", "worker")):
        there = {each[name]: each for each in told[several]}
        assert [wrong for each in ps[several] for wrong in _common(each, there[each[name]], name, grow)] == []
    assert len(told["workers"]) == len(ps["workers"]) == 3


def _common(ps: dict[str, Any], top: dict[str, Any], name: str, but: tuple[str, ...]) -> list[object]:
    fields = [key for key in ps if key in top and key not in but and not isinstance(ps[key], list)]
    assert len(fields) >= 4
    return [(ps[name], key, ps[key], top[key]) for key in fields if ps[key] != top[key]]


@pytest.mark.slow
def test_whoever_is_in_a_long_item_is_busy_and_has_it_for_ever_longer(watched: Watched) -> None:
    watched.start(SLOW)

    def long_ones() -> list[dict[str, Any]]:
        told = watched.snapshot()
        at = told["at"]
        return [
            each | {"for": at - each["since"]}
            for each in told["workers"]
            if each["stage"] == "worker" and each["since"] is not None and at - each["since"] > 1.0
        ]

    first = watched.wait_for(lambda: found if len(found := long_ones()) == 2 else None)
    then = watched.wait_for(
        lambda: found if len(found := long_ones()) == 2 and found[0]["for"] > first[0]["for"] + 1 else None
    )

    assert [("busy", "alive")] * 2 == [(each["condition"], each["state"]) for each in first]
    assert all(each["busy_share"] >= 0.95 for each in [*first, *then])
    (stage,) = [each for each in watched.snapshot()["stages"] if each["name"] == "worker"]
    assert stage["busy_share"] >= 0.95


@pytest.mark.slow
def test_whoever_comes_late_sees_the_first_seconds_too(watched: Watched) -> None:
    watched.start(SHOP)
    watched.wait_for(lambda: watched.snapshot()["elapsed"] > 6)

    spark = watched.command("top", "--once").stdout.splitlines()[1].split("  ")[0]

    assert len(spark) >= 6
    assert set(spark[1:3]) & set("▂▃▄▅▆▇█")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["q", "\x1b", "\x03", "?q", "run's end", "SIGTERM"])
def test_the_terminal_is_as_it_was_whatever_ends_top(watched: Watched, end: str) -> None:
    watched.start(SHOP)
    with watched.top() as top:
        top.wait_for(lambda lines: any("▸ lister" in line for line in lines), "the table")
        assert top.modes != top.modes_before
        if end == "run's end":
            watched.end()
        elif end == "SIGTERM":
            top.signal(signal.SIGTERM)
        else:
            top.press(end)
        code, left = top.wait_for_end()

        assert (0, top.modes_before) == (code, top.modes)
        assert "\x1b[?1049l" in top.all_shown
        assert top.all_shown.rpartition("\x1b[?25")[2].startswith("h")  # the cursor is seen again
        assert ("shop  done after" in left) == (end == "run's end")


@pytest.mark.slow
def test_keys_go_through_the_screens_and_change_the_run(watched: Watched) -> None:
    run = watched.start(SHOP)
    with watched.top(size=(100, 30)) as top:
        top.wait_for(lambda lines: any("▸ lister" in line for line in lines), "the table")
        top.press("jj+")
        top.wait_for(lambda lines: "parser goes to 2 workers" in lines[-1], "what came of it")
        top.wait_for(lambda lines: any("▸ parser" in line and "2/2" in line for line in lines), "two workers")
        top.press("\r")
        top.wait_for(lambda lines: "shop › parser  2 of 2 alive" in lines[0], "the stage")
        top.press("\r")
        top.wait_for(lambda lines: _has_stack(top, lines), "a stack")
        top.press("k")
        top.wait_for(lambda lines: lines[-1].startswith("End parser"), "a question")
        top.press("y")
        top.wait_for(lambda lines: lines[-1].startswith("asked parser"), "what came of it")
        top.press("f")
        top.wait_for(
            lambda lines: any("ValueError: no price in row 0" in line for line in lines), "the kinds"
        )
        top.press("\x1b")
        top.wait_for(lambda lines: "› parser" in lines[0], "the stage again")
        top.resize(70, 20)
        top.wait_for(lambda lines: len(lines) == 20, "the new size")
        top.press("t")
        top.wait_for(
            lambda lines: any(line.endswith(("1", "2", "3")) and "parser" in line for line in lines[2:-1]),
            "items",
        )
        top.press("\x1b\x1b")
        top.wait_for(lambda lines: lines[0].startswith("shop  running"), "the table again")
        top.press("s")
        top.wait_for(lambda lines: lines[-1].startswith("Stop the run?"), "a question")
        top.press("y")
        code, left = top.wait_for_end()

    assert (0, 143) == (code, run.wait(PATIENCE))
    assert "shop  interrupted after" in left


@pytest.mark.slow
def test_what_a_worker_said_is_read_in_the_pager_and_then_top_goes_on(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(watched.env, "PAGER", "cat > read.txt; echo paged")
    (watched.folder / "s.py").write_text(SAYING)
    watched.start("name: says\nstages: {talker: {run: 's:talk'}}\n")
    with watched.top() as top:
        top.wait_for(lambda lines: any("▸ talker" in line for line in lines), "the table")
        top.press("\r")
        top.wait_for(lambda lines: "says › talker" in lines[0], "the stage")
        watched.wait_for(lambda: "hello" in watched.command("logs", "says").stdout)
        top.press("l")
        watched.wait_for(lambda: "hello" in _text_of(watched.folder / "read.txt"))
        top.wait_for(lambda lines: "says › talker" in lines[0], "the stage again")
        top.press("q")
        code, _ = top.wait_for_end()
        assert (0, top.modes_before) == (code, top.modes)


@pytest.mark.slow
def test_a_top_that_is_stopped_does_not_hold_up_the_run_and_is_up_to_date_afterwards(
    watched: Watched,
) -> None:
    watched.start(SHOP)
    with watched.top() as top:
        top.wait_for(lambda lines: any("▸ lister" in line for line in lines), "the table")
        top.signal(signal.SIGSTOP)
        done = _done(watched)
        watched.wait_for(lambda: _done(watched) > done + 400)
        now = _done(watched)
        top.signal(signal.SIGCONT)

        def is_up_to_date(lines: list[str]) -> bool:
            saver = [line for line in lines if line.startswith("  saver")]
            return bool(saver) and int(saver[0].split()[4].replace(",", "")) >= now

        top.wait_for(is_up_to_date, "what was done meanwhile")


def _done(watched: Watched) -> int:
    return int(next(each for each in watched.snapshot()["stages"] if each["name"] == "saver")["done"])


@pytest.mark.slow
def test_a_run_whose_runner_is_killed_is_told_as_killed_and_top_ends(watched: Watched) -> None:
    run = watched.start(SHOP)
    with watched.top() as top:
        top.wait_for(lambda lines: any("▸ lister" in line for line in lines), "the table")
        os.kill(run.pid, signal.SIGKILL)
        run.wait(PATIENCE)
        code, left = top.wait_for_end()

        assert (0, top.modes_before) == (code, top.modes)
    assert "shop  killed after" in left
    assert "its runner is gone" in left


@pytest.mark.slow
def test_of_several_runs_one_is_chosen_from_a_list(watched: Watched) -> None:
    watched.start(SHOP)
    watched.start(SLOW)
    watched.wait_for(lambda: len(json.loads(watched.command("ps", "--format", "json").stdout)) == 2)

    refused = watched.command("top")
    with watched.top() as top:
        top.wait_for(lambda lines: "which one?" in lines[0], "the list")
        top.press("j\r")
        top.wait_for(lambda lines: lines[0].startswith("slow  running"), "the run")
        top.press("q")
        assert 0 == top.wait_for_end()[0]

    assert (2, True) == (refused.returncode, "several runs are under way" in refused.stderr)


@pytest.mark.slow
def test_a_killed_top_is_nobodys_trouble(watched: Watched) -> None:
    watched.start(SHOP)
    with watched.top() as top:
        top.wait_for(lambda lines: any("▸ lister" in line for line in lines), "the table")
        top.signal(signal.SIGKILL)
        top.process.wait(PATIENCE)
    done = _done(watched)

    assert watched.wait_for(lambda: _done(watched) > done)


@pytest.mark.slow
def test_without_a_terminal_a_run_under_way_is_not_watched(watched: Watched) -> None:
    watched.start(SLOW)

    done = watched.command("top")

    assert (2, True) == (done.returncode, "--once" in done.stderr)
