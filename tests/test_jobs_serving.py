"""Services of a job: ready before its steps, watched beside them, stopped after them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from jobs_workers import attempt, is_alive, order, read_log, shell, wait_until

from runner.jobs.orders import CommandOrder, ReadyOrder, ServiceOrder
from runner.spec_jobs import Result


def service(folder: Path, script: str, **ready: Any) -> ServiceOrder:
    usual: dict[str, Any] = {
        "port": None,
        "host": "127.0.0.1",
        "command": None,
        "prints": None,
        "every": 0.02,
        "timeout": 20.0,
    }
    return ServiceOrder(
        "db",
        CommandOrder(("sh", "-c", script)),
        ReadyOrder(**{**usual, **ready}) if ready else None,
        str(folder / "db.log"),
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_steps_begin_when_the_service_has_printed_its_line(tmp_path: Path) -> None:
    db = service(tmp_path, "sleep 0.3; echo ready now; echo $$ > pid; sleep 600", prints="^ready")
    what = order(tmp_path, shell("grep -c ready db.log"), services=(db,))

    ended, told = attempt(what)

    assert (Result.PASSED, "1\n") == (ended.result, read_log(what))
    assert ["service.ready", "step.started", "step.finished", "service.exited"] == [name for name, _ in told]
    assert ("SIGTERM", "the job is over") == (told[-1][1]["signal"], told[-1][1]["reason"])
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_service_that_talks_without_end_is_found_ready_and_the_clock_is_heeded(tmp_path: Path) -> None:
    ready = service(tmp_path, "yes | head -c 20000000; echo ready now; exec sleep 600", prints="^ready")
    never = service(tmp_path, "exec yes", prints="^ready", timeout=0.5)

    first, _ = attempt(order(tmp_path, shell("true"), services=(ready,)))
    (tmp_path / "db.log").unlink()
    second, _ = attempt(order(tmp_path, shell("true"), services=(never,)))

    assert (Result.PASSED, "service 'db' was not ready within 500ms") == (first.result, second.reason)


def test_a_port_that_answers_is_ready(tmp_path: Path) -> None:
    port = free_port()
    program = f"exec python3 -m http.server {port} --bind 127.0.0.1"
    db = service(tmp_path, program, port=port)

    ended, _ = attempt(order(tmp_path, shell("true"), services=(db,)))

    assert Result.PASSED is ended.result


def test_a_command_that_exits_with_0_says_that_it_is_ready(tmp_path: Path) -> None:
    asks = CommandOrder(("test", "-e", "up"))
    db = service(tmp_path, "sleep 0.2; touch up; sleep 600", command=asks)

    ended, _ = attempt(order(tmp_path, shell("test -e up"), services=(db,)))

    assert Result.PASSED is ended.result


def test_a_service_that_is_never_ready_fails_the_job_before_its_first_step(tmp_path: Path) -> None:
    db = service(tmp_path, "sleep 600", prints="ready", timeout=0.3)

    ended, told = attempt(order(tmp_path, shell("echo never"), services=(db,)))

    assert (Result.FAILED, "service 'db' was not ready within 300ms") == (ended.result, ended.reason)
    assert ["service.exited"] == [name for name, _ in told]


def test_a_service_that_ends_fails_the_job_under_way(tmp_path: Path) -> None:
    db = service(tmp_path, "sleep 0.3; exit 5")

    ended, told = attempt(
        order(tmp_path, shell("sleep 600"), services=(db,), ensure=(shell("echo cleaned"),))
    )

    assert (Result.FAILED, "service 'db' ended before the job did") == (ended.result, ended.reason)
    name, told_last = told[-1]
    assert ("service.exited", 5, "it ended before the job did", True, db.log) == (
        name,
        *(told_last[key] for key in ("exitcode", "reason", "early", "log")),
    )


def test_what_services_print_is_masked_in_a_log_of_their_own(tmp_path: Path) -> None:
    db = service(tmp_path, "echo the s3cr3t is out; sleep 600", prints="is out")
    what = order(tmp_path, shell("echo mine"), services=(db,), secrets=("s3cr3t",))

    attempt(what)

    assert ("mine\n", "the *** is out\n") == (read_log(what), (tmp_path / "db.log").read_text())


def test_a_service_and_what_it_has_started_are_gone_when_the_job_is(tmp_path: Path) -> None:
    db = service(tmp_path, "sleep 600 & echo $!; setsid sleep 601 & echo $!; echo up; wait", prints="up")

    attempt(order(tmp_path, shell("true"), services=(db,)))

    pids = [int(word) for word in (tmp_path / "db.log").read_text().split() if word.isdigit()]
    assert 2 == len(pids)
    wait_until(lambda: not any(map(is_alive, pids)))
