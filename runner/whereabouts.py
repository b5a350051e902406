"""Which runs are under way here: those whose control socket answers, whatever else their records say.

    records ──► knock ──┬── somebody listens ──► live: `ps`, `stop` and `scale` may mean it
                        └── nobody does, and its process is gone ──► sweep: what it could not take away itself

A supervisor that was killed leaves its socket and its facts behind. A socket alone therefore proves nothing, and a pid
may be another program's by now: a record is only swept where both say that nobody is there.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from runner.control import SOCKET, short_path
from runner.errors import UsageError
from runner.record import RunRecord, all_records, listed, matching, the_one

_KNOCK = 1.0
"""Seconds that a busy supervisor's backlog may take; whoever does not answer by then is still there."""


def live_records(where: Path | None = None) -> list[RunRecord]:
    """List the runs under way, oldest first, and sweep up what those left that were killed."""
    live = []
    for record in all_records(where):
        if _listens(record.folder):
            live.append(record)
        else:
            _sweep(record)
    return live


def find_live(run: str, where: Path | None = None) -> RunRecord:
    """Find the one run under way that `run` means, as `find_all_live` does. Raises `UsageError` if there are more."""
    return the_one(run, find_all_live(run, where), "runs under way")


def find_all_live(run: str, where: Path | None = None) -> list[RunRecord]:
    """
    Find runs under way by the id, the beginning of an id, or the name of their workflow.

    Raises:
        UsageError: there is none, or it has ended.
    """
    live = live_records(where)
    if found := matching(run, live):
        return found
    if matching(run, all_records(where)):
        raise UsageError(f"run '{run}' has ended")
    raise UsageError(f"there is no run '{run}' under way; there are: {listed(live)}")


def _listens(folder: Path) -> bool:
    try:
        with short_path(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_KNOCK)
            line.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:  # its backlog is full, or it is stopped: it is there
        return (folder / SOCKET).exists()
    return True


def _sweep(record: RunRecord) -> None:
    """Take away what a killed supervisor left. One that has just begun, and does not listen yet, is alive."""
    facts = record.facts()
    if facts is None or _is_alive(facts.pid):
        return
    with contextlib.suppress(OSError):  # somebody else sweeps too, or the place can't be written
        (record.folder / SOCKET).unlink(missing_ok=True)
        record.tidy()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
