"""What git is asked for: where a repository is, which files are in it, a worktree of it; and how a worktree goes.

All of git's own variables are kept from it, and from the steps of jobs in trees of their own: in a hook they name the
repository of whoever runs the hook, and `git reset --hard` in a copy would reset that.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from runner.facts import dataclass

LOCAL_VARIABLES = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"),
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    *("GIT_IMPLICIT_WORK_TREE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_REPLACE_REF_BASE"),
)
"""Variables that say which repository is meant."""
_LOOK = 0.1
_MOST_SAID = 500

KeepGoing = Callable[[], None]


class GitFailed(Exception):
    """Git is not there, or would not. The text says why."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository with files that are checked out."""

    root: str
    """The folder that they are in."""
    folder: str
    """What git keeps of this checkout: its index, and what is checked out."""
    common: str
    """What git keeps of all checkouts of it."""


def find_repository(place: str, keep_going: KeepGoing) -> Repository | None:
    """Return the repository that a folder is in; None where it is in none. Raises GitFailed."""
    if not any((folder / ".git").exists() for folder in (Path(place), *Path(place).parents)):
        return None
    asked = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    told = run_git(place, ["rev-parse", *asked], keep_going).decode(errors="surrogateescape").splitlines()
    if len(told) != len(asked):
        raise GitFailed(f"git says nothing sensible of the repository at '{place}'")
    root, folder, common = told
    return Repository(root, folder, os.path.realpath(os.path.join(place, common)))  # noqa: PTH118


def is_ignored(repository: Repository, path: str, keep_going: KeepGoing) -> bool:
    """Say whether git ignores a path, as most do in a home folder that is a repository of dot files."""
    with suppress(GitFailed):
        return bool(run_git(repository.root, ["check-ignore", "--", path], keep_going))
    return False


def listed_files(root: str, keep_going: KeepGoing) -> Iterator[str]:
    """Yield what git knows of, and what it does not ignore, of the repository at `root`. Raises GitFailed."""
    said = run_git(root, ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], keep_going)
    for path in dict.fromkeys(os.fsdecode(each) for each in said.split(b"\0") if each):
        place = os.path.join(root, path)  # noqa: PTH118 - thousands
        if path.endswith("/") or (os.path.isdir(place) and not os.path.islink(place)):  # noqa: PTH112, PTH114
            yield from _of_nested(root, path.rstrip("/"), keep_going)
        else:
            yield path


def _of_nested(root: str, path: str, keep_going: KeepGoing) -> Iterator[str]:
    """A submodule, or a repository that lies in this one."""
    place = Path(root, path)
    yield path
    if not (place / ".git").exists():
        return
    for below in listed_files(str(place), keep_going):
        yield f"{path}/{below}"
    if (place / ".git").is_dir():
        for folder, _, names in os.walk(place / ".git"):
            yield from (os.path.relpath(os.path.join(folder, name), root) for name in ("", *names))  # noqa: PTH118
    elif not os.path.isabs(_gitdir(place / ".git")):  # noqa: PTH117 - of a text
        yield f"{path}/.git"


def _gitdir(link: Path) -> str:
    with suppress(OSError):
        return link.read_text(encoding="utf-8", errors="surrogateescape").removeprefix("gitdir:").strip()
    return "/"


def commit_of(repository: Repository, keep_going: KeepGoing) -> str:
    """Return the commit that is checked out. Raises GitFailed where there is none."""
    try:
        said = run_git(repository.root, ["rev-parse", "--verify", "--short", "HEAD^{commit}"], keep_going)
    except GitFailed:
        raise GitFailed(f"the repository '{repository.root}' has no commit yet") from None
    return said.decode().strip()


def uncommitted(repository: Repository, keep_going: KeepGoing) -> int:
    """Count the files that are not as they are committed."""
    return run_git(repository.root, ["status", "--porcelain", "-z", "--no-renames"], keep_going).count(b"\0")


def add_worktree(repository: Repository, tree: str, keep_going: KeepGoing) -> None:
    """Have what is committed in a new folder. No hook of the user's runs. Raises GitFailed."""
    run_git(
        repository.root,
        ["-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet", "--", tree, "HEAD"],
        keep_going,
    )


def run_git(folder: str, arguments: Sequence[str], keep_going: KeepGoing) -> bytes:
    """Return what git prints. Raises GitFailed, and what `keep_going` raises: then git is ended."""
    try:
        git = subprocess.Popen(
            ["git", "-C", folder, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **without_local(os.environ),
                "LC_ALL": "C",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_OPTIONAL_LOCKS": "0",
            },
        )
    except FileNotFoundError:
        raise GitFailed("there is no program 'git', which a tree of a repository is made with") from None
    with git:
        try:
            said, complaint = _communicate(git, keep_going)
        except BaseException:
            git.kill()
            raise
    if git.returncode:
        why = complaint.decode(errors="replace").strip()[-_MOST_SAID:] or f"it exited with {git.returncode}"
        raise GitFailed(f"git {_verb(arguments)}: {why}")
    return said


def _communicate(git: subprocess.Popen[bytes], keep_going: KeepGoing) -> tuple[bytes, bytes]:
    while True:
        keep_going()
        with suppress(subprocess.TimeoutExpired):
            return git.communicate(timeout=_LOOK)


def _verb(arguments: Sequence[str]) -> str:
    return " ".join([word for word in arguments if not word.startswith("-") and "=" not in word][:2])


def without_local(env: Mapping[str, str]) -> dict[str, str]:
    """Return variables without those that say which repository is meant."""
    return {name: value for name, value in env.items() if name not in LOCAL_VARIABLES}
