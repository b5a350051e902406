"""What a worker is told of the tree that a job runs in. Plain, so that it pickles quickly."""

from __future__ import annotations

import hashlib
import os

from runner.facts import dataclass
from runner.spec.jobs.workspace import CacheSpec, WorkspaceKind

WORK = "work"
"""The folder in that of a run with the trees of its jobs."""
ARTEFACTS = "artefacts"
"""The folder in that of a run with what its jobs have made for others."""
_LONGEST_NAME = 24
"""Of what stands for a leg in the path of its tree: paths of sockets in it must not be long."""


def tree_place(run: str, number: int, name: str, attempt: int) -> str:
    """
    Return where in the folder of a run the tree of an attempt is; `number` and `name` stand for the leg.

    Git knows a worktree by the last part of its path: so the run is in it.
    """
    again = f".{attempt}" if attempt > 1 else ""
    return f"{run}/{WORK}/{number:04}-{name[:_LONGEST_NAME]}{again}-{os.path.basename(run)[:8]}"  # noqa: PTH119


def handover_place(run: str, leg: str, name: str) -> str:
    """Return where in the folder of a run the files are that a leg has made; `name` is how its id begins."""
    digest = hashlib.sha256(leg.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{run}/{ARTEFACTS}/{name[:_LONGEST_NAME]}-{digest}"


@dataclass(frozen=True, slots=True)
class Handover:
    """The files that one leg has made, and handed on."""

    leg: str
    folder: str
    """Where they are kept, under their paths in the tree; there is none where it has made none."""


@dataclass(frozen=True, slots=True)
class WorkspaceRequest:
    """Which tree a leg runs in, what comes into it and what of it is kept."""

    kind: WorkspaceKind = WorkspaceKind.SHARED
    beside: str = ""
    """The folder of the workflow file, absolute: relative paths start there."""
    tree: str = ""
    """Where a tree of its own is made."""
    keeps_failed: bool = False
    """Whether such a tree stays where the job fails."""
    leaves: bool = False
    """Whether its folder was written as an absolute path, which may lead anywhere."""
    handed: tuple[Handover, ...] = ()
    """What it gets of those that it needs."""
    hand_on: str = ""
    """The folder for the files that it makes, where somebody may want them."""
    caches: tuple[CacheSpec, ...] = ()
    cache: str = ""
    """The folder of what is kept from run to run."""
    cache_limit: int = 0
    """How many bytes that may have."""

    @property
    def is_own(self) -> bool:
        """Whether the leg has a tree of its own."""
        return self.kind.is_own
