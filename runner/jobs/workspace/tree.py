"""The tree that one attempt of a job runs in: made before its first step, and taken away behind its last.

    JobTree.make() ──► copy      what git knows of, or does not ignore, as it lies there; `.git`, its objects linked
                  ├──► worktree  `git worktree add --detach` of what is committed
                  └──► shared    nothing is made
           .moved(path)          where a path of the user's tree is in this one

A tree lies in the folder of its run, for its owner alone. What git is told of it ends there: it finds no repository
above it, so that no command of a job in a tree without one works on the user's own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from runner.facts import dataclass
from runner.jobs.workspace import git
from runner.jobs.workspace.copying import Copied, copy_file, copy_paths
from runner.jobs.workspace.removal import KEPT, REPOSITORY, remove_workspace
from runner.jobs.workspace.request import WorkspaceRequest
from runner.spec.jobs.workspace import WorkspaceKind
from runner.text import printable, summarize
from runner.units import counted, format_size

_MOST_NAMED = 3
_MOST_SHOWN = 80
_NOT_COPIED = frozenset({".mprun"})
_ITS_OWN = ("HEAD", "index", "ORIG_HEAD")
"""What a linked worktree has for itself in the folder that git keeps of it."""

KeepGoing = Callable[[], None]


class NoTree(Exception):
    """The tree can't be made, or not what is to be in it. The text says why."""


@dataclass(slots=True)
class JobTree:
    """The tree of one attempt."""

    request: WorkspaceRequest
    keep_going: KeepGoing
    """Called now and then while it is made; what it raises ends that."""
    notes: list[str] = field(default_factory=list)
    """What who reads the log of the job may want to know of it."""
    source: str = ""
    """The folder that it is a copy of."""
    is_made: bool = False

    def make(self) -> None:
        """Make it, once. Raises NoTree, OSError, and what `keep_going` does."""
        if self.is_made:
            return
        self.source = os.path.realpath(self.request.beside)
        if self.request.is_own:
            try:
                self._make_own()
            except git.GitFailed as error:
                raise NoTree(str(error)) from None
        self.is_made = True

    def remove(self, *, failed: bool = False) -> str | None:
        """Take it away; return where it is if it stays. What can't be removed is for the end of the run."""
        if not self.request.is_own or not os.path.lexists(self.request.tree):
            return None
        with suppress(OSError):
            if failed and self.request.keeps_failed:
                Path(self.request.tree + KEPT).touch(mode=0o600)
                return self.request.tree
            remove_workspace(self.request.tree)
        return None

    @property
    def root(self) -> str:
        """The folder that all of it is in."""
        return self.request.tree if self.request.is_own else self.source

    @property
    def beside(self) -> str:
        """The folder that relative paths of the job start at."""
        return self.moved(self.request.beside)

    def moved(self, path: str) -> str:
        """Return where a path of the user's tree is in this one; what is outside of that stays where it is."""
        if not self.request.is_own:
            return path
        within = os.path.relpath(os.path.realpath(path), self.source)
        is_outside = within == ".." or within.startswith("../")
        return path if is_outside else os.path.normpath(os.path.join(self.request.tree, within))  # noqa: PTH118

    def directory(self, path: str) -> str:
        """Return where the folder of the job is in it. Raises NoTree where a relative path leads out of it."""
        moved = self.moved(path)
        if self.request.is_own and moved == path and not self.request.leaves:
            raise NoTree(
                f"its working-directory is outside of its tree, which has all of '{self.source}': "
                "write the whole path, if the job is to work there"
            )
        return moved

    def variables(self, env: dict[str, str]) -> dict[str, str]:
        """Return the variables of a process with those that say where it is."""
        if not self.request.is_own:
            return {**env, "MPRUN_WORKSPACE": self.request.beside}
        above = os.path.dirname(self.request.tree)  # noqa: PTH120
        ceilings = ":".join(
            filter(None, (above, os.path.realpath(above), env.get("GIT_CEILING_DIRECTORIES")))
        )
        return {
            **git.without_local(env),
            "GIT_CEILING_DIRECTORIES": ceilings,
            "MPRUN_WORKSPACE": self.beside,
        }

    # How it is made.

    def _make_own(self) -> None:
        repository = git.find_repository(self.source, self.keep_going)
        if repository is not None and git.is_ignored(repository, self.source, self.keep_going):
            repository = None  # a home folder with a repository of dot files, say
        if repository is not None:
            self.source = os.path.realpath(repository.root)
        if self.request.kind is WorkspaceKind.WORKTREE:
            self._add_worktree(repository)
        else:
            self._copy(repository)

    def _add_worktree(self, repository: git.Repository | None) -> None:
        if repository is None:
            raise NoTree(
                f"`workspace: worktree` needs a git repository, and '{self.request.beside}' is in none that knows "
                "of it; `workspace: copy` needs none"
            )
        commit = git.commit_of(repository, self.keep_going)
        Path(self.request.tree + REPOSITORY).write_text(
            repository.common, encoding="utf-8", errors="surrogateescape"
        )
        git.add_worktree(repository, self.request.tree, self.keep_going)
        os.chmod(self.request.tree, 0o700)  # noqa: PTH101
        changed = git.uncommitted(repository, self.keep_going)
        without = (
            f"; without {counted(changed, 'file')} that {_are(changed)} not committed" if changed else ""
        )
        self.notes.append(f"it runs in a worktree of {commit}{without}")
        if Path(self.request.tree, ".gitmodules").exists():
            self.notes.append(
                "the folders of submodules are empty in it: `git submodule update --init` fills them"
            )

    def _copy(self, repository: git.Repository | None) -> None:
        os.mkdir(self.request.tree, 0o700)  # noqa: PTH102
        paths: Iterable[str] = (
            _walked(self.source) if repository is None else git.listed_files(self.source, self.keep_going)
        )
        copied = copy_paths(self.source, self.request.tree, self._without_own(paths), self.keep_going)
        if repository is not None:
            self._copy_git_folder(repository)
        self.notes.append(_in_words(copied))

    def _without_own(self, paths: Iterable[str]) -> Iterator[str]:
        """Leave out what mprun keeps of runs, wherever that is: the tree itself is in it."""
        runs = os.path.dirname(os.path.dirname(os.path.dirname(self.request.tree)))  # noqa: PTH120
        home = os.path.relpath(os.path.realpath(os.path.dirname(runs)), self.source)  # noqa: PTH120
        return (path for path in paths if path != home and not path.startswith(f"{home}/"))

    def _copy_git_folder(self, repository: git.Repository) -> None:
        target = os.path.join(self.request.tree, ".git")  # noqa: PTH118
        os.mkdir(target, 0o700)  # noqa: PTH102
        copy_paths(
            repository.common,
            target,
            _of_git(repository.common),
            self.keep_going,
            is_written_once=lambda path: "objects" in path.split("/"),
        )
        if repository.folder != os.path.join(repository.root, ".git"):  # noqa: PTH118
            self._take_over_checkout(repository, target)

    def _take_over_checkout(self, repository: git.Repository, target: str) -> None:
        """A linked worktree, or a submodule, is copied: that is a repository of its own, with the same checked out."""
        with suppress(git.GitFailed):
            file = ("--file", os.path.join(target, "config"))  # noqa: PTH118
            git.run_git(self.request.tree, ["config", *file, "--unset", "core.worktree"], self.keep_going)
        for name in _ITS_OWN if repository.folder != repository.common else ():
            Path(target, name).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                copy_file(os.path.join(repository.folder, name), os.path.join(target, name))  # noqa: PTH118


def _walked(root: str) -> Iterator[str]:
    """Yield what is below a folder, each folder before what is in it; links are not followed."""
    pending = [""]
    while pending:
        folder = pending.pop()
        with suppress(FileNotFoundError), os.scandir(os.path.join(root, folder)) as entries:  # noqa: PTH118
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name in _NOT_COPIED:
                    continue
                yield path
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)


def _of_git(folder: str) -> Iterator[str]:
    """Yield what of a repository a copy of it needs: no locks, and no worktrees, which are the user's."""
    for path in _walked(folder):
        top, _, rest = path.partition("/")
        is_file = stat.S_ISREG(os.lstat(os.path.join(folder, path)).st_mode)  # noqa: PTH118
        if top == "worktrees" or (is_file and path.endswith(".lock")) or (not rest and path == "gc.pid"):
            continue
        yield path


def _in_words(copied: Copied) -> str:
    what = f"it runs in a copy of {counted(copied.files, 'file')}, {format_size(copied.bytes)}"
    if not copied.left_out:
        return what
    named = summarize([printable(path, _MOST_SHOWN) for path in copied.left_out], _MOST_NAMED)
    return f"{what}; without {named}, which {'is no file' if len(copied.left_out) == 1 else 'are no files'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
