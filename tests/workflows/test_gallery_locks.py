"""The gallery's locks: whole with them, mixed without, and nobody blocked by a holder that is killed."""

from __future__ import annotations

import os
import shutil
import signal
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from gallery import GALLERY, Capture, show

TRANSPORTS = pytest.mark.parametrize("transport", ["leased", "joinable"])
TASKS = ("子进程1", "子进程2", "子进程3")


def speeches(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The lines of each stretch in which one worker alone printed."""
    parted = (line.split(": ") for line in lines)
    return [(name, [words for _, words in own]) for name, own in groupby(parted, key=lambda part: part[0])]


def without_lock(name: str, folder: Path) -> Path:
    """A copy of a file with its line `lock:` commented out."""
    text = (GALLERY / f"{name}.yaml").read_text(encoding="utf-8")
    shutil.copy(GALLERY / f"{name}.py", folder)
    copy = folder / f"{name}.yaml"
    copy.write_text(text.replace("    lock:", "    # lock:"), encoding="utf-8")
    assert copy.read_text(encoding="utf-8") != text
    return copy


@TRANSPORTS
@pytest.mark.quick("leased")
def test_under_the_lock_the_lines_of_one_process_stay_together(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "mutex", transport, params={"pause": 0.05})

    whole = ["第1句", "第2句", "第3句"]
    assert 0 == shown.exit_code
    assert [(name, whole) for name in TASKS] == sorted(speeches(shown.lines))


@TRANSPORTS
@pytest.mark.slow
def test_without_the_lock_they_mix(transport: str, tmp_path: Path, capfd: Capture) -> None:
    shown = show(capfd, without_lock("mutex", tmp_path), transport, params={"pause": 0.4})

    assert (0, 9) == (shown.exit_code, len(shown.lines))
    assert len(speeches(shown.lines)) > len(TASKS)


class Killer:
    """Kills the first worker that has the lock: one that has printed its first line, and not yet its last."""

    def __init__(self, capture: Capture) -> None:
        self.printed = ""
        self.victim: str | None = None
        self._capture = capture
        self._pids: dict[str, int] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        """Look at what has been printed at each event; one comes four times a second at least."""
        if event["event"] == "worker.spawned":
            self._pids[event["worker"]] = event["pid"]
        self.printed += self._capture.readouterr().out
        lines = self.printed.splitlines()
        if self.victim is None and lines and not lines[-1].endswith("第3句"):
            self.victim = lines[-1].split(":")[0]
            os.kill(self._pids[self.victim], signal.SIGKILL)


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_holds_the_lock_does_not_block_the_others(capfd: Capture) -> None:
    killer = Killer(capfd)

    again = ("stages.task.restart=crash",)
    shown = show(capfd, "mutex", "leased", params={"pause": 0.3}, overrides=again, on_event=killer)

    whole = ["第1句", "第2句", "第3句"]
    spoken = speeches((killer.printed + shown.stdout).splitlines())
    assert killer.victim is not None
    assert (0, "SIGKILL") == (shown.exit_code, shown.of("worker.exited", worker=killer.victim)[0]["signal"])
    # The one that takes its place begins anew; it may have the lock next, and print behind its torn speech.
    assert whole == spoken[-1][1][-3:]
    assert set(TASKS) == {name for name, words in spoken if words[-3:] == whole}


def test_where_a_death_ends_the_run_nobody_waits_for_the_dead_ones_lock(capfd: Capture) -> None:
    killer = Killer(capfd)

    shown = show(capfd, "mutex", "joinable", params={"pause": 0.3}, on_event=killer)

    gone = {event["worker"]: event["outcome"] for event in shown.of("worker.exited")}
    assert killer.victim is not None
    assert (1, "died") == (shown.exit_code, gone[killer.victim])
    assert "killed by SIGKILL" in shown.one("run.finished")["reason"]


def sales(lines: list[str]) -> tuple[int, int]:
    """How many bought a ticket, and how many found none left."""
    return sum("bought" in line for line in lines), sum("sold out" in line for line in lines)


@TRANSPORTS
@pytest.mark.parametrize("count", [0, 3, 12])
@pytest.mark.quick("12-leased")
def test_exactly_as_many_succeed_as_there_were_tickets(
    transport: str, count: int, tmp_path: Path, capfd: Capture
) -> None:
    file = tmp_path / "tickets.json"

    shown = show(capfd, "tickets", transport, params={"file": file, "count": count, "delay": 0.001})

    sold = min(count, 10)
    assert (0, (sold, 10 - sold)) == (shown.exit_code, sales(shown.lines))
    assert 10 == sum(line.startswith("look-") and line.endswith(f": {count} left") for line in shown.lines)
    assert (f"the office closes: {count - sold} left", False) == (shown.lines[-1], file.exists())


@TRANSPORTS
@pytest.mark.slow
def test_without_the_lock_more_are_sold_than_there_were(
    transport: str, tmp_path: Path, capfd: Capture
) -> None:
    file, path = tmp_path / "tickets.json", without_lock("tickets", tmp_path)

    shown = show(capfd, path, transport, params={"file": file, "count": 1, "delay": 0.7})

    sold, _ = sales(shown.lines)
    assert (0, True) == (shown.exit_code, sold > 1)
