"""Which runs are under way here: those whose control socket answers, whatever else their folders say.

    folders ──► connect ──┬── somebody listens ──► running: `ps`, `stop` and `scale` may mean it
                          └── nobody does, and its process is gone ──► killed: `ps` tells what was known

A supervisor that was killed leaves its socket and its facts behind. A socket alone therefore proves nothing. Whether
somebody is there the lock of the run says; where it has none its pid does, which may be another program's by now.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from runner.errors import UsageError
from runner.process.watchdog import end_left_behind, left_behind
from runner.store.control_socket import SOCKET
from runner.store.run_folder import (
    FACTS,
    JOB_LOGS,
    RunFacts,
    RunFolder,
    all_run_folders,
    by_age,
    home,
    join_ids,
    matching,
    only_match,
    run_folders_in,
)
from runner.store.run_lock import LOCK, is_held
from runner.store.run_socket import WATCH_SOCKET, connect_to

KEPT_JOB_LOGS = 20
"""Runs whose logs of jobs are kept beside that of the run under way."""
KEPT_KILLED = 20
"""Killed runs, beside those of the same workflow, that are remembered."""
_CONNECT_TIMEOUT = 1.0
"""Seconds that a busy supervisor's backlog may take; whoever does not answer by then is still there."""


def running_folders(where: Path | None = None) -> list[RunFolder]:
    """List the runs under way, oldest first, and remove what those left that never got so far."""
    running = []
    for run_folder in by_age(each for each in run_folders_in(where or home()) if not _is_of_the_past(each)):
        facts = run_folder.facts()
        # What a killed supervisor has forked holds its socket for a moment longer, and answers nobody.
        if (facts is None or is_alive(run_folder, facts)) and _listens(run_folder.path):
            running.append(run_folder)
        elif not _was_killed(run_folder):
            _remove_stale(run_folder)
    return running


def killed_folders(where: Path | None = None) -> list[RunFolder]:
    """List the runs whose supervisor was killed, oldest first: its socket is still there, and it is not."""
    known = [each for each in run_folders_in(where or home()) if _has(each, SOCKET)]
    return [run_folder for run_folder in by_age(known) if _was_killed(run_folder)]


def end_left_by_killed(where: Path | None = None, run: str | None = None) -> list[int]:
    """End what killed runs have left behind, where their watchdogs were killed too; return its pids."""
    killed = [each for each in killed_folders(where) if run in (None, each.run)]
    return [pid for run_folder in killed for pid in end_left_of(run_folder)]


def left_of(run_folder: RunFolder) -> list[int]:
    """Name the processes that a run has left whose runner is gone, and its watchdog too."""
    facts = run_folder.facts()
    return [] if facts is None else left_behind(facts.mark)


def end_left_of(run_folder: RunFolder) -> list[int]:
    """End what a run has left whose runner is gone; return its pids."""
    facts, left = run_folder.facts(), left_of(run_folder)
    if facts is not None and left:
        end_left_behind(frozenset(), facts.mark)
    return left


def forget_killed(workflow: str, where: Path) -> None:
    """Forget the killed runs of a workflow, which begins anew, and of the others all but the newest."""
    killed = killed_folders(where)
    named = {
        run_folder.run
        for run_folder in killed
        if (facts := run_folder.facts()) and facts.workflow == workflow
    }
    others = [run_folder for run_folder in killed if run_folder.run not in named]
    for run_folder in killed:
        if run_folder.run in named or run_folder in others[:-KEPT_KILLED]:
            _remove_stale(run_folder)


def find_running(run: str, where: Path | None = None) -> RunFolder:
    """Find the one run that `run` means, as `find_all_running` does. Raises `UsageError` if there are more."""
    return only_match(run, find_all_running(run, where), "runs under way")


def find_all_running(run: str, where: Path | None = None) -> list[RunFolder]:
    """
    Find runs under way by the id, the beginning of an id, or the name of their workflow.

    Raises:
        UsageError: there is none, or it has ended.
    """
    running = running_folders(where)
    if found := matching(run, running):
        return found
    if killed := matching(run, killed_folders(where)):
        facts = killed[-1].facts()
        pid = facts.pid if facts is not None else "unknown"
        raise UsageError(
            f"run '{run}' was killed: its runner (pid {pid}) is gone, and nothing of it runs any more; "
            f"`mprun ps {run}` shows what was known of it last"
        )
    if matching(run, all_run_folders(where)):
        raise UsageError(f"run '{run}' has ended")
    raise UsageError(f"there is no run '{run}' under way; there are: {join_ids(running)}")


def prune_job_logs(where: Path) -> None:
    """Remove the folders of ended runs that hold nothing but logs of jobs, all but the newest. Never raises."""
    with_logs = (each for each in run_folders_in(where) if _has(each, JOB_LOGS) and not _has(each, LOCK))
    ended = [run_folder for run_folder in by_age(with_logs) if _holds_old_logs(run_folder)]
    for run_folder in ended[:-KEPT_JOB_LOGS]:
        import shutil  # which imports what unpacks archives

        shutil.rmtree(run_folder.path, ignore_errors=True)


def _has(run_folder: RunFolder, name: str) -> bool:
    """Say whether it holds something: quicker than by paths, as it is asked of hundreds when a run begins."""
    return os.path.lexists(f"{run_folder.home}/runs/{run_folder.run}/{name}")


def _is_of_the_past(run_folder: RunFolder) -> bool:
    """Say, without opening anything, whether a run has a record and has ended: most of what a home holds."""
    return _has(run_folder, LOCK) and not _has(run_folder, SOCKET)


def _holds_old_logs(run_folder: RunFolder) -> bool:
    """Say whether a run has ended, on this machine or another that shares the folder, and left logs of jobs alone."""
    facts = run_folder.facts()
    if facts is None or is_alive(run_folder, facts):
        return False
    left = {each.name for each in run_folder.path.iterdir()} if run_folder.path.exists() else set()
    return JOB_LOGS in left and all(name == JOB_LOGS or name.startswith(FACTS) for name in left)


def _listens(folder: Path) -> bool:
    try:
        connect_to(folder, SOCKET, _CONNECT_TIMEOUT).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:  # its backlog is full, or it is stopped: it is there
        return (folder / SOCKET).exists()
    return True


def _remove_stale(run_folder: RunFolder) -> None:
    """Take away what a killed supervisor left. One that has just begun, and does not listen yet, is alive."""
    facts = run_folder.facts()
    if facts is None or is_alive(run_folder, facts):
        return
    with contextlib.suppress(OSError):  # somebody else removes it too, or the place can't be written
        for name in (SOCKET, WATCH_SOCKET):
            (run_folder.path / name).unlink(missing_ok=True)
        run_folder.remove_if_empty()


def _was_killed(run_folder: RunFolder) -> bool:
    """Say whether a run's supervisor is gone and has not taken its socket away, as it does at every end of its own."""
    facts = run_folder.facts()
    return facts is not None and (run_folder.path / SOCKET).exists() and not is_alive(run_folder, facts)


def is_alive(run_folder: RunFolder, facts: RunFacts) -> bool:
    """Say whether a run's supervisor is there: it holds the lock of the run, or is, without one, at least a process."""
    held = is_held(run_folder.path)
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
