"""What a kind that leaves something says of it: when items are done, what it leaves, who sees to it before and after.

    HandlerKind.writes(options) ──► Writes ──► checks of the file     no two stages at one file, no two workers
                                      │
                                      └ open(Opening) ──► StageOutput          in the supervisor
                                          ▲                 prepared  ──► WorkerContext.prepared, of each worker
          … the runner is killed …        │                 kept() ──► the cut, for whoever goes on with the run
                                          └── KeptOutput ◄─────┘
                                                            finish(complete, states)   after the last worker

Nothing of a user's runs here, and nothing slow is imported: the supervisor and the check of a file come by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from runner.facts import dataclass
from runner.ledger.snapshot import QueueSnapshot
from runner.spec.commits import BatchSpec, FlushPolicy
from runner.spec.resume import OverDeath


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


def remedy(begun_by: Iterable[str] = (), others: str = REMEDY) -> str:
    """Say what can be done where something is there already, which runs have begun that have not ended well."""
    runs = sorted(begun_by)
    if len(runs) != 1:
        return others
    return f"{others}; run '{runs[0]}' has begun it, and `mprun resume {runs[0]}` goes on with that"


class OutputRefused(Exception):
    """What a stage is to write to can't be had; its message says what and why."""


@dataclass(frozen=True, slots=True)
class KeptOutput:
    """What another runner had left of a stage's output when it took the last cut of the same run."""

    data: bytes
    """What `StageOutput.kept` had returned."""
    states: Mapping[str, bytes]
    """What each worker had captured, by name; those that never had are not in it."""
    over: bool = False
    """Whether all of the workers had come to their end, so that no more was to be written."""
    queue: QueueSnapshot | None = None
    """What had not come to an end in the queue that the stage reads."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What an output is opened for."""

    folder: str
    """A relative path starts from here."""
    run: str
    """The run's id, which is the same however many runners it has had."""
    resumable: bool = False
    """Whether another runner may have to go on with the run."""
    fsync: bool = False
    """Whether what is put in its place is to be on the disk, and not only the system's."""
    before: KeptOutput | None = None
    """What another runner has left, where this one goes on with its run."""


@dataclass(frozen=True, slots=True)
class HiddenOutput:
    """What a run makes beside what it writes, and leaves unless it ends well: for whoever goes on with it alone."""

    path: str
    """A folder, or a database; absolute."""
    run: str
    """The id that is in its name."""
    table: str = ""
    """What is written in the database."""

    def __str__(self) -> str:
        return f"{self.path}, notes on table '{self.table}'" if self.table else self.path


class StageOutput(Protocol):
    """What a stage leaves, in the hands of the supervisor while the run lasts."""

    @property
    def prepared(self) -> object:
        """Return what each worker of the stage gets as `WorkerContext.prepared`; it can be pickled."""

    def kept(self) -> bytes:
        """Return what it takes to open it once more, for the same run, in another runner. Quick: each cut has it."""

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None, stays: bool = False) -> None:
        """
        See to what is there now that no worker is left. Called once.

        `complete`: the run has ended well. `states`: what each worker, by name, had captured when its items were last
        acknowledged, empty where it never had; None where nobody keeps that. `stays`: unless it is complete, leave
        what another runner needs to go on with the run. Raises `OutputRefused`, OSError.
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
    open: Callable[[Opening], StageOutput] | None = None
    """Called in the supervisor before the first worker. Raises `OutputRefused`, OSError; nothing has changed then."""
    hides: Callable[[Opening], Iterable[HiddenOutput]] | None = None
    """What may be left of a run that does not end well, beside what it leaves. It goes when its record does."""
    surplus: Callable[[Opening], Iterable[tuple[str, int]]] | None = None
    """What would be cut off where it was opened `before`: files, and how many bytes of each. Changes nothing. Raises
    `OutputRefused` where `open` would."""
    over_death: OverDeath = OverDeath.AT_LEAST_ONCE
    """What holds where the runner itself is killed, and another goes on with the run."""
    library: tuple[str, str] | None = None
    """A module that has to be installed, and the extra of mprun that has it."""
