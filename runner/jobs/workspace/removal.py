"""Trees taken away: also what can't be written to, and what killed runs have left.

work/lock                       held by the runner while it lives
work/0002-test/                 a tree
work/0002-test.repository       the repository that keeps a worktree there, written before it is made
work/0002-test.kept             empty: it stays, as its job has failed and somebody wants to look
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from runner.jobs.workspace.request import WORK

REPOSITORY = ".repository"
KEPT = ".kept"
_LOCK = "lock"
_HELD_AT_MOST = 5.0
"""Seconds that a runner which was killed may take to be gone, its workers included."""


def remove_tree(tree: str | Path) -> None:
    """Remove a folder with all in it, also folders that nobody may write to. Raises OSError, but where it is gone."""
    try:
        shutil.rmtree(tree)
    except FileNotFoundError:
        if Path(tree).exists():  # somebody else removes it too
            raise
    except PermissionError:
        for folder, _, _ in os.walk(tree):
            with suppress(OSError):
                os.chmod(folder, 0o700)  # noqa: PTH101 - its name may be no UTF-8
            for below in os.scandir(folder):
                if below.is_dir(follow_symlinks=False):
                    os.chmod(below.path, 0o700)  # noqa: PTH101
        shutil.rmtree(tree)


def forget_worktree(common: str, tree: str) -> None:
    """Remove what a repository keeps of a worktree, whether or not git made it to its end. Raises OSError."""
    entries = Path(common, "worktrees")
    for entry in _within(entries):
        if _is_of(entry, tree):
            remove_tree(entry)
    with suppress(OSError):  # as git does, with the last
        entries.rmdir()


def _within(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_of(entry: Path, tree: str) -> bool:
    """Say whether git made an entry for this tree: one that was cut off at its birth says no more than its name."""
    try:
        link = (entry / "gitdir").read_text(encoding="utf-8", errors="surrogateescape")
        return os.path.dirname(link) == tree  # noqa: PTH120 - of a text
    except FileNotFoundError:
        return entry.name == os.path.basename(tree)  # noqa: PTH119 - of a text
    except OSError:
        return False


def remove_workspace(tree: str) -> None:
    """Remove a tree, with what a repository keeps of it. Raises OSError."""
    remove_tree(tree)
    link = Path(tree + REPOSITORY)
    with suppress(FileNotFoundError):
        forget_worktree(link.read_text(encoding="utf-8", errors="surrogateescape"), tree)
    link.unlink(missing_ok=True)
    Path(tree + KEPT).unlink(missing_ok=True)


class TreesHold:
    """A runner's hold on the folder of its trees. The kernel lets go of it."""

    def __init__(self, work: Path) -> None:
        """Take it, and remove what an earlier runner of the run has left. Raises OSError, also where one lives."""
        self._work = work
        self._fd = os.open(work / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(self._fd, _HELD_AT_MOST)
            _sweep(work, all_of_it=False)
        except OSError:
            os.close(self._fd)
            raise

    def end(self) -> None:
        """The run is over: nothing of it stays but what somebody wants to look at."""
        with suppress(OSError):
            _sweep(self._work, all_of_it=False)
            (self._work / _LOCK).unlink(missing_ok=True)
            self._work.rmdir()
        os.close(self._fd)


def _take(descriptor: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
        else:
            return


def sweep_killed(runs: Path) -> None:
    """Remove the trees that killed runs have left, below a folder of runs. What can't be removed stays."""
    for run in _within(runs):
        with suppress(OSError):
            sweep(run, all_of_it=False)


def sweep(run: Path, *, all_of_it: bool) -> None:
    """Remove the trees of a run, unless its runner lives: those that are to stay too, if it is to be `all_of_it`."""
    work = run / WORK
    try:
        descriptor = os.open(work / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sweep(work, all_of_it=all_of_it)
        if all(each.name == _LOCK for each in work.iterdir()):
            (work / _LOCK).unlink()
            work.rmdir()
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)


def _sweep(work: Path, *, all_of_it: bool) -> None:
    trees = {str(each.with_suffix("")) if each.suffix == REPOSITORY else str(each) for each in work.iterdir()}
    for tree in trees:
        if tree.endswith((KEPT, f"/{_LOCK}")) or (not all_of_it and Path(tree + KEPT).exists()):
            continue
        remove_workspace(tree)
