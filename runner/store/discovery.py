"""Which runs are under way here: those whose control socket answers, whatever else their records say.

    records ──► connect ──┬── somebody listens ──► running: `ps`, `stop` and `scale` may mean it
                          └── nobody does, and its process is gone ──► killed: `ps` tells what was known

A supervisor that was killed leaves its socket and its facts behind. A socket alone therefore proves nothing. Whether
somebody is there the lock of the run says; where it has none its pid does, which may be another program's by now.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from pathlib import Path

from runner.errors import UsageError
from runner.process.watchdog import end_left_behind, left_behind
from runner.store.control_socket import SOCKET, short_path
from runner.store.run_folder import (
    FACTS,
    JOB_LOGS,
    RunFacts,
    RunRecord,
    all_records,
    by_age,
    home,
    join_ids,
    matching,
    only_match,
    records_in,
)
from runner.store.run_lock import LOCK, is_held

KEPT_JOB_LOGS = 20
"""Runs whose logs of jobs are kept beside that of the run under way."""
KEPT_KILLED = 20
"""Killed runs, beside those of the same workflow, that are remembered."""
_CONNECT_TIMEOUT = 1.0
"""Seconds that a busy supervisor's backlog may take; whoever does not answer by then is still there."""


def running_records(where: Path | None = None) -> list[RunRecord]:
    """List the runs under way, oldest first, and remove what those left that never got so far."""
    running = []
    for record in by_age(each for each in records_in(where or home()) if not _is_of_the_past(each)):
        facts = record.facts()
        # What a killed supervisor has forked holds its socket for a moment longer, and answers nobody.
        if (facts is None or is_alive(record, facts)) and _listens(record.folder):
            running.append(record)
        elif not _was_killed(record):
            _remove_stale(record)
    return running


def killed_records(where: Path | None = None) -> list[RunRecord]:
    """List the runs whose supervisor was killed, oldest first: its socket is still there, and it is not."""
    known = [each for each in records_in(where or home()) if _has(each, SOCKET)]
    return [record for record in by_age(known) if _was_killed(record)]


def end_left_by_killed(where: Path | None = None, run: str | None = None) -> list[int]:
    """End what killed runs have left behind, where their watchdogs were killed too; return its pids."""
    found: list[int] = []
    for record in killed_records(where):
        if run in (None, record.run) and (left := left_behind(record.run)):
            end_left_behind(frozenset(), record.run)
            found += left
    return found


def forget_killed(workflow: str, where: Path) -> None:
    """Forget the killed runs of a workflow, which begins anew, and of the others all but the newest."""
    killed = killed_records(where)
    named = {record.run for record in killed if (facts := record.facts()) and facts.workflow == workflow}
    others = [record for record in killed if record.run not in named]
    for record in killed:
        if record.run in named or record in others[:-KEPT_KILLED]:
            _remove_stale(record)


def find_running(run: str, where: Path | None = None) -> RunRecord:
    """Find the one run that `run` means, as `find_all_running` does. Raises `UsageError` if there are more."""
    return only_match(run, find_all_running(run, where), "runs under way")


def find_all_running(run: str, where: Path | None = None) -> list[RunRecord]:
    """
    Find runs under way by the id, the beginning of an id, or the name of their workflow.

    Raises:
        UsageError: there is none, or it has ended.
    """
    running = running_records(where)
    if found := matching(run, running):
        return found
    if killed := matching(run, killed_records(where)):
        facts = killed[-1].facts()
        pid = facts.pid if facts is not None else "unknown"
        raise UsageError(
            f"run '{run}' was killed: its runner (pid {pid}) is gone, and nothing of it runs any more; "
            f"`mprun ps {run}` shows what was known of it last"
        )
    if matching(run, all_records(where)):
        raise UsageError(f"run '{run}' has ended")
    raise UsageError(f"there is no run '{run}' under way; there are: {join_ids(running)}")


def prune_job_logs(where: Path) -> None:
    """Remove the records of ended runs that hold nothing but logs of jobs, all but the newest. Never raises."""
    with_logs = (each for each in records_in(where) if _has(each, JOB_LOGS) and not _has(each, LOCK))
    ended = [record for record in by_age(with_logs) if _holds_old_logs(record)]
    for record in ended[:-KEPT_JOB_LOGS]:
        shutil.rmtree(record.folder, ignore_errors=True)


def _has(record: RunRecord, name: str) -> bool:
    """Say whether something is in a record: quicker than by paths, as it is asked of hundreds when a run begins."""
    return os.path.lexists(f"{record.home}/runs/{record.run}/{name}")


def _is_of_the_past(record: RunRecord) -> bool:
    """Say, without opening anything, whether a run has a record and has ended: most of what a home holds."""
    return _has(record, LOCK) and not _has(record, SOCKET)


def _holds_old_logs(record: RunRecord) -> bool:
    """Say whether a run has ended, on this machine or another that shares the folder, and left logs of jobs alone."""
    facts = record.facts()
    if facts is None or is_alive(record, facts):
        return False
    left = {each.name for each in record.folder.iterdir()} if record.folder.exists() else set()
    return JOB_LOGS in left and all(name == JOB_LOGS or name.startswith(FACTS) for name in left)


def _listens(folder: Path) -> bool:
    try:
        with short_path(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_CONNECT_TIMEOUT)
            line.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:  # its backlog is full, or it is stopped: it is there
        return (folder / SOCKET).exists()
    return True


def _remove_stale(record: RunRecord) -> None:
    """Take away what a killed supervisor left. One that has just begun, and does not listen yet, is alive."""
    facts = record.facts()
    if facts is None or is_alive(record, facts):
        return
    with contextlib.suppress(OSError):  # somebody else removes it too, or the place can't be written
        (record.folder / SOCKET).unlink(missing_ok=True)
        record.remove_if_empty()


def _was_killed(record: RunRecord) -> bool:
    """Say whether a run's supervisor is gone and has not taken its socket away, as it does at every end of its own."""
    facts = record.facts()
    return facts is not None and (record.folder / SOCKET).exists() and not is_alive(record, facts)


def is_alive(record: RunRecord, facts: RunFacts) -> bool:
    """Say whether a run's supervisor is there: it holds the lock of the run, or is, without one, at least a process."""
    held = is_held(record.folder)
    return _has_process(facts) if held is None else held


def _has_process(facts: RunFacts) -> bool:
    """Say whether there is a process of the supervisor's number, which is not a dead one's that nobody has buried."""
    try:
        os.kill(facts.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return (
            Path(f"/proc/{facts.pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2][1]
            != "Z"
        )
    except OSError:
        return True
