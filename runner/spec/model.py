"""What the user wrote, as frozen facts. Made by `load`, read by `plan`. Nothing here touches a process.

Every key of the file is declared here, once, on the field that it becomes: what it must be, its default and what it
means. The schema, the reference page and `build` read these declarations; `keys.py` says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.facts import dataclass
from runner.spec.commits import (
    BATCH,
    NO_STATE,
    STATE,
    BatchSpec,
    CheckpointPolicy,
    FlushPolicy,
    KeptState,
    StatePolicy,
)
from runner.spec.failures import USUAL_RESTART, OnError, RestartOn, RestartPolicy, RetryPolicy
from runner.spec.keys import (
    BOOLEAN,
    DURATION,
    ENV,
    FOLDER,
    NAME,
    PATH_PATTERN,
    SIZE,
    TEXT,
    Key,
    Shape,
    as_tuple,
    choice,
    declares,
    integer,
    key,
    mapping,
    text,
    texts,
)
from runner.spec.limits import Limits
from runner.spec.notify import NOTIFY, NOTIFY_MEANS, NotifySpec
from runner.spec.pace import MOST_AT_ONCE, RATE_OR_POLICY, RatePolicy
from runner.spec.resources import LockSpec, PipeSpec, QueueSpec, SharedSpec
from runner.spec.resume import RESUME, OverDeath, ResumePolicy
from runner.spec.routes import ON_ERROR, ON_ERROR_MEANS, TO, TO_MEANS, RouteSpec, label_of, queues_of
from runner.units import format_duration

if TYPE_CHECKING:  # whoever has no jobs need not wait for them
    from runner.spec.jobs.model import JobSpec


MOST_WORKERS = 10_000
MOST_HELD_BACK = 10_000
"""Items that workers of a stage that keeps the order of its items may run ahead by."""
TRANSPORTS = ("leased", "joinable", "inline")
USUAL_TRANSPORT = TRANSPORTS[0]
HANDLER_PATTERN = r"^[^\s:]+:[^\s:]+$"


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


class JobResult(StrEnum):
    """What became of a leg, or of all the legs of a job. These are the words of `needs.x.result`."""

    PASSED = "passed"
    FAILED = "failed"
    ALLOWED = "allowed"
    """It failed, and `continue-on-error` says that it may."""
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"

    @property
    def is_failure(self) -> bool:
        """Whether it counts against the run."""
        return self in (JobResult.FAILED, JobResult.TIMED_OUT)


class StartMode(StrEnum):
    """When the workers of a stage start."""

    PARALLEL = "parallel"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class HandlerRef:
    """What a stage runs. Holds names only, so it pickles under any start method and imports nothing."""

    kind: str
    """A registered kind; `python` for `module:callable`."""
    target: str
    """For `python` the `module:callable`; else the kind's name again."""
    options: Any = field(default_factory=dict)
    """What the file has under the kind's name, already checked against its schema; empty for `python`."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What references in its script stand for, by name, that were known when the file was read."""

    @property
    def is_known(self) -> bool:
        """Whether the file says what to run. Else that has been reported, and there is no kind to look for."""
        return bool(self.target)


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A pool of processes that run the same handler. With only `to` it is a producer, with only `from` a consumer, with
    both a pipe stage, with neither a plain process.
    """

    name: str
    handler: HandlerRef = field(
        metadata=declares(
            Key(
                Shape(
                    {
                        "type": ["string", "object"],
                        "title": "`module:callable`, or a mapping with one kind of handler",
                        "pattern": HANDLER_PATTERN,
                        "additionalProperties": False,
                        "minProperties": 1,
                        "maxProperties": 1,
                    }
                ),
                "What its workers run: a Python callable, looked up beside the file first and then on the import path, "
                "or one kind of handler with its options.",
                "run",
                by_hand=True,
                more={"examples": ["baozi:steam", {"lines": {"path": "access.log"}}]},
            )
        )
    )
    places: tuple[Any, ...] = field(
        default=(),
        kw_only=True,
        metadata=declares(
            Key(
                Shape({"type": "array", "title": "a list"}, as_tuple),
                "Arguments by place for a Python handler, as `args` of `multiprocessing.Process`. They go to its "
                "parameters in their order, but for those that mprun fills: `worker`, `queue`, the item.",
                "args",
                more={"examples": [["neo", 3]]},
            )
        ),
    )
    arguments: Mapping[str, Any] = key(
        Shape({"type": "object"}),
        "Arguments by name for a Python handler: for the function, or to build the class.",
        name="with",
        default_factory=dict,
    )
    workers: tuple[str, ...] = field(
        default=(),
        metadata=declares(
            Key(
                integer(1, MOST_WORKERS),
                "How many workers, called `<stage>-1`, `<stage>-2` and so on. Not with `names`.",
                "count",
                default=1,
                usual=True,
                by_hand=True,
            ),
            Key(
                Shape(
                    {
                        "type": "array",
                        "items": NAME.fragment,
                        "minItems": 1,
                        "maxItems": MOST_WORKERS,
                        "uniqueItems": True,
                        "title": "a list of names",
                    }
                ),
                "The workers by name, instead of `count`.",
                "names",
                by_hand=True,
                more={"examples": [["neo", "alex", "egon"]]},
            ),
        ),
    )
    """One name per process."""
    receives: str | None = key(NAME, "The queue that it takes items from.", name="from", default=None)
    sends: str | None = key(
        TO,
        TO_MEANS,
        name="to",
        default=None,
        by_hand=True,
        more={"examples": ["parsed", ["parsed", "archive"], {"ok": "item.status < 500", "else": "odd"}]},
    )
    """The one queue that all of it goes to; None where there is none, or `routes` say where to."""
    routes: tuple[RouteSpec, ...] = ()
    """The queues that it goes to, where these are several, or one has a condition."""
    needs: tuple[str, ...] = key(
        texts(NAME, "a stage's name, or a list of names"),
        "Stages that must have ended before this one starts.",
        default=(),
    )
    start: StartMode = key(
        choice(StartMode),
        "`parallel`: all its workers start at once. `serial`: one after the other, in the order of their names; the "
        "next starts when the one before has ended. For stages that read no queue, since the first reader would leave "
        "nothing for the next.",
        default=StartMode.PARALLEL,
    )
    lock: str | None = key(
        NAME,
        "The lock, one of `locks`, that a worker holds while its handler is at work: a plain worker for the whole of "
        "its run, a reader round each item, a producer while it makes each. Never while it waits at a queue: what a "
        "handler yields for an item is gathered, and put once the lock is free. A handler that drives its queue asks "
        "for the lock by its name instead.",
        default=None,
        more={"examples": ["mutex"]},
    )
    shard_by: str | None = key(
        text(pattern=PATH_PATTERN, title="a path such as user.id"),
        "The way from an item to its key, through mappings, attributes and places in lists; `item` is the item itself. "
        "Items with equal keys go to the same worker, in the order in which they were put, also when that worker dies "
        "and is restarted. A key is text, bytes, a number, or a tuple of these; an item without one fails at its put. "
        "An item that waits for its next attempt holds up those behind it, so with `retry` each worker has one item at "
        "a time. No other stage may read the queue. Needs `leased`.",
        default=None,
        more={"examples": ["user.id", "item"]},
    )
    keeps_order: bool = key(
        Shape({"enum": ["keep"]}, lambda written: bool(written == "keep")),
        "`keep`: what a pipe stage makes of its items goes on in the order of those items, however many workers it "
        "has. What is made early is held back; workers run ahead as far as the queue they write to has room for, or "
        f"{MOST_HELD_BACK:,} items. No other stage may read its queue. Needs `leased`.",
        name="order",
        default=False,
        shown=None,
    )
    batch: BatchSpec | None = key(
        BATCH,
        "For a handler in Python or a command that reads a queue: it is called with a list of items, as soon as that "
        "is full or `wait` is over. They are all done when the call has returned, and what a pipe stage returns is one "
        "output, what it yields are many. A list that the handler raises on is tried again in halves, until the items "
        "that fail stand alone; or it raises `mprun.BatchFailed` and says which they are. After a death each item of "
        "the list comes again, alone. `timeout` is for the whole list.",
        default=None,
        more={"examples": [32, {"size": 500, "bytes": "1MB", "wait": "1s"}]},
    )
    total: int | None = key(
        integer(0),
        "For a producer: how many items its workers are going to make, all together: a number, or a reference such as "
        "`${{ params.items }}`. It changes nothing in what they do, and tells whoever watches when the run is done. A "
        "source that knows how much there is to read, as of files, needs no key.",
        default=None,
        more={"examples": [400000]},
    )
    description: str = key(TEXT, "What the stage does.", default="")
    daemon: bool = key(
        BOOLEAN,
        "Whether the run may end while this stage still waits for items: once all the other stages have ended and the "
        "queues are joined, its workers are stopped.",
        default=False,
        usual=True,
    )
    until: str | None = key(
        NAME,
        "For a daemonic stage without queues: the stage with which it ends, whatever others still do, as a process "
        "with `p.daemon = True` ends with the main program. Without the key it ends when all the others have.",
        default=None,
        more={"examples": ["main"]},
    )
    on_error: OnError = key(
        ON_ERROR,
        ON_ERROR_MEANS,
        default=OnError.FAIL,
        usual=True,
        by_hand=True,
        more={"examples": ["skip", {"to": "malformed"}]},
    )
    errors_to: str | None = None
    """The queue that failures of its items go to."""
    retry: RetryPolicy = key(
        mapping(RetryPolicy, read=RetryPolicy.written),
        "Whether an item that a handler raised on is tried again. While it waits it keeps its room in the queue, and "
        "others go on. The handler sees the number in `worker.attempt`. Needs `leased`.",
        default=RetryPolicy(),
        shown=None,
        usual=True,
        more={"examples": [{"attempts": 3, "backoff": "1s", "on": "ConnectionError"}]},
    )
    restart: RestartPolicy | None = key(
        mapping(
            RestartPolicy,
            short="on",
            type=["object", "string"],
            title="a mapping, or one of crash, always and never",
            pattern=f"^({'|'.join(RestartOn)})$",
        ),
        "Whether a worker that dies is replaced by another of the same name. Under `leased`, consumers and pipe "
        f"stages are, after a crash, {USUAL_RESTART.max} times within {format_duration(USUAL_RESTART.within)}, and"
        " so is a source such as `lines`, which goes on where it was, and a producer with a parameter `resume`; "
        "any other producer only where this key is there, and its handler has a parameter `offset` or the stage "
        "is `deterministic`. An item that kills its workers becomes a dead letter, and its deaths do not count; "
        "where many in a row do so, none goes through and `limits.max_errors` is exceeded, the stage has failed. "
        "An exception that a handler lets pass outside any item fails the run, unless this key is there: then it "
        "counts as a crash.",
        default=None,  # what is usual for the stage's role on its transport
        usual=True,
        more={"examples": [{"on": "crash", "max": 3, "within": "10m"}, "never"]},
    )
    flush: FlushPolicy | None = key(
        mapping(FlushPolicy),
        "How often the handler's `flush()` is called, where it is a class that has one. Its items are done when "
        "`flush()` has returned, and not before: a kill hands out again what was handled since. It is also called when "
        "there is no item to take, at the end of the stream, when the worker is asked to end, and before `close()`. "
        "A class that has the method needs no key. For consumers and pipe stages.",
        default=None,
        more={"examples": [{"every": "5s", "items": 100}]},
    )
    state: StatePolicy | None = key(
        STATE,
        "What becomes of what a class keeps of its items in `self`, such as a total or rows not yet written, when its "
        "worker dies. `none`: it does not matter, and the worker is replaced as any other. `checkpoint`: it is "
        "pickled and kept with the word that the items which made it are done, and the worker that takes the place of "
        "a dead one goes on with it. Without the key, the death of a worker that had taken items in fails the run, "
        "unless the stage has `restart`, or its handler a method `flush()`. For consumers and pipe stages.",
        default=None,
        usual=True,
        more={"examples": ["checkpoint", {"checkpoint": {"every": "10s", "most": "256MiB"}}]},
    )
    threads: int = key(
        integer(1, MOST_AT_ONCE),
        "For a handler in Python that waits for others, as for a server: each worker calls it in so many threads, with "
        "an item each. Items are done one by one, and a kill repeats what was in hand. Needs `leased`; `inline` "
        "handles one after the other.",
        default=1,
        usual=True,
    )
    concurrency: int = key(
        integer(1, MOST_AT_ONCE),
        "The same for an `async` handler: so many coroutines in each worker.",
        default=1,
        usual=True,
    )
    rate: RatePolicy | None = key(
        RATE_OR_POLICY,
        "The most items that the workers of the stage begin in a second, all together, however many they are and "
        "however they die. Under `leased` the runner gives out the leave; `inline` takes no notice of it. What waits "
        "for its turn counts neither as work nor against `timeout`.",
        default=None,
        usual=True,
        more={"examples": ["20/s", {"limit": "100/m", "burst": 5, "per": "item.host"}]},
    )
    deterministic: bool = key(
        BOOLEAN,
        "For a producer: whether it makes the same items in the same order each time. One that is restarted then "
        "leaves out those that are already in the queue.",
        default=False,
        usual=True,
    )
    start_method: str = key(
        choice(["fork", "spawn"]),
        "How its processes begin: `fork` is quick, `spawn` is a fresh interpreter.",
        default="fork",
        usual=True,
    )
    env: Mapping[str, str] = key(
        ENV,
        "Environment variables of its workers, on top of the workflow's own.",
        default_factory=dict,
        usual=True,
        by_hand=True,
    )
    cwd: Path | None = key(
        FOLDER,
        "The folder its workers work in. A relative path starts at the workflow file's folder. Without it, it is the "
        "folder in which mprun was started, wherever the file lies.",
        default=None,
        usual=True,
        by_hand=True,
    )
    nice: int = key(
        integer(-20, 19),
        "How much its workers give way to others: 19 the most; below 0 needs privileges.",
        default=0,
        usual=True,
    )
    timeout: float | None = key(
        DURATION,
        "The longest its handler may take for one item; waiting for room downstream does not count. A worker that "
        "takes longer is killed, the item counts as one that killed its worker, and the worker is replaced as "
        "`restart` says. Needs `leased`; under `joinable` the death of a worker ends the run.",
        default=None,
        usual=True,
    )
    memory_limit: int | None = key(
        SIZE,
        "The most memory of its own a worker may have: its heap and private mappings, not what it shares "
        "(RLIMIT_DATA). A handler that asks for more gets a MemoryError, which fails the item. Processes that it "
        "starts have the same limit, each for itself.",
        default=None,
        usual=True,
    )

    # No keys: found by checking.
    kept: KeptState | None = None
    """What its handler keeps of its items, as its source tells; None is nothing."""
    drives: bool = False
    """Whether its handler says itself when an item is done, as its source tells."""
    resumes: bool = False
    """Whether a worker that takes the place of a dead producer goes on where that was."""
    over_death: OverDeath = OverDeath.NOT
    """What becomes of what it makes or leaves where another runner goes on with the run."""

    @property
    def role(self) -> Role:
        """What the stage does with queues."""
        return Role.of(self.receives, next(iter(self.targets), None))

    @property
    def targets(self) -> tuple[str, ...]:
        """The queues that its handler puts items on."""
        return queues_of(self.routes) if self.sends is None else (self.sends,)

    @property
    def writes(self) -> tuple[str, ...]:
        """All queues that get items from it, failures too."""
        return tuple(dict.fromkeys((*self.targets, *([self.errors_to] if self.errors_to else ()))))

    def label_to(self, queue: str) -> str:
        """Say which of its items go to one of its queues, as pictures do; empty where all of them do."""
        return label_of(self.routes, queue, made=queue in self.targets, failures=queue == self.errors_to)

    @property
    def misses_state(self) -> bool:
        """Whether a death fails the run where the handler has `kept` something: no word of the file says else."""
        return self.receives is not None and self.restart is None and self.state != NO_STATE

    @property
    def is_safe_before_close(self) -> bool:
        """Whether its items are safe before `close()`: by a flush, by a checkpoint, or in a sink of ours."""
        return self.handler.kind != "python" or self.flush is not None or self.checkpoint is not None

    @property
    def checkpoint(self) -> CheckpointPolicy | None:
        """How its workers' state is kept; None where it is not."""
        return None if self.state is None else self.state.checkpoint


@dataclass(frozen=True, slots=True)
class Given:
    """What a run was given, as it was written: whoever runs it again, or a part of it, needs it."""

    params: tuple[str, ...] = ()
    """`name=value`, as for `--param`."""
    overrides: tuple[str, ...] = ()
    """`a.b=value`, as for `--set`."""
    text: str = field(default="", repr=False)
    """The file itself."""
    included: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """The files that it includes, each with its text."""
    trigger: str = ""
    """What has begun it, where nobody has typed it: `src/a.py changed`."""
    args: tuple[str, ...] = ()
    """What stood behind `--`: the words of `${{ args }}` in jobs."""
    exact: bool = False
    """Of jobs, whether some run without all that they need, as `--only` and `--skip` have it."""
    force: bool = False
    """Whether jobs run though they are up to date."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same as arguments of the command line."""
        pairs = [*(("--param", each) for each in self.params), *(("--set", each) for each in self.overrides)]
        return tuple(word for pair in pairs for word in pair)


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """One workflow, checked and interpolated."""

    name: str = field(metadata=declares(Key(NAME, "The workflow's name, shown wherever the run is.")))
    path: Path
    """The file it came from; handlers are looked up beside it first."""
    stages: tuple[StageSpec, ...]
    queues: tuple[QueueSpec, ...] = ()
    transport: str = key(
        choice(TRANSPORTS),
        "How queues and workers exist. `leased`: each worker at a private stream, so that a worker may be killed at "
        "any moment and no item is lost. `joinable`: processes round `multiprocessing.JoinableQueue`, which one dead "
        "worker breaks: the run then ends. `inline`: everything in one process, one step at a time, for tests and "
        "debugging.",
        default=USUAL_TRANSPORT,
    )
    limits: Limits = key(mapping(Limits), "Bounds of the whole run.", default=Limits(), shown=None)
    resume: ResumePolicy = key(
        RESUME,
        "What is kept of a run under `leased`, so that `mprun resume` can go on with it after its runner was killed, "
        "was stopped, or has failed. `required`: the file is refused where something of it could not be gone on with. "
        "`none`: it can't. Without the key as much is kept as can be. Of jobs that is what each came to, as it ends: "
        "`every` says nothing there, and is refused.",
        default=ResumePolicy(),
        shown=None,
        more={"examples": ["required", {"every": "1s", "fsync": True}]},
    )
    notify: tuple[NotifySpec, ...] = key(
        NOTIFY,
        NOTIFY_MEANS,
        default=(),
        more={"examples": [[{"on": "failed", "run": ["notify-send", "mprun"]}]]},
    )
    default: tuple[str, ...] = key(
        texts(text(minLength=1), "the name of a job, a glob of names, or a list of these"),
        "The jobs of a run that names none, by name or glob, with what they need. Without it these are all that are "
        "not `manual`. For files with jobs.",
        default=(),
        more={"examples": [["lint", "test*"]]},
    )
    params: Mapping[str, Any] = field(default_factory=dict)
    """Values by name, after `--param` and defaults."""
    env: Mapping[str, str] = key(
        ENV, "Environment variables of every worker.", default_factory=dict, by_hand=True
    )
    description: str = key(TEXT, "What the workflow is for, in your own words.", default="")
    version: str = key(
        TEXT, "Your own version of this workflow, as text.", default="", more={"examples": ["1.0"]}
    )
    given: Given = Given()
    locks: tuple[LockSpec, ...] = ()
    shared: tuple[SharedSpec, ...] = ()
    pipes: tuple[PipeSpec, ...] = ()
    jobs: tuple[JobSpec, ...] = ()
    """Where there are jobs, there are no stages."""
    contexts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What conditions of jobs may ask for beside their own: `github`, `vars`, …"""
    context_sources: Mapping[str, str] = field(default_factory=dict)
    """Of what they ask for in these, by dotted name: where it is from; nothing where nobody knows it."""

    @property
    def declared(self) -> dict[str, str]:
        """What handlers get by asking for it by name, and what each is: `{"mutex": "lock"}`."""
        return {
            **{lock.name: "lock" for lock in self.locks},
            **{each.name: f"shared {each.kind}" for each in self.shared},
            **{pipe.name: "pipe" for pipe in self.pipes},
        }
