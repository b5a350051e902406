"""What the user wrote, as frozen facts. Made by `load`, read by `plan`. Nothing here touches a process.

Every default of the file lives here, once: the schema and the reference page read it from these fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # whoever has no jobs need not wait for them
    from runner.spec_jobs import JobSpec


def _nothing() -> Mapping[str, Any]:
    return {}  # not a mappingproxy: that does not pickle, and a spawned worker gets its plan by pickle


class Role(StrEnum):
    """What a stage does with queues; follows from which of `from` and `to` it has."""

    PRODUCER = "producer"
    CONSUMER = "consumer"
    PIPE = "pipe"
    PLAIN = "plain"

    @classmethod
    def of(cls, receives: str | None, sends: str | None) -> Role:
        """Name the role of a stage that reads `receives` and writes `sends`."""
        if receives is None:
            return cls.PLAIN if sends is None else cls.PRODUCER
        return cls.CONSUMER if sends is None else cls.PIPE


class OnError(StrEnum):
    """What becomes of the run when a handler raises on an item."""

    FAIL = "fail"
    SKIP = "skip"
    DEAD_LETTER = "dead_letter"


class RestartOn(StrEnum):
    """After which end of a worker another takes its place."""

    CRASH = "crash"
    ALWAYS = "always"
    NEVER = "never"


class WhenFull(StrEnum):
    """What a full queue does with an item that is put."""

    BLOCK = "block"
    DROP_NEWEST = "drop_newest"
    DROP_OLDEST = "drop_oldest"
    FAIL = "fail"


class Start(StrEnum):
    """When the workers of a stage start."""

    PARALLEL = "parallel"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often the workers of a stage may be replaced. Seconds."""

    on: RestartOn = RestartOn.CRASH
    max: int = 5
    """Deaths of the stage within `within` that are made good; one more is too many."""
    within: float = 60.0
    after_exceptions: bool = True
    """Whether an exception that a handler lets pass, outside any item, counts as a crash. Who writes `restart` says so;
    without a word, it is not hidden by a fresh start."""
    barren: int | None = None
    """Lives in a row that one worker may end by its own fault before its first item; None is as many as `max`."""

    @classmethod
    def usual(cls, role: Role, transport: str) -> RestartPolicy:
        """What a stage has that says nothing: readers are replaced where the transport loses nothing by a death."""
        reads = role in (Role.CONSUMER, Role.PIPE)
        if reads and transport == "leased":
            return cls(after_exceptions=False, barren=1)
        return cls(on=RestartOn.NEVER)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an item is handed to a handler that raises on it. Seconds."""

    attempts: int = 1
    """Hand-overs of one item, the first included."""
    backoff: float = 0.1
    """Before the second hand-over; each further one waits twice as long."""
    max_backoff: float = 30.0
    on: tuple[str, ...] = ()
    """Names of exceptions that are worth another try; empty is all of them."""
    deaths: int = 2
    """Workers that an item may kill, unless `attempts` allows more: the first may have died of something else. Who
    writes `attempts` counts deaths too, so for them it is that number."""


@dataclass(frozen=True, slots=True)
class HandlerRef:
    """What a stage runs. Holds names only, so it pickles under any start method and imports nothing."""

    kind: str
    """A registered kind; `python` for `module:callable`."""
    target: str
    """For `python` the `module:callable`; else the kind's name again."""
    options: Any = field(default_factory=_nothing)
    """What the file has under the kind's name, already checked against its schema; empty for `python`."""


@dataclass(frozen=True, slots=True)
class Sentinel:
    """What a reader gets where a queue ends. Any scalar, so it takes a class to tell `null` from none."""

    value: Any


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """One bounded, joinable FIFO between stages."""

    name: str
    maxsize: int | None = 10_000
    """Items; None is unbounded. Enough for frames of thousands, and small items of this number are a few megabytes."""
    max_bytes: int | None = None
    """Bytes of the items in it and in its readers' hands; None is no bound, since whoever counts them is slower."""
    when_full: WhenFull = WhenFull.BLOCK
    sentinel: Sentinel | None = None
    description: str = ""
    declared: bool = True
    """False if stages name it and `queues` does not."""


@dataclass(frozen=True, slots=True)
class LockSpec:
    """A lock that handlers of a run hold in turns."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class SharedSpec:
    """An object that a process of its own holds, for the handlers of all stages."""

    name: str
    kind: str
    """`dict`, `list`, `Namespace`, `Value` or `Array`, as `multiprocessing.Manager()` has them."""
    value: Any = None
    """What it holds at first; None is nothing, or zero."""
    typecode: str = ""
    """For a `Value` or an `Array`: the type of its numbers, as in the module `array`."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class PipeSpec:
    """A pipe between the workers of two stages."""

    name: str
    ends: tuple[str, ...]
    """The two stages."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A pool of workers that run the same handler."""

    name: str
    handler: HandlerRef
    arguments: Mapping[str, Any] = field(default_factory=_nothing)
    """The file's `with`, interpolated."""
    workers: tuple[str, ...] = ()
    """One name per process: from `names`, or `<stage>-1` … by `count`."""
    receives: str | None = None
    sends: str | None = None
    daemon: bool = False
    needs: tuple[str, ...] = ()
    """Stages that must have ended before this one starts."""
    on_error: OnError = OnError.FAIL
    retry: RetryPolicy = RetryPolicy()
    restart: RestartPolicy | None = None
    """None is what is usual for the stage's role on its transport."""
    deterministic: bool = False
    """A producer that makes the same items each time, so that a new generation may skip those that are in."""
    start_method: str = "fork"
    env: Mapping[str, str] = field(default_factory=_nothing)
    cwd: Path | None = None
    nice: int = 0
    timeout: float | None = None
    """Seconds that one item may take; None is no bound."""
    memory_limit: int | None = None
    """Bytes of memory of its own that a worker may have; None is no bound."""
    shard_by: str | None = None
    """The way from an item to its key; items with equal keys go to the same worker."""
    keeps_order: bool = False
    """Whether outputs leave in the order of the items that they were made from."""
    places: tuple[Any, ...] = ()
    """The file's `args`: arguments by place."""
    start: Start = Start.PARALLEL
    lock: str | None = None
    """The lock that a worker holds while its handler is at work."""
    description: str = ""

    @property
    def role(self) -> Role:
        """What the stage does with queues."""
        return Role.of(self.receives, self.sends)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the whole run. Durations in seconds."""

    timeout: float | None = None
    stop_timeout: float = 10.0
    max_errors: str = "0"
    """Failed items a run may have and still exit 0: a count such as `10`, or a share of each queue such as `1%`."""
    stall_timeout: float | None = None
    """Seconds in which something must move; None leaves those alone who are at work, however long it takes."""


@dataclass(frozen=True, slots=True)
class Given:
    """What was given beside the file, as it was written: a replay of what failed needs it again."""

    params: tuple[str, ...] = ()
    """`name=value`, as for `--param`."""
    overrides: tuple[str, ...] = ()
    """`a.b=value`, as for `--set`."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same as arguments of the command line."""
        pairs = [*(("--param", each) for each in self.params), *(("--set", each) for each in self.overrides)]
        return tuple(word for pair in pairs for word in pair)


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """One workflow, checked and interpolated."""

    name: str
    path: Path
    """The file it came from; handlers are looked up beside it first."""
    stages: tuple[StageSpec, ...]
    queues: tuple[QueueSpec, ...] = ()
    transport: str = "leased"
    limits: Limits = Limits()
    params: Mapping[str, Any] = field(default_factory=_nothing)
    """Values by name, after `--param` and defaults."""
    env: Mapping[str, str] = field(default_factory=_nothing)
    description: str = ""
    version: str = ""
    given: Given = Given()
    locks: tuple[LockSpec, ...] = ()
    shared: tuple[SharedSpec, ...] = ()
    pipes: tuple[PipeSpec, ...] = ()

    @property
    def declared(self) -> dict[str, str]:
        """What handlers get by asking for it by name, and what each is: `{"mutex": "lock"}`."""
        return {
            **{lock.name: "lock" for lock in self.locks},
            **{each.name: f"shared {each.kind}" for each in self.shared},
            **{pipe.name: "pipe" for pipe in self.pipes},
        }

    jobs: tuple[JobSpec, ...] = ()
    """Where there are jobs, there are no stages."""
