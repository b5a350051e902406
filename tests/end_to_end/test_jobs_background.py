"""Jobs in the background through the installed command: whatever is killed, nobody hangs and nobody is left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from jobs_runs import Running, Runs
from jobs_workers import is_alive, wait_until

pytestmark = pytest.mark.slow

DAEMON = "setsid sh -c 'sleep 606 & echo $! > daemon; exec sleep 605' < /dev/null > /dev/null 2>&1 &"
"""Starts what leaves its group and its session."""
SERVED = f"""\
name: r
limits: {{stop_timeout: 5s}}
jobs:
  db:
    background: true
    attempts: {{max: 2, backoff: 0s}}
    steps:
      - "{DAEMON} until test -s daemon; do sleep 0.02; done"
      - 'echo $$ > pid; test -e wait && until test -e go; do sleep 0.02; done; touch up; exec sleep 600'
    ready: {{run: test -e up, every: 20ms}}
  api: {{needs: db, run: "touch using; exec sleep 601"}}
  after: {{needs: api, run: "true"}}
"""


@pytest.fixture
def runs(tmp_path: Path, mprun: Path, plain_env: Mapping[str, str]) -> Iterator[Runs]:
    """Starts runs, and sees to it that nothing of them is left."""
    made = Runs(tmp_path, mprun, plain_env)
    yield made
    made.close()


def used(runs: Runs) -> Running:
    """A run whose job in the background is ready and in use."""
    run = runs.start(SERVED, "--jobs", "1")
    run.wait_for("job.ready", job="db")
    wait_until((runs.folder / "using").exists)
    return run


def starting(runs: Runs) -> Running:
    """A run whose job in the background is not ready yet."""
    (runs.folder / "wait").touch()
    run = runs.start(SERVED, "--jobs", "1")
    number(runs, "pid")
    return run


def number(runs: Runs, name: str) -> int:
    """Return the number that a file has, once it has one."""
    file = runs.folder / name
    wait_until(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text())


def worker_of(run: Running, job: str) -> int:
    """Return the process of the worker that a job runs in."""
    name = run.wait_for("job.started", job=job)["worker"]
    pid: int = run.named("worker.spawned", worker=name)[-1]["pid"]
    return pid


def reason(run: Running, job: str) -> str:
    return str(run.named("job.finished", job=job)[-1]["reason"])


def test_its_process_killed_while_in_use_fails_it_and_cancels_who_uses_it(runs: Runs) -> None:
    run = used(runs)

    os.kill(number(runs, "pid"), signal.SIGKILL)

    assert 1 == run.finish()
    assert {"db": "failed", "api": "cancelled", "after": "skipped"} == run.results
    assert reason(run, "api").startswith("'db', which it needs, failed: it was killed by SIGKILL")
    assert [] == run.left_behind()


def test_its_process_killed_before_it_is_ready_costs_an_attempt(runs: Runs) -> None:
    run = starting(runs)
    pid = number(runs, "pid")
    (runs.folder / "pid").unlink()

    os.kill(pid, signal.SIGKILL)

    run.wait_for("job.retried", job="db")
    (runs.folder / "go").touch()
    ready = run.wait_for("job.ready", job="db")
    assert ready["duration"] > 0
    run.wait_for("job.started", job="api")
    os.kill(run.process.pid, signal.SIGINT)
    assert 130 == run.finish()
    assert [] == run.left_behind()


def test_its_worker_killed_while_in_use_fails_it_and_cancels_who_uses_it(runs: Runs) -> None:
    run = used(runs)

    os.kill(worker_of(run, "db"), signal.SIGKILL)

    assert 1 == run.finish()
    assert {"db": "failed", "api": "cancelled", "after": "skipped"} == run.results
    assert "its worker was killed by SIGKILL" == reason(run, "db")
    assert [] == run.left_behind()


def test_its_worker_killed_before_it_is_ready_costs_an_attempt(runs: Runs) -> None:
    run = starting(runs)

    os.kill(worker_of(run, "db"), signal.SIGKILL)
    run.wait_for("job.retried", job="db")
    (runs.folder / "go").touch()
    run.wait_for("job.started", job="api")
    os.kill(run.process.pid, signal.SIGINT)

    assert 130 == run.finish()
    assert [] == run.left_behind()


@pytest.mark.parametrize("at", [used, starting])
def test_the_runner_killed_leaves_nobody_of_it_wherever_they_went(runs: Runs, at: object) -> None:
    run = used(runs) if at is used else starting(runs)
    daemon = number(runs, "daemon")

    os.kill(run.process.pid, signal.SIGKILL)

    wait_until(lambda: run.left_behind() == [])
    assert not is_alive(daemon)


@pytest.mark.parametrize("at", [used, starting])
def test_ctrl_c_ends_it_and_all_that_it_started(runs: Runs, at: object) -> None:
    run = used(runs) if at is used else starting(runs)

    os.kill(run.process.pid, signal.SIGINT)

    assert 130 == run.finish()
    assert {"api": "cancelled", "after": "cancelled"} == {k: run.results[k] for k in ("api", "after")}
    assert ("passed" if at is used else "cancelled") == run.results["db"]
    assert [] == run.left_behind()


def test_ctrl_c_ends_it_after_those_that_use_it_have_cleaned_up(runs: Runs) -> None:
    run = runs.start(
        "name: r\njobs:\n  db: {background: true, run: 'echo $$ > pid; exec sleep 600'}\n"
        "  api: {needs: db, run: 'touch using; exec sleep 601', ensure: ['kill -0 $(cat pid) && touch was-there']}\n"
    )
    wait_until((runs.folder / "using").exists)

    os.kill(run.process.pid, signal.SIGINT)

    assert 130 == run.finish()
    assert (runs.folder / "was-there").exists()


def test_a_second_ctrl_c_ends_at_once_one_that_hears_no_signal(runs: Runs) -> None:
    run = runs.start(
        "name: r\nlimits: {stop_timeout: 1h}\njobs:\n"
        "  db: {background: true, run: \"trap '' TERM; while :; do sleep 0.1; done\"}\n"
    )
    run.wait_for("job.ready", job="db")
    os.kill(run.process.pid, signal.SIGINT)
    run.wait_for("job.cancelled", job="db")

    os.kill(run.process.pid, signal.SIGINT)

    assert 130 == run.finish()
    wait_until(lambda: run.left_behind() == [])


def test_one_that_hears_no_signal_is_killed_and_that_is_well(runs: Runs) -> None:
    run = runs.start(
        "name: r\nlimits: {stop_timeout: 300ms}\njobs:\n"
        "  db: {background: true, run: \"trap '' TERM; while :; do sleep 0.1; done\"}\n"
        "  a: {needs: db, run: 'true'}\n"
    )

    assert 0 == run.finish(), run.said
    assert {"db": "passed", "a": "passed"} == run.results
    assert [] == run.left_behind()


def test_one_that_somebody_stops_takes_along_who_uses_it(runs: Runs) -> None:
    run = used(runs)
    shown = runs.ask("ps").stdout
    assert "background, ready for" in runs.ask("ps", run.named("run.started")[0]["run"]).stdout, shown

    asked = runs.ask("stop", run.named("run.started")[0]["run"], "--job", "db")

    assert (0, 1) == (asked.returncode, run.finish()), asked.stderr
    assert {"db": "cancelled", "api": "cancelled", "after": "skipped"} == run.results
    assert "'db', which it needs, was cancelled" in reason(run, "api")
    assert [] == run.left_behind()


# ── whose the port is ──

SERVER = """\
import os, socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
if "daemon" in sys.argv:
    if os.fork():
        time.sleep(600)
    os.setsid()
    if os.fork():
        os._exit(0)
server = socket.socket(family)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((sys.argv[1], int(sys.argv[2])))
server.listen()
open("up", "w").close()
while True:
    connection = server.accept()[0]
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 204 No Content\\r\\nConnection: close\\r\\n\\r\\n")
    connection.close()
"""


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def has_ipv6() -> bool:
    with contextlib.suppress(OSError):
        return free_port("::1") > 0
    return False


@pytest.mark.parametrize("how", ["http", "port"])
@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0", "::1", "::"])
@pytest.mark.parametrize("who", ["itself", "grandchild", "daemon"])
def test_a_listener_of_its_own_is_found_wherever_it_stands(runs: Runs, how: str, bind: str, who: str) -> None:
    if ":" in bind and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    port, host = free_port(bind), "::1" if ":" in bind else "127.0.0.1"
    (runs.folder / "server.py").write_text(SERVER)
    command = f"{sys.executable} server.py {bind} {port} {who}"
    command = f"sh -c '{command}; true'; true" if who == "grandchild" else f"exec {command}"
    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    ready = f'http: "{url}"' if how == "http" else f'port: {port}, host: "{host}"'
    run = runs.start(
        f'name: r\njobs:\n  web: {{background: true, run: "{command}", ready: {{{ready}, every: 20ms}}}}\n'
        "  a: {needs: web, run: test -e up}\n"
    )

    assert 0 == run.finish(), run.said
    assert [] == run.left_behind()


@pytest.mark.parametrize("how", ["http", "port"])
@pytest.mark.parametrize("of", ["job", "service"])
def test_a_stranger_that_listens_already_fails_it_and_is_named(runs: Runs, how: str, of: str) -> None:
    port = free_port()
    (runs.folder / "server.py").write_text(SERVER)
    stranger = subprocess.Popen([sys.executable, "server.py", "127.0.0.1", str(port)], cwd=runs.folder)
    try:
        wait_until((runs.folder / "up").exists)
        name = Path(f"/proc/{stranger.pid}/comm").read_text().strip()
        ready = f'http: "http://127.0.0.1:{port}/"' if how == "http" else f"port: {port}"
        keys = f"run: exec sleep 600, ready: {{{ready}, every: 20ms}}"
        text = (
            f"name: r\njobs:\n  web: {{background: true, {keys}}}\n  a: {{needs: web, run: 'true'}}\n"
            if of == "job"
            else f"name: r\njobs:\n  web: {{services: {{s: {{{keys}}}}}, run: 'true'}}\n"
        )
        run = runs.start(text)
        assert 1 == run.finish(), run.said
    finally:
        stranger.kill()
        stranger.wait()
    assert f"port {port} is taken already, by pid {stranger.pid} ({name})" in reason(run, "web"), reason(
        run, "web"
    )
