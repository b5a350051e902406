"""A run whose runner is gone, taken up again: the next incarnation of the same run, with the same id and folder.

run folder ──► take_up ──┬──► TakenRun: its lock, the last cut, its number ──► run ──► Recorder.begin
                         └──► refused: it runs, or another goes on with it already, or there is nothing to go on from
"""

from __future__ import annotations

import contextlib

from runner.errors import ResumeRefused
from runner.facts import dataclass
from runner.record.cut_reader import read_cut
from runner.record.reader import RecordDamaged, RunView
from runner.record.schema import VERSION
from runner.store.control_socket import SOCKET
from runner.store.discovery import end_left_of
from runner.store.run_folder import RunFolder
from runner.store.run_lock import RunHeld, RunLock, WriterHold
from runner.store.run_socket import WATCH_SOCKET
from runner.transports.cut import Cut

_LAST_WRITES = 12.0
"""Seconds that the recorder of a killed runner may take to write what is left, and a little more."""


@dataclass(frozen=True, slots=True)
class TakenRun:
    """A run that is gone on with."""

    run: str
    incarnation: int
    """Which of the runner's processes over this run it will be; the first was 1."""
    lock: RunLock
    """Held. Whoever ends up not going on releases it; else the recorder does."""
    cut: Cut | None = None
    """Where it goes on; None for one of jobs, or where there is none."""


def take_up(run_folder: RunFolder) -> TakenRun:
    """
    Take the lock of a run whose runner is gone, and read what to go on from. Waits for its last writes.

    Raises:
        ResumeRefused: it lives, or another goes on with it already, or came from elsewhere.
        RecordDamaged: its record can't be read, or is of another version.
    """
    if not run_folder.is_from_here():
        raise ResumeRefused(
            f"run '{run_folder.run}' has come from elsewhere: only where it ran can it be gone on with"
        )
    lock = _lock_of(run_folder)
    try:
        _end_the_last_life(run_folder)
        WriterHold(run_folder.path, _LAST_WRITES).release()
        with RunView(run_folder.path) as view:
            return TakenRun(run_folder.run, _next(view), lock, read_cut(view))
    except TimeoutError as error:
        lock.release()
        raise ResumeRefused(f"run '{run_folder.run}' can't be gone on with yet: {error}") from error
    except BaseException:
        lock.release()
        raise


def _lock_of(run_folder: RunFolder) -> RunLock:
    try:
        return RunLock(run_folder.path, is_new=False)
    except RunHeld as error:
        who = "another process" if error.pid is None else f"process {error.pid}"
        raise ResumeRefused(
            f"run '{run_folder.run}' is under way: {who} runs it; `mprun stop {run_folder.run}` stops it"
        ) from error
    except OSError as error:
        why = f"its folder can't be locked: {error.strerror or error}"
        raise ResumeRefused(f"run '{run_folder.run}' can't be gone on with: {why}") from error


def _end_the_last_life(run_folder: RunFolder) -> None:
    """End what the runner before has left, in case its watchdog did not, and take away its socket: nobody listens."""
    end_left_of(run_folder)
    with contextlib.suppress(OSError):
        for name in (SOCKET, WATCH_SOCKET):
            (run_folder.path / name).unlink(missing_ok=True)


def _next(view: RunView) -> int:
    if view.version != VERSION:
        raise RecordDamaged(
            f"the record of run '{view.run}' is of version {view.version}: only one of {VERSION}, which this mprun "
            "writes, can be gone on with"
        )
    lives = view.incarnations()
    if not lives:
        raise RecordDamaged(f"the record of run '{view.run}' does not say who ran it")
    return lives[-1].n + 1
