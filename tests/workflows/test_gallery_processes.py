"""The gallery's processes: begun, joined, ended, and apart from each other. Each test checks the point of its file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gallery import GALLERY, Capture, RunMprun, Showing, moment, show, show_by_command

from runner.errors import SpecError
from runner.loader.load import load

TRANSPORTS = pytest.mark.parametrize("transport", ["leased", "joinable"])
SECONDS = {"子进程1": 0.5, "子进程2": 0.3, "子进程3": 0.2}
LONG_ENOUGH = {name: seconds + 0.6 for name, seconds in SECONDS.items()}
"""For three births to fit in, also on a machine that is busy."""


@TRANSPORTS
@pytest.mark.parametrize("name", ["process-function", "process-class"])
@pytest.mark.quick("class-leased")
def test_the_main_line_comes_first_and_each_process_is_done_after_its_time(
    name: str, transport: str, capfd: Capture
) -> None:
    shown = show(capfd, name, transport, params={"seconds": 0.2})

    assert (0, "主进程") == (shown.exit_code, shown.lines[0]), shown.stderr
    for child in ("子进程1", "子进程2"):
        assert [f"{child} is running", f"{child} is done"] == [
            li for li in shown.lines if li.startswith(child)
        ]
    assert min(shown.busy("by-place-1"), shown.busy("by-name-1")) >= 0.2
    assert 5 == len(shown.lines)


@TRANSPORTS
def test_a_worker_knows_its_pid_and_its_parent_as_the_events_do(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "pids", transport)

    supervisor = shown.one("run.started")["pid"]
    told = [f"{e['worker']}: {e['pid']}, parent {supervisor}" for e in shown.of("worker.spawned")]
    assert sorted(told) == sorted(shown.lines)
    assert {supervisor} == {event["ppid"] for event in shown.of("worker.spawned")}
    assert 3 == len({event["pid"] for event in shown.of("worker.spawned")} - {supervisor})


@TRANSPORTS
@pytest.mark.quick("leased")
def test_processes_side_by_side_all_live_at_once(transport: str, capfd: Capture) -> None:
    """
    That they take as long as the longest of them is seen in their lives: each is born before the first is gone.
    """
    shown = show(capfd, "join-parallel", transport, params={"seconds": LONG_ENOUGH})

    lives = {worker: shown.lifetime(worker) for worker in SECONDS}
    assert 0 == shown.exit_code
    assert max(born for born, _ in lives.values()) < min(gone for _, gone in lives.values())
    assert "主进程: everyone is done" == shown.lines[-1]


@TRANSPORTS
@pytest.mark.quick("leased")
def test_processes_one_after_the_other_never_live_at_once(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "join-serial", transport, params={"seconds": SECONDS})

    births_and_deaths = [at for worker in SECONDS for at in shown.lifetime(worker)]
    assert 0 == shown.exit_code
    assert sorted(births_and_deaths) == births_and_deaths
    assert all(shown.busy(worker) >= seconds for worker, seconds in SECONDS.items())
    running = [f"{worker} is {what}" for worker in SECONDS for what in ("running", "done")]
    assert [*running, "主进程: everyone is done"] == shown.lines


def test_join_serial_differs_from_join_parallel_in_one_line() -> None:
    parallel, serial = (
        [line for line in (GALLERY / f"join-{how}.yaml").read_text().splitlines() if line[:2] in ("  ", "st")]
        for how in ("parallel", "serial")
    )

    assert ["start: serial"] == [line.strip() for line in serial if bare(line) not in map(bare, parallel)]


def bare(line: str) -> str:
    """A line without its comment."""
    return line.partition("#")[0].strip()


@pytest.fixture(scope="module", params=["leased", "joinable"])
def terminated(request: pytest.FixtureRequest, run_mprun: RunMprun, mprun: Path) -> Showing:
    """One run of the file, whose commands find `mprun` on their path."""
    path = {"PATH": f"{mprun.parent}:{os.environ['PATH']}"}
    return show_by_command(run_mprun, "terminate", transport=request.param, env=path)


@pytest.mark.quick("leased")
def test_a_process_that_is_terminated_is_alive_before_and_gone_after(terminated: Showing) -> None:
    states = [
        match[1] for line in terminated.lines if (match := re.match(r"子进程1 +子进程 +\d+ +(\w+)", line))
    ]

    assert (0, ["alive", "ended"]) == (terminated.exit_code, states), terminated.stderr


@pytest.mark.slow
def test_ps_shows_whom_a_signal_ended_and_how_long_that_took(terminated: Showing) -> None:
    (after,) = [line for line in terminated.lines if line.startswith("子进程1 ") and " ended " in line]

    assert re.search(
        r"SIGTERM, [\d.]+m?s after it was asked to end: stopped by `mprun stop --worker`$", after
    )


def test_that_it_was_asked_and_that_it_is_gone_are_two_moments(terminated: Showing) -> None:
    asked = terminated.one("worker.terminating", worker="子进程1")
    gone = terminated.one("worker.exited", worker="子进程1")
    next_one = terminated.one("worker.spawned", worker="look-again-1")

    assert ("SIGTERM", "SIGTERM", "stopped") == (asked["signal"], gone["signal"], gone["outcome"])
    assert moment(asked) < moment(gone) <= moment(next_one)
    assert "子进程1 is done" not in terminated.lines


@TRANSPORTS
@pytest.mark.quick("leased")
def test_what_one_process_sets_the_others_do_not_see(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "isolation", transport)

    assert 0 == shown.exit_code
    assert ["changer-1: n is 0", "onlooker-1: n is 100", "onlooker-2: n is 100"] == sorted(shown.lines)


@pytest.fixture
def isolation(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The handlers' module, loaded in this process, which is going to be the supervisor."""
    monkeypatch.syspath_prepend(GALLERY)
    import isolation

    yield isolation
    del sys.modules["isolation"]


@TRANSPORTS
def test_nor_does_the_supervisor_even_where_it_has_the_module(
    transport: str, isolation: object, capfd: Capture
) -> None:
    shown = show(capfd, "isolation", transport)

    assert (0, 100) == (shown.exit_code, isolation.n)  # type: ignore[attr-defined]


def test_inline_all_of_them_are_one_process_and_do(run_mprun: RunMprun) -> None:
    shown = show_by_command(run_mprun, "isolation", transport="inline")

    assert ["changer-1: n is 0", "onlooker-1: n is 0", "onlooker-2: n is 0"] == sorted(shown.lines)


@TRANSPORTS
@pytest.mark.quick("leased")
def test_a_daemon_ends_with_the_work_in_the_middle_of_its_sentence(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "daemon", transport, params={"work": 1, "beat": 1000})

    gone = shown.one("worker.exited", worker="heartbeat-1")
    assert (0, ["心跳: I am …", "主进程: the work is done"]) == (shown.exit_code, shown.lines)
    assert ("SIGTERM", "stopped") == (gone["signal"], gone["outcome"])
    assert "daemonic, and nothing needs it any more" == gone["reason"]
    assert moment(shown.one("worker.exited", worker="work-1")) <= moment(gone)


@TRANSPORTS
@pytest.mark.quick("leased")
def test_a_daemon_that_starts_a_child_is_told_why_it_can_not(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "daemon", transport, params={"children": True, "work": 1000})

    gone = shown.one("worker.exited", worker="heartbeat-1")
    refusal = "AssertionError: daemonic processes are not allowed to have children"
    assert (1, "died", refusal) == (shown.exit_code, gone["outcome"], gone["reason"])


def test_inline_where_it_would_hold_up_the_work_the_daemon_is_refused() -> None:
    with pytest.raises(SpecError) as refused:
        load(GALLERY / "daemon.yaml", overrides=["transport=inline"])

    (diagnostic,) = refused.value.diagnostics
    assert ("transport-cannot", True) == (diagnostic.code, "a plain daemonic worker" in diagnostic.message)
