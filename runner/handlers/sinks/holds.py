"""Which runs write to a place: each locks a folder of its own while it lives, and looks for those of others.

    .out.jsonl.d5fc.mprun   locked ──► run d5fc writes out.jsonl
                            not    ──► it was killed: the folder goes, and keeps nobody out

    exclusive lock  fail, replace, every file      nobody else may write there
    shared lock     append, to a folder or table   nobody else may, but who appends too

Each takes its own first, and looks for others then: of two that come at once neither misses the other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from runner.handlers.outputs import OutputRefused
from runner.handlers.sinks.hidden import ENDING, beside, hidden, lock_alone, open_folder

_TRIES = 10
_LOOK_AGAIN = 0.01
"""Who looks holds what it looks at, for as long as that takes: microseconds, or what a removal takes."""


def take(folder: Path, shown: str, *, shares: bool = False, mode: int = 0o700) -> int:
    """Make the folder of a run, if it is not there, and lock it. Return what holds the lock.

    Raises:
        OutputRefused: another has it.
        OSError: it can't be made.
    """
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_LOOK_AGAIN)
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        try:
            descriptor = open_folder(folder)
        except FileNotFoundError:  # somebody who looked took it for abandoned
            continue
        if _lock(descriptor, shares=shares) and _is_still(descriptor, folder):
            return descriptor
        os.close(descriptor)
    raise OutputRefused(_refusal(shown, [folder]))


def refuse_others(
    shown: str, folders: Iterable[Path], *, shares: bool = False, removes: bool = False
) -> None:
    """Raise `OutputRefused` where another run is at work in one of these: but for one that shares where this one does.

    `removes`: take away those that runs which were killed have left. Nobody goes on with these then.
    """
    others = list(folders)
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_LOOK_AGAIN)
        others = [each for each in others if _is_at_work(each, shares=shares, removes=removes)]
        if not others:
            return
    raise OutputRefused(_refusal(shown, others))


def refuse_writers(
    path: Path, run: str, shown: str = "", *, shares: bool = False, removes: bool = False
) -> None:
    """The same of the hidden folders beside `path`, but for that of `run` itself."""
    own = hidden(path, run)
    others = [each for each in beside(path) if each != own]
    refuse_others(shown or str(path), others, shares=shares, removes=removes)


def refuse_locked_file(path: Path) -> None:
    """Raise `OutputRefused` where another run appends to a file. Where it can't be read nobody can tell."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        if not lock_alone(descriptor):
            raise OutputRefused(written_by_another(path, descriptor))
    finally:
        os.close(descriptor)


def written_by_another(path: Path, descriptor: int) -> str:
    """Say that what is open is locked, and by whom as far as that can be told."""
    pid = _holder(descriptor)
    return f"{path}: another run writes it" + (f", in process {pid}" if pid else "")


def _is_at_work(folder: Path, *, shares: bool, removes: bool) -> bool:
    try:
        descriptor = open_folder(folder)
    except OSError:
        return False
    try:
        if lock_alone(descriptor):
            if removes:
                shutil.rmtree(folder, ignore_errors=True)
            return False
        return not (shares and _lock(descriptor, shares=True))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, shares: bool) -> bool:
    if not shares:
        return lock_alone(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # as in `lock_alone`
        return True
    return True


def _is_still(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _refusal(shown: str, folders: Iterable[Path]) -> str:
    return f"{shown}: another run writes it: {', '.join(_described(each) for each in folders)}"


def _described(folder: Path) -> str:
    """Name the run whose folder it is, and its process."""
    run = folder.name.removesuffix(ENDING).rpartition(".")[2]
    try:
        descriptor = open_folder(folder)
    except OSError:
        return f"run {run}"
    pid = _holder(descriptor)
    os.close(descriptor)
    return f"run {run}, in process {pid}" if pid else f"run {run}"


def _holder(descriptor: int) -> int | None:
    """Return the pid of whoever has locked what is open; None where the system does not tell."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    ending = f":{os.fstat(descriptor).st_ino}"
    # The devices of some file systems have another number here.
    fields = (line.split() for line in lines)
    pids = {
        int(each[4]) for each in fields if len(each) > 5 and each[1] == "FLOCK" and each[5].endswith(ending)
    }
    found = pids.pop() if len(pids) == 1 else 0
    return found if found > 0 else None
