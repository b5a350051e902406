"""`notify`, in the file and for all runs: who is told, and that the run is what it is, whatever becomes of that."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.cli.watching.notifying import ring

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
FILE = """\
name: shop
limits: {{max_errors: 9}}
notify:
{notify}
stages:
  lister: {{run: "shop:lister", to: urls}}
  eater: {{run: "shop:eat", from: urls, on_error: skip}}
"""
HANDLERS = """\
import os, signal, time
def lister():
    yield from range(3)
    if os.path.exists("wait"):
        open("waits", "w").close()
        time.sleep(60)
def eat(n):
    if n == 1:
        raise ValueError("no")
"""
KEEP = "cat > {}.json"


class Shop:
    """A folder with a workflow of which somebody is told."""

    def __init__(self, folder: Path, run_mprun: RunMprun, mprun: Path) -> None:
        self.folder = folder
        self._run_mprun = run_mprun
        self._mprun = mprun
        (folder / "shop.py").write_text(HANDLERS)
        self.environment = {
            "MPRUN_HOME": str(folder / "home"),
            "HOME": str(folder),
            "XDG_CONFIG_HOME": "",
            "MPRUN_CONFIG": "",
        }

    def write(self, *entries: str) -> None:
        (self.folder / "shop.yaml").write_text(
            FILE.format(notify="\n".join(f"  - {each}" for each in entries))
        )

    def configure(self, text: str) -> None:
        path = self.folder / ".config" / "mprun" / "config.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        given = arguments or ("run", "shop.yaml", "-q")
        return self._run_mprun(*given, cwd=self.folder, env={**self.environment, **env})

    def start(self) -> subprocess.Popen[str]:
        (self.folder / "wait").touch()
        begun = subprocess.Popen(
            [self._mprun, "run", "shop.yaml", "--no-progress"],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.wait_for("waits")
        return begun

    def wait_for(self, name: str) -> Path:
        path = self.folder / name
        until = time.monotonic() + 60
        while not path.exists():
            assert time.monotonic() < until, f"{name} never came"
            time.sleep(0.02)
        return path

    def told(self, name: str) -> dict[str, Any]:
        path = self.wait_for(f"{name}.json")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                found: dict[str, Any] = json.loads(path.read_text())
            except ValueError:
                time.sleep(0.02)
            else:
                return found
        raise AssertionError(f"{name} is not whole")


@pytest.fixture
def shop(tmp_path: Path, run_mprun: RunMprun, mprun: Path) -> Shop:
    return Shop(tmp_path, run_mprun, mprun)


def program(on: str, script: str) -> str:
    return f"{{on: {on}, run: [sh, -c, {json.dumps(script)}]}}"


def test_programs_are_told_of_the_first_failure_and_of_the_end(shop: Shop) -> None:
    shop.write(
        program("first_failure", KEEP.format("first")),
        program("[failed, finished]", "cat > end.json; echo $MPRUN_EVENT $MPRUN_EXIT_CODE > said"),
        program("failed", KEEP.format("failed")),
    )

    done = shop.run()

    assert (0, "") == (done.returncode, done.stdout)
    assert ("first_failure", "1", "ValueError: no") == tuple(
        shop.told("first")[name] for name in ("event", "item", "error")
    )
    assert ("finished", "done", 2, 1) == tuple(
        shop.told("end")[name] for name in ("event", "outcome", "done", "failed")
    )
    assert "finished 0\n" == (shop.folder / "said").read_text()
    assert not (shop.folder / "failed.json").exists()


def test_a_program_that_fails_or_is_not_there_is_one_warning_and_changes_nothing(shop: Shop) -> None:
    shop.write(program("finished", "echo oh no; exit 3"), "{on: finished, run: [no-such-program-here]}")

    done = shop.run()

    assert 0 == done.returncode
    warnings = [line for line in done.stderr.splitlines() if "notify" in line]
    assert [
        "mprun: notify: 'sh -c echo oh no; exit 3' exited with code 3: oh no",
        "mprun: notify: 'no-such-program-here' could not be run: No such file or directory",
    ] == warnings


@pytest.mark.slow
def test_a_program_that_hangs_is_ended_with_all_that_it_has_started(shop: Shop) -> None:
    shop.write(program("finished", "sleep 300 & echo $! > child; echo $$ > self; wait"))

    began = time.monotonic()
    done = shop.run()

    assert 0 == done.returncode
    assert 10 <= time.monotonic() - began
    assert "did not end within 10s, and was ended" in done.stderr
    for name in ("child", "self"):
        assert not is_alive(int((shop.folder / name).read_text()))


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


class Answering(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent, and answers as its server is told to."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        kept: Any = self.server
        kept.got.append((self.headers.get("Authorization"), json.loads(self.rfile.read(length))))
        self.send_response(kept.status)
        if kept.status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        kept: Any = self.server
        kept.got.append((self.headers.get("Authorization"), None))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.got, server.status = [], 204
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_url_is_sent_the_same_as_json(shop: Shop, service: Any) -> None:
    shop.write(f'{{on: finished, http: "http://me:a%20b@127.0.0.1:{service.server_port}/hook?token=x"}}')

    done = shop.run()

    ((authorization, facts),) = service.got
    assert (0, "Basic bWU6YSBi", "finished") == (done.returncode, authorization, facts["event"])
    assert "notify" not in done.stderr


def test_a_url_that_refuses_is_one_warning_without_what_may_be_secret(shop: Shop, service: Any) -> None:
    service.status = 500
    shop.write(
        f'{{on: finished, http: "http://127.0.0.1:{service.server_port}/hook?token=secret"}}',
        '{on: finished, http: "http://me:secret@127.0.0.1:1/secret"}',
    )

    done = shop.run()

    assert 0 == done.returncode
    assert f"notify: http://127.0.0.1:{service.server_port} answered 500\n" in done.stderr
    assert "notify: http://127.0.0.1:1 could not be reached: Connection refused\n" in done.stderr
    assert "secret" not in done.stderr


def test_a_url_that_sends_elsewhere_is_a_warning_as_nobody_there_was_told(shop: Shop, service: Any) -> None:
    service.status = 302
    shop.write(f'{{on: finished, http: "http://me:secret@127.0.0.1:{service.server_port}/hook"}}')

    done = shop.run()

    assert 0 == done.returncode
    assert f"127.0.0.1:{service.server_port} answered 302, which is elsewhere" in done.stderr
    assert 1 == len(service.got)  # neither the facts nor the password went on


def test_a_url_may_have_any_character(shop: Shop, service: Any) -> None:
    shop.write(f'{{on: finished, http: "http://127.0.0.1:{service.server_port}/包子?a=%20b"}}')

    assert "notify" not in shop.run().stderr
    assert 1 == len(service.got)


def test_whoever_is_told_of_all_runs_is_told_of_those_that_are_refused_too(shop: Shop) -> None:
    shop.configure(f"notify:\n  - {program('failed', KEEP.format('mine'))}\n")
    shop.write(program("failed", KEEP.format("files")))
    text = (shop.folder / "shop.yaml").read_text()
    (shop.folder / "shop.yaml").write_text(text.replace("from: urls", "from: url"))

    refused = shop.run()

    assert 3 == refused.returncode
    assert ("refused", 3) == tuple(shop.told("mine")[name] for name in ("outcome", "exit_code"))
    assert not (shop.folder / "files.json").exists()


def test_a_run_that_could_not_begin_is_told_of_to_both_also_where_machines_read(shop: Shop) -> None:
    shop.configure(f"notify:\n  - {program('failed', KEEP.format('mine'))}\n")
    shop.write(program("[finished, failed]", KEEP.format("files")))
    text = (shop.folder / "shop.yaml").read_text()
    (shop.folder / "shop.yaml").write_text(text.replace("on_error: skip", "on_error: dead_letter"))
    (shop.folder / "home").write_text("no folder")

    refused = shop.run("run", "shop.yaml", "--log", "json")

    assert 0 != refused.returncode
    for name in ("mine", "files"):
        told = shop.told(name)
        assert ("refused", refused.returncode) == (told["outcome"], told["exit_code"])
        assert "dead_letter" in told["reason"]


def test_a_configuration_that_does_not_check_is_shown_as_a_file_is(shop: Shop) -> None:
    shop.configure("notify:\n  - {on: ended, run: [x]}\n  - {on: failed}\nbel: true\n")
    shop.write(program("finished", "true"))

    refused = shop.run()

    assert 3 == refused.returncode
    assert "config.yaml:2:10: error[" in refused.stderr
    assert "did you mean 'bell'" in refused.stderr
    assert "3 errors in" in refused.stderr
    assert "workflow" not in refused.stderr


def test_a_configuration_of_comments_alone_says_nothing(shop: Shop) -> None:
    shop.configure("# bell: true\n")
    shop.write(program("finished", "true"))

    done = shop.run()

    assert (0, "mprun: 1 item failed and was dropped\n") == (done.returncode, done.stderr)


def test_a_configuration_that_is_a_list_is_not_taken_for_a_workflow(shop: Shop) -> None:
    shop.configure("- bell\n")
    shop.write(program("finished", "true"))

    refused = shop.run()

    assert 3 == refused.returncode
    assert "your configuration is a mapping of keys to values; this is a list" in refused.stderr
    assert "stages" not in refused.stderr


def test_the_configuration_may_be_named_and_must_then_be_there(shop: Shop) -> None:
    shop.write(program("failed", "true"))
    (shop.folder / "own.yaml").write_text(f"notify:\n  - {program('finished', KEEP.format('own'))}\n")

    assert 0 == shop.run(MPRUN_CONFIG="own.yaml").returncode
    assert "done" == shop.told("own")["outcome"]
    gone = shop.run(MPRUN_CONFIG="gone.yaml")
    assert (2, True) == (gone.returncode, "MPRUN_CONFIG names 'gone.yaml'" in gone.stderr)


@pytest.mark.slow
def test_a_runner_that_is_killed_is_told_of(shop: Shop) -> None:
    shop.write(program("failed", KEEP.format("killed")))
    with shop.start() as begun:
        begun.kill()

    told = shop.told("killed")
    assert ("failed", "killed", "shop") == tuple(told[name] for name in ("event", "outcome", "workflow"))


@pytest.mark.slow
def test_a_run_that_is_interrupted_is_told_of_and_ctrl_c_ends_what_hangs_then(shop: Shop) -> None:
    shop.write(program("failed", "cat > end.json; echo $$ > self; sleep 300"))
    with shop.start() as begun:
        os.kill(begun.pid, signal.SIGINT)
        assert "interrupted" == shop.told("end")["outcome"]
        shop.wait_for("self")
        assert begun.stderr is not None
        while "Ctrl-C ends it" not in (line := begun.stderr.readline()):
            assert line, "nobody says that it waits"
        os.kill(begun.pid, signal.SIGINT)
        _, stderr = begun.communicate(timeout=60)

    assert 130 == begun.returncode
    assert "notify: not everybody was told" in stderr
    assert not is_alive(int((shop.folder / "self").read_text()))


class OnTerminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("term", "expected"),
    [("xterm", "\x1b]9;shop\\x07 done in 1.2s\x07\a"), ("linux", "\a"), ("dumb", "\a")],
)
def test_a_terminal_rings_with_a_message_where_it_may_show_one(
    term: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    terminal, pipe = OnTerminal(), StringIO()
    report: Any = SimpleNamespace(workflow="shop\x07", outcome="done", seconds=1.23)

    ring(report, terminal)
    ring(report, pipe)

    assert (expected, "") == (terminal.getvalue(), pipe.getvalue())


@pytest.mark.parametrize("configured", [True, False])
def test_a_pipe_is_not_rung(shop: Shop, configured: bool) -> None:
    shop.write(program("failed", "true"))
    if configured:
        shop.configure("bell: true\n")

    done = shop.run(*(["run", "shop.yaml", "-q"] if configured else ["run", "shop.yaml", "-q", "--bell"]))

    assert (0, False) == (done.returncode, "\a" in done.stderr)
