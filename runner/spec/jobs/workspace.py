"""In which tree of files a job runs, and what it keeps of it from run to run: facts, with the keys that they become.

shared      the folder of the file, as it is: what all jobs of it share
copy        a fresh copy of what lies there, but for what git ignores
worktree    what is committed, as `git worktree add` makes it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.keys import Key, Shape, choice, declares, key, mapping, text, texts, values_of


class WorkspaceKind(StrEnum):
    """Where the files of a job are."""

    SHARED = "shared"
    COPY = "copy"
    WORKTREE = "worktree"

    @property
    def is_own(self) -> bool:
        """Whether a job has it for itself."""
        return self is not WorkspaceKind.SHARED


def workspace_key() -> Any:
    """The field of a job that says in which tree it runs."""
    return key(
        choice(WorkspaceKind),
        "In which tree of files it runs. `shared`: the folder of the file, as it is. `copy`: a fresh copy for each "
        "attempt, of the repository that the file is in, without what git ignores; outside a repository of the "
        "file's folder. `worktree`: what is committed there, by `git worktree`. The last two are removed afterwards, "
        "and what is named in `outputs` is handed on to the jobs that need it.",
        default=WorkspaceKind.SHARED,
    )


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """Files that are kept from run to run: put back before the first step, and kept after a job that passed."""

    name: str = field(
        metadata=declares(
            Key(
                text(minLength=1, maxLength=512),
                "What they are kept under. Where it is there already they are put back and not kept again, so it has "
                "in it what they depend on.",
                "key",
                more={"examples": ["pip-${{ matrix.python }}"]},
            )
        )
    )
    paths: tuple[str, ...] = field(
        metadata=declares(
            Key(
                texts(text(minLength=1), "a path, or a list of paths"),
                "The files and folders, as globs from the job's folder. `~/` is the home folder.",
            )
        )
    )
    restore: tuple[str, ...] = key(
        texts(text(minLength=1), "the beginning of a key, or a list of them"),
        "Beginnings of other keys. Where the key is not there, the newest is put back that begins with the first of "
        "these that any begins with.",
        default=(),
    )

    @classmethod
    def written(cls, entry: Mapping[str, Any]) -> CacheSpec:
        """Return what the file gives, with nothing where it lacks a key, which has been reported."""
        return cls(**{"name": "", "paths": (), **values_of(cls, entry)})


_CACHE = mapping(CacheSpec, type="object", title="a mapping with 'key' and 'paths'")


def cache_key() -> Any:
    """The field of a job that says what is kept of it."""
    return key(
        Shape(
            {
                "type": ["object", "array"],
                "minItems": 1,
                "title": "a mapping with 'key' and 'paths', or a list of such",
            },
            lambda written: tuple(
                map(CacheSpec.written, [written] if isinstance(written, dict) else written)
            ),
            model=CacheSpec,
            items=_CACHE,
        ),
        "Files that are put back before its first step, and kept when it has passed: what it would otherwise fetch or "
        "build again. They lie under `.mprun/cache`, or `$MPRUN_HOME/cache`, and the least recently used go first.",
        default=(),
    )
