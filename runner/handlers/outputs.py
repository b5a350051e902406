"""What a kind that leaves something says of it: when items are done, what it leaves, who sees to it before and after.

    HandlerKind.writes(options) ──► Writes ──► checks of the file     no two stages at one file, no two workers
                                      │
                                      └ open ──► StageOutput          in the supervisor
                                                   prepared  ──► WorkerContext.prepared, of each worker
                                                   finish(complete, states)   after the last worker

Nothing of a user's runs here, and nothing slow is imported: the supervisor and the check of a file come by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from runner.spec.commits import BatchSpec, FlushPolicy


class WriteMode(StrEnum):
    """What becomes of what is there already."""

    FAIL = "fail"
    """The run is refused before anything starts."""
    APPEND = "append"
    """It stays, and is added to."""
    REPLACE = "replace"
    """It stays until the run has ended well; then the new one takes its place, at once."""


def write_mode(options: Mapping[str, Any]) -> WriteMode:
    """Return what a sink's option `mode` says, or its default."""
    return WriteMode(options.get("mode", WriteMode.FAIL))


MODE = {
    "enum": [each.value for each in WriteMode],
    "default": WriteMode.FAIL.value,
    "description": (
        "What becomes of what is there already. `fail`: the run is refused before anything starts. `append`: it is "
        "added to. `replace`: the new one takes its place when the run has ended well, as a whole; if the run fails, "
        "nothing has changed."
    ),
}
"""The option of each kind that writes to a place of its own."""
REMEDY = "`mode: append` adds to it, `mode: replace` puts a new one in its place"


class OutputRefused(Exception):
    """What a stage is to write to can't be had; its message says what and why."""


class StageOutput(Protocol):
    """What a stage leaves, in the hands of the supervisor while the run lasts."""

    @property
    def prepared(self) -> object:
        """Return what each worker of the stage gets as `WorkerContext.prepared`; it can be pickled."""

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None) -> None:
        """
        See to what is there now that no worker is left. Called once.

        `complete`: the run has ended well. `states`: what each worker, by name, had captured when its items were last
        acknowledged, empty where it never had; None where nobody keeps that. Raises `OutputRefused`, OSError.
        """


@dataclass(frozen=True, slots=True)
class Commits:
    """When items are done, where that is not as each call returns."""

    flush: FlushPolicy | None = None
    """The usual one; a stage may say otherwise."""
    batch: BatchSpec | None = None
    """How many items it is called with, usually."""
    keeps_state: bool = False
    """What `Mapper.capture` returns is kept with each acknowledgement, where the transport can."""


AT_RETURN = Commits()


@dataclass(frozen=True, slots=True)
class Writes:
    """What a stage of some kind leaves with these options."""

    commits: Commits = AT_RETURN
    path: str = ""
    """The file or folder that no other stage may write; empty where others may."""
    alone: tuple[str, str] | None = None
    """Why the stage can't have several workers, and what to do; None where it can."""
    misfit: tuple[str, str] | None = None
    """Why these options do not go together, and what to do."""
    counted: str = ""
    """What it can't do where nobody counts the items, as under `joinable`, and what to do; empty where it can."""
    open: Callable[[str, str], StageOutput] | None = None
    """Called in the supervisor before the first worker, with the folder that a relative path starts from and the run's
    id. Raises `OutputRefused`, OSError; nothing has changed then."""
    library: tuple[str, str] | None = None
    """A module that has to be installed, and the extra of mprun that has it."""
