"""Daemonic workers are ended step by step, each step with its bound; also those that will not hear of it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest
from gallery import Capture, show

from runner.supervisor.shutdown import MOMENT, TerminationSchedule


def nothing_waits(_worker: str) -> bool:
    return False


def test_who_is_due_is_asked_and_killed_when_its_time_has_passed() -> None:
    schedule = TerminationSchedule(stop_timeout=10.0)
    schedule.begin("band", 5.0)

    steps = [(now, schedule.due(now, nothing_waits)) for now in (5.0, 5.1, 14.9, 15.0, 99.0)]

    expected = [(5.0, [("band", SIGTERM)]), (5.1, []), (14.9, []), (15.0, [("band", SIGKILL)]), (99.0, [])]
    assert expected == steps


def test_a_producer_has_its_time_and_longer_while_something_of_its_is_on_its_way() -> None:
    schedule = TerminationSchedule(stop_timeout=10.0)
    schedule.begin("chef", MOMENT)

    early = schedule.due(MOMENT / 2, nothing_waits)
    waiting = schedule.due(MOMENT, lambda worker: worker == "chef")
    soonest = schedule.soonest
    asked = schedule.due(2 * MOMENT, nothing_waits)

    assert ([], [], 2 * MOMENT, [("chef", SIGTERM)]) == (early, waiting, soonest, asked)
    assert 2 * MOMENT + 10.0 == schedule.soonest


def test_nothing_is_due_to_one_that_is_gone() -> None:
    schedule = TerminationSchedule(stop_timeout=10.0)
    schedule.begin("band", 0.0)

    schedule.ended("band")
    schedule.ended("nobody")

    assert (math.inf, []) == (schedule.soonest, schedule.due(99.0, nothing_waits))


@pytest.mark.parametrize("transport", ["leased", "joinable"])
def test_a_daemon_that_ignores_sigterm_does_not_keep_the_run_alive(
    transport: str, tmp_path: Path, capfd: Capture
) -> None:
    (tmp_path / "kitchen.py").write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "GO = Path(__file__).with_name('go')\n"
        "def deaf():\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    GO.open('w').close()\n"  # the other waits for this at the other end of the named pipe
        "    while True:\n"
        "        signal.pause()\n"
        "def wash():\n"
        "    GO.read_text()\n"
    )
    path = tmp_path / "deaf.yaml"
    path.write_text(
        "name: deaf\n"
        "limits: {stop_timeout: 100ms}\n"
        "stages:\n"
        "  band: {run: 'kitchen:deaf', daemon: true}\n"
        "  wash: {run: 'kitchen:wash'}\n"
    )
    os.mkfifo(tmp_path / "go")

    shown = show(capfd, path, transport)

    gone = shown.one("worker.exited", worker="band-1")
    assert (0, "SIGKILL", "stopped") == (shown.exit_code, gone["signal"], gone["outcome"])
    assert ["SIGTERM", "SIGKILL"] == [e["signal"] for e in shown.of("worker.terminating", worker="band-1")]
