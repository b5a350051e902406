"""The real process: where it listens, who else may, how it ends, and what it says where it can't begin."""

from __future__ import annotations

import http.client
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from web.asgi import Answer
from web.dashboards import ENOUGH, StartedDashboard, start_dashboard, wait_until

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., StartedDashboard]


@pytest.fixture
def start(mprun: Path, plain_env: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start dashboards over one home, which end with the test."""
    started: list[StartedDashboard] = []

    def start(*options: str) -> StartedDashboard:
        started.append(start_dashboard(mprun, plain_env, tmp_path / "home", *options))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def ask(dashboard: StartedDashboard, path: str, method: str = "GET", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=ENOUGH)) as line:
        line.request(method, path, headers=headers)
        answer = line.getresponse()
        return Answer(
            answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        )


def sign_in(dashboard: StartedDashboard) -> str:
    answer = ask(dashboard, dashboard.link.removeprefix(dashboard.base))
    assert 303 == answer.status
    return str(answer.headers["set-cookie"]).partition(";")[0]


@pytest.mark.slow
def test_a_link_and_a_cookie_last_over_restarts(start: Start) -> None:
    first = start()
    cookie = sign_in(first)
    first.kill()

    second = start("--port", str(first.port))

    assert first.link == second.link
    assert 200 == ask(second, "/", Cookie=cookie).status
    assert 401 == ask(second, "/").status


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(start: Start, run_mprun: RunMprun, tmp_path: Path) -> None:
    first = start()

    refused = run_mprun("dashboard", "--home", tmp_path / "home", "--port", str(first.port))

    assert 2 == refused.returncode
    assert (
        f"can't listen on port {first.port} of 127.0.0.1: something listens there already" in refused.stderr
    )
    assert "--port 0" in refused.stderr


@pytest.mark.slow
def test_a_socket_in_the_file_system_is_for_its_owner_alone_and_goes_in_the_end(
    start: Start, tmp_path: Path
) -> None:
    place = tmp_path / "dashboard.sock"
    dashboard = start("--uds", str(place))

    assert 0o600 == stat.S_IMODE(place.stat().st_mode)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ENOUGH)
        line.connect(str(place))
        line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 401 " in line.recv(100)
    dashboard.process.terminate()
    assert 143 == dashboard.process.wait(ENOUGH)
    assert not place.exists()


@pytest.mark.slow
def test_a_socket_that_a_killed_dashboard_left_is_taken_over_and_a_file_is_not(
    start: Start, run_mprun: RunMprun, tmp_path: Path
) -> None:
    place, file = tmp_path / "dashboard.sock", tmp_path / "file"
    start("--uds", str(place)).kill()
    start("--uds", str(place))
    file.write_text("kept")

    refused = run_mprun("dashboard", "--home", tmp_path / "home", "--uds", file)

    assert 2 == refused.returncode
    assert "kept" == file.read_text()


@pytest.mark.slow
def test_it_ends_at_once_though_pages_are_open(start: Start) -> None:
    dashboard = start()
    cookie = sign_in(dashboard)
    with closing(http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=ENOUGH)) as line:
        line.request("GET", "/stream/", headers={"Cookie": cookie})
        assert line.getresponse().read(5) == b"retry"

        dashboard.process.send_signal(signal.SIGINT)

        assert 130 == dashboard.process.wait(ENOUGH)


@pytest.mark.slow
def test_who_does_not_read_costs_no_memory_and_others_go_on(start: Start) -> None:
    dashboard = start()
    cookie = sign_in(dashboard)
    request = f"GET /stream/ HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode()
    silent = []
    for _ in range(20):
        line = socket.create_connection(("127.0.0.1", dashboard.port), timeout=ENOUGH)
        line.sendall(request)
        silent.append(line)

    assert 200 == ask(dashboard, "/", Cookie=cookie).status
    for line in silent:
        line.close()
    descriptors = Path(f"/proc/{dashboard.process.pid}/fd")
    wait_until(lambda: len(list(descriptors.iterdir())) < 20, "those that have gone are forgotten")


def test_other_machines_are_kept_out_unless_told(run_mprun: RunMprun, tmp_path: Path) -> None:
    refused = run_mprun("dashboard", "--home", tmp_path, "--host", "0.0.0.0")

    assert 2 == refused.returncode
    assert "other machines could reach it" in refused.stderr
    assert "ssh -L" in refused.stderr and "--allow-remote" in refused.stderr


@pytest.mark.slow
def test_other_machines_that_are_let_in_only_look(start: Start) -> None:
    dashboard = start("--host", "0.0.0.0", "--allow-remote")
    own = {"Cookie": sign_in(dashboard), "Origin": f"http://127.0.0.1:{dashboard.port}"}

    answer = ask(dashboard, "/runs/ffffffff/stop", "POST", **own)

    assert 403 == answer.status
    assert "--read-only" in answer.text


def test_without_its_extra_it_says_how_to_have_it(
    mprun: Path, plain_env: dict[str, str], tmp_path: Path
) -> None:
    program = (
        "import sys, importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'uvicorn' else found(name, *rest)\n"
        "from runner.cli.main import main\n"
        "sys.exit(main(['dashboard']))\n"
    )
    (tmp_path / "program.py").write_text(program)

    python = mprun.with_name("python")
    refused = subprocess.run(
        [python, tmp_path / "program.py"],
        check=False,
        env=plain_env,
        capture_output=True,
        text=True,
        timeout=ENOUGH,
    )

    assert 2 == refused.returncode
    assert "pip install 'mprun[web]'" in refused.stderr


def test_a_home_that_others_may_write_is_refused(run_mprun: RunMprun, tmp_path: Path) -> None:
    place = tmp_path / "home"
    place.mkdir()
    place.chmod(0o777)

    refused = run_mprun("dashboard", "--home", place)

    assert 2 == refused.returncode
    assert "can be written by others" in refused.stderr
    assert [] == list(place.iterdir())
