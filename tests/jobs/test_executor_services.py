"""Services of a job: ready before its steps, watched beside them, stopped after them."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from jobs_workers import attempt, is_alive, read_log, request, shell, wait_until

from runner.jobs.requests import CommandRequest, ReadinessRequest, ServiceRequest
from runner.spec.model import JobResult


def service(folder: Path, script: str, **ready: Any) -> ServiceRequest:
    usual: dict[str, Any] = {
        "port": None,
        "host": "127.0.0.1",
        "command": None,
        "prints": None,
        "every": 0.02,
        "timeout": 20.0,
    }
    return ServiceRequest(
        "db",
        CommandRequest(("sh", "-c", script)),
        ReadinessRequest(**{**usual, **ready}) if ready else None,
        str(folder / "db.log"),
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_steps_begin_when_the_service_has_printed_its_line(tmp_path: Path) -> None:
    db = service(tmp_path, "sleep 0.3; echo ready now; echo $$ > pid; sleep 600", prints="^ready")
    what = request(tmp_path, shell("grep -c ready db.log"), services=(db,))

    ended, told = attempt(what)

    assert (JobResult.PASSED, "1\n") == (ended.result, read_log(what))
    assert ["service.ready", "step.started", "step.finished", "service.exited"] == [name for name, _ in told]
    assert ("SIGTERM", "the job is over") == (told[-1][1]["signal"], told[-1][1]["reason"])
    assert not is_alive(int((tmp_path / "pid").read_text()))


@pytest.mark.slow
def test_a_service_that_talks_without_end_is_found_ready_and_the_clock_is_heeded(tmp_path: Path) -> None:
    ready = service(tmp_path, "yes | head -c 20000000; echo ready now; exec sleep 600", prints="^ready")
    never = service(tmp_path, "exec yes", prints="^ready", timeout=0.5)

    first, _ = attempt(request(tmp_path, shell("true"), services=(ready,)))
    (tmp_path / "db.log").unlink()
    second, _ = attempt(request(tmp_path, shell("true"), services=(never,)))

    assert (JobResult.PASSED, "service 'db' was not ready within 500ms") == (first.result, second.reason)


def test_a_port_that_answers_is_ready(tmp_path: Path) -> None:
    port = free_port()
    program = f"exec python3 -m http.server {port} --bind 127.0.0.1"
    db = service(tmp_path, program, port=port)

    ended, _ = attempt(request(tmp_path, shell("true"), services=(db,)))

    assert JobResult.PASSED is ended.result


def test_a_port_that_is_taken_before_the_service_starts_fails_the_job_and_says_by_whom(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        db = service(tmp_path, "touch started; sleep 600", port=port)

        ended, told = attempt(request(tmp_path, shell("touch step"), services=(db,)))

    name = Path("/proc/self/comm").read_text().strip()
    reason = f"service 'db' could not start: port {port} is taken already, by pid {os.getpid()} ({name})"
    assert (JobResult.FAILED, reason) == (ended.result, ended.reason)
    assert ([], ["job.log"]) == (told, sorted(path.name for path in tmp_path.iterdir()))


def test_a_port_that_somebody_else_takes_while_the_service_starts_is_not_ready(tmp_path: Path) -> None:
    """Such as the service of another leg: it answers, and the steps must not talk to it."""
    port = free_port()
    os.mkfifo(tmp_path / "up")
    db = service(tmp_path, "echo > up; exec sleep 600", port=port, timeout=0.5)

    def listen_when_it_is_up() -> None:
        (tmp_path / "up").read_text()
        with socket.create_server(("127.0.0.1", port)):
            done.wait(60)

    done = threading.Event()
    thread = threading.Thread(target=listen_when_it_is_up)
    thread.start()
    ended, _ = attempt(request(tmp_path, shell("touch step"), services=(db,)))
    done.set()
    thread.join()

    late = f"service 'db' was not ready within 500ms: port {port} is held by pid {os.getpid()} "
    assert (JobResult.FAILED, late) == (ended.result, ended.reason[: len(late)])
    assert not (tmp_path / "step").exists()


def test_a_port_is_the_services_own_though_a_process_that_left_its_group_listens(tmp_path: Path) -> None:
    port = free_port()
    db = service(tmp_path, f"setsid python3 -m http.server {port} --bind 127.0.0.1 & wait", port=port)

    ended, _ = attempt(request(tmp_path, shell("true"), services=(db,)))

    assert JobResult.PASSED is ended.result


def test_a_service_that_died_unseen_fails_the_job_at_the_end_of_its_steps(tmp_path: Path) -> None:
    """The worker sleeps until both the service and the last step are gone, so that no wait comes between them."""
    db = service(tmp_path, "echo $$ > pid; exec sleep 600", command=CommandRequest(("test", "-s", "pid")))
    gone = "grep -q '^State:.Z' /proc/$$/status && grep -q '^State:.Z' /proc/$(cat pid)/status"
    kills = shell(f"kill -STOP $PPID; kill $(cat pid); (until {gone}; do :; done; kill -CONT $PPID) &")
    what = request(tmp_path, kills, services=(db,), ensure=(shell("echo cleaned"),))

    ended, _ = attempt(what)

    assert (JobResult.FAILED, "service 'db' ended before the job did") == (ended.result, ended.reason)
    assert "cleaned\n" == read_log(what)


def test_a_command_that_exits_with_0_says_that_it_is_ready(tmp_path: Path) -> None:
    asks = CommandRequest(("test", "-e", "up"))
    db = service(tmp_path, "sleep 0.2; touch up; sleep 600", command=asks)

    ended, _ = attempt(request(tmp_path, shell("test -e up"), services=(db,)))

    assert JobResult.PASSED is ended.result


def test_a_service_that_is_never_ready_fails_the_job_before_its_first_step(tmp_path: Path) -> None:
    db = service(tmp_path, "sleep 600", prints="ready", timeout=0.3)

    ended, told = attempt(request(tmp_path, shell("echo never"), services=(db,)))

    assert (JobResult.FAILED, "service 'db' was not ready within 300ms") == (ended.result, ended.reason)
    assert ["service.exited"] == [name for name, _ in told]


@pytest.mark.slow
def test_an_expression_that_comes_to_no_end_fails_the_job_and_holds_nobody_up(tmp_path: Path) -> None:
    db = service(tmp_path, f"echo {'a' * 40}!; sleep 600", prints="(a+)+$")

    ended, told = attempt(request(tmp_path, shell("echo never"), services=(db,)))

    reason = "`prints` of service 'db': it came to no end: something that repeats is repeated, as in (a+)+"
    assert (JobResult.FAILED, reason, ["service.exited"]) == (
        ended.result,
        ended.reason,
        [name for name, _ in told],
    )


def test_a_service_that_ends_fails_the_job_under_way(tmp_path: Path) -> None:
    db = service(tmp_path, "sleep 0.3; exit 5")

    ended, told = attempt(
        request(tmp_path, shell("sleep 600"), services=(db,), ensure=(shell("echo cleaned"),))
    )

    assert (JobResult.FAILED, "service 'db' ended before the job did") == (ended.result, ended.reason)
    name, told_last = told[-1]
    assert ("service.exited", 5, "it ended before the job did", True, db.log) == (
        name,
        *(told_last[key] for key in ("exitcode", "reason", "early", "log")),
    )


def test_what_services_print_is_masked_in_a_log_of_their_own(tmp_path: Path) -> None:
    db = service(tmp_path, "echo the s3cr3t is out; sleep 600", prints="is out")
    what = request(tmp_path, shell("echo mine"), services=(db,), secrets=("s3cr3t",))

    attempt(what)

    assert ("mine\n", "the *** is out\n") == (read_log(what), (tmp_path / "db.log").read_text())


def test_a_service_and_what_it_has_started_are_gone_when_the_job_is(tmp_path: Path) -> None:
    db = service(tmp_path, "sleep 600 & echo $!; setsid sleep 601 & echo $!; echo up; wait", prints="up")

    attempt(request(tmp_path, shell("true"), services=(db,)))

    pids = [int(word) for word in (tmp_path / "db.log").read_text().split() if word.isdigit()]
    assert 2 == len(pids)
    wait_until(lambda: not any(map(is_alive, pids)))
