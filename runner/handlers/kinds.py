"""What a handler kind declares, and the four shapes a handler may have in its worker.

One declaration per kind feeds the schema, the reference page, `mprun handlers`, validation and
the constructor.

    kind.build(options, context) ──► Source     makes items                producer
                                     Mapper     called with each item      consumer, pipe stage
                                     Driver     holds the queue itself     any stage with a queue
                                     Task       runs once                  plain stage
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from runner.errors import HandlerError, RouteError
from runner.facts import dataclass
from runner.process.resources.base import InjectedResources, no_resources
from runner.spec.diagnostics import Severity
from runner.spec.model import Role
from runner.spec.plan import InputFile, InputShare
from runner.spec.suggestions import near, which_one
from runner.text import safe_repr

if TYPE_CHECKING:
    from runner.handlers.async_calls import EventLoop
    from runner.handlers.outputs import Writes

LISTENER = "(listener)"
"""The resource that a stage's listening socket is. No parameter has such a name, so no handler gets it."""


def nothing_to_close() -> None:
    """Most handlers hold nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """Makes items: each value of `items()` is put, and each of an `ItemBlock`; a `Malformed` fails."""

    items: Callable[[], Iterable[object]]
    close: Callable[[], object] = nothing_to_close


class ItemBlock(list[object]):
    """Items that were made together: numbers, and texts of less than `SMALL` characters. They are put in bulk."""


SMALL = 64 * 1024
"""Characters of a text that is not too long to go in a block."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Stands, in what a source yields, for an item that can't be made of what is there."""

    raw: object
    """What is there: the text of a line, say."""
    error: Exception
    position: str
    """Where it is: `access.log:17`."""


class Route:
    """
    An item with the name of the queue that it goes to: what a handler yields or returns to choose that itself.

    `yield Route("errors", page)` puts `page` on the queue `errors`, which is one that the stage's `to` names.
    """

    __slots__ = ("item", "queue")

    def __init__(self, queue: str, item: object) -> None:
        self.queue = queue
        self.item = item

    def __repr__(self) -> str:
        return f"Route({self.queue!r}, {safe_repr(self.item)})"

    def check(self, targets: Collection[str]) -> None:
        """Raise `RouteError` where its queue is none of these."""
        if self.queue not in targets:
            named = f"{safe_repr(self)}: the stage's `to` names no queue '{self.queue}'"
            question = which_one(near(str(self.queue), targets))
            raise RouteError(f"{named}; {question or 'it has ' + ', '.join(sorted(targets))}")

    def __reduce__(self) -> tuple[Callable[[object], object], tuple[object]]:
        """It travels as the item alone: of a stage with one queue nobody looks at the items that pass."""
        self.check(_targets_here)
        return _itself, (self.item,)


_targets_here: Collection[str] = ()
"""In a worker: the queues that its stage writes to."""


def allow_routes(targets: Collection[str]) -> None:
    """Called in a worker: its handler may put items on these queues."""
    global _targets_here  # noqa: PLW0603 - what is pickled has no other way to know where it is
    _targets_here = targets


def unrouted(item: object, targets: Collection[str]) -> object:
    """Return an item without the name of its queue. Raises `RouteError` where that is none of the stage's."""
    if type(item) is not Route:
        return item
    item.check(targets)
    return item.item


def unrouted_here(item: object) -> object:
    """The same in a worker: the queues are those of its stage. For who looks at an item before it is pickled."""
    return unrouted(item, _targets_here) if type(item) is Route else item


def _itself(item: object) -> object:
    return item


def one_by_one(items: Iterable[object]) -> Iterator[object]:
    """Return what a source yields with its blocks taken apart."""
    for item in items:
        if type(item) is ItemBlock:
            yield from item
        else:
            yield item


@dataclass(frozen=True, slots=True)
class Mapper:
    """Called with one item. Of what it returns None puts nothing, a generator puts each, all else is put."""

    call: Callable[[object], object]
    close: Callable[[], object] = nothing_to_close
    flush: Callable[[], object] | None = None
    """Makes safe what was handled since it was called last; None where each call does that itself."""
    call_many: Callable[[list[object]], bool] | None = None
    """For a kind with `flush`: does at once what `call` does with each of some items. Where it can't have all of them
    it has done nothing, and returns False: then `call` gets each, and says which it is."""
    instance: object = None
    """What may keep something from one call to the next; None for a function."""
    coroutine: Callable[[object], object] | None = None
    """For an `async` handler: makes the coroutine of an item, or its asynchronous generator; `call` waits for it."""
    loop: EventLoop | None = None
    """What that is to run on."""
    capture: Callable[[], bytes] | None = None
    """For a kind that keeps a state (`Commits.keeps_state`): what whoever takes the worker's place has to know, sent in
    one message with the word that the items which made it are done. It comes back as `WorkerContext.state`."""


@dataclass(frozen=True, slots=True)
class Driver:
    """Gets the queues it reads and writes (the same one where it has only one, else None) and drives them."""

    call: Callable[[QueueEnd | None, QueueEnd | None], object]
    close: Callable[[], object] = nothing_to_close


@dataclass(frozen=True, slots=True)
class Task:
    """Runs once, round no queue."""

    call: Callable[[], object]
    close: Callable[[], object] = nothing_to_close


Handler = Source | Mapper | Driver | Task


def refuse_coroutine(value: object) -> None:
    """
    Raise TypeError for a coroutine or an asynchronous generator: nothing of its body has run, and nothing will.

    A coroutine is closed too, so that Python need not warn that nobody awaited it.
    """
    if not isinstance(value, CoroutineType | AsyncGeneratorType):
        return
    kind = "an asynchronous generator" if isinstance(value, AsyncGeneratorType) else "a coroutine"
    if isinstance(value, CoroutineType):
        value.close()
    raise TypeError(
        f"the handler returned {kind}, and a worker awaits what an `async def` returns only: nothing of "
        f"'{value.__qualname__}' has run; make the handler an `async def`, or call it with asyncio.run()"
    )


class QueueEnd(Protocol):
    """What a handler with a parameter `queue`, `inbox` or `outbox` holds: the JoinableQueue's own methods."""

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room. Raises `queue.Full`, or `Stopping` while the run is stopping."""

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one. Raises `queue.Empty`, or `EndOfStream` once there can be no more."""

    def task_done(self) -> None:
        """Say that one item that was taken is done with."""

    def join(self) -> None:
        """Wait until every item ever put is done."""

    def qsize(self) -> int:
        """Count the items waiting, approximately."""

    def empty(self) -> bool:
        """Say whether no item waits, approximately."""

    def full(self) -> bool:
        """Say whether there is no room, approximately."""


@dataclass(frozen=True, slots=True)
class WorkerLog:
    """What a handler says about its work: `worker.log.info("bun.steamed", number=3)`."""

    emit: Callable[[str, str, Mapping[str, Any]], None]

    def info(self, event: str, /, **fields: Any) -> None:
        """Log what happened."""
        self.emit("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log what looks wrong and does not stop the work."""
        self.emit("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Log what went wrong. To fail an item, raise instead."""
        self.emit("error", event, fields)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Who a handler is working as. Handed to a handler that has a parameter `worker`.

    What talks to the run has defaults for a handler that is called by hand, in a test: there is no run to listen.
    """

    name: str
    stage: str
    pid: int
    ppid: int
    offset: int = 0
    """Items that earlier generations of this producer have put. Handed to a handler that has a parameter `offset`."""
    beside: str = "."
    """The folder of the workflow file."""
    role: Role = Role.PLAIN
    arguments: Mapping[str, Any] | None = None
    """The stage's `with`."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What references in the script of a handler of our own stand for, by name, where the file says."""
    emit: Callable[[str, str, Mapping[str, Any]], None] = lambda _level, _event, _fields: None
    """Where the handler's log lines go: called with level, event and fields."""
    report: Callable[[str, Mapping[str, Any]], None] = lambda _what, _fields: None
    """Reports to the supervisor how the item is getting on: for handlers of our own, whose queue is fed from inside."""
    revoked: Callable[[], int] = lambda: 0
    """The number of the item last revoked; SIGUSR1 comes with each change."""
    attempts: Callable[[], int] = lambda: 1
    """How often the item in hand was handed over; 0 is as good as 1."""
    split: Callable[[], bool] = lambda: False
    """Whether what is in hand is part of a batch that the handler has raised on."""
    ids: Callable[[], Sequence[str]] = lambda: ["run/queue/0"]
    """What names the items in hand. Raises `HandlerError` where there is none."""
    inputs: tuple[InputFile, ...] | None = None
    """The files that there are for the workers of the stage to read, listed once for all of them; else nothing is."""
    share: InputShare = InputShare()
    """Which part of them is this worker's."""
    stopping: Callable[[], bool] = lambda: False
    """Whether a source is to come to its end, since nothing more of it is put."""
    progress: Callable[[int, int], None] = lambda _at, _of: None
    """Tells how far a source has come: so many of so many bytes, or items."""
    places: Callable[[], Sequence[int]] = lambda: [0]
    """Where the items in hand stand among all that were put. Raises `HandlerError` where there is none."""
    source: str = "run/queue"
    """What those places are in: the run that items have their ids of, and the queue."""
    prepared: Any = None
    """What the supervisor has made ready for this stage's workers: `StageOutput.prepared` of a kind that writes."""
    state: bytes = b""
    """What the `capture` of the worker whose place this one takes had returned last; empty for a new one. Of a source
    what it had noted last, of a place at which no more than `offset` items lie behind."""
    note_place: Callable[[int, bytes], object] = lambda _start, _state: None
    """Says where a source is, for whoever takes its place: called with the number of items that lie behind, those of
    earlier generations too, and what has to be known to go on there."""
    resumed: bool = False
    """Whether the run goes on where another runner had been killed or had ended it."""
    fsync: bool = False
    """Whether what a sink writes is to be on the disk, and not only the system's, before its items are done."""
    token: Any = None
    """What an earlier worker had noted last by `checkpoint`, or None. A producer gets it as its parameter `resume`."""
    note_token: Callable[[Any], None] = lambda _token: None
    """Where that is noted."""
    count_committed: Callable[[], int] = lambda: 0
    """Counts what `committed` does. Raises `HandlerError` where nobody could tell."""
    await_committed: Callable[[int | None, float], bool] = lambda _count, _timeout: False
    """Does what `wait_until_committed` does. Raises as that."""
    in_batches: bool = False
    """Whether the stage has `batch`: what the handler is called with is a list."""
    close_timeout: float = 5.0
    """The seconds that its `close()` may take."""
    resources: InjectedResources = field(default_factory=no_resources)
    """What the file declares once, by the names of the parameters that ask for it."""

    @property
    def attempt(self) -> int:
        """Which attempt at the item in hand this is: 1 first, more where it failed or its worker was killed."""
        return self.attempts() or 1

    @property
    def redelivered(self) -> bool:
        """
        Whether a handler may have had what is in hand before: at an earlier attempt, or in a bigger batch.

        It is true of all the items of a batch, or of none.
        """
        return self.attempt > 1 or self.split()

    @property
    def item_id(self) -> str:
        """
        A text that no other item has, and this one at each attempt, whoever handles it: run, queue and place in it.

        Raises:
            HandlerError: no item is in hand, or several are, or nobody counts them, as under `joinable`.
        """
        ids = self.ids()
        if len(ids) > 1:
            raise HandlerError(
                "`worker.item_id`: a batch is in hand, and `worker.item_ids` names its items, in order"
            )
        return ids[0]

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The `item_id` of each item of the batch in hand, in their order. Raises as that does."""
        return tuple(self.ids())

    def checkpoint(self, token: Any) -> None:
        """
        Note where a producer with a parameter `resume` is, once it has yielded, or put, all that lies before.

        Whoever takes its place is called with the last token that was kept, and what lies between that and what is in
        the queue is left out of what it makes. Cheap enough to be called after each item.

        Raises:
            Exception: whatever pickling it raises.
        """
        self.note_token(token)

    @property
    def committed(self) -> int:
        """
        How many of this producer's items no death can take any more, counted as `offset` counts them.

        They are in a kept cut of the run, or were done before: whoever goes on with the run has them. So the first
        `committed` may be acknowledged to where they come from. It never decreases, over generations and runners too,
        and costs no more than to read a number; how many there are is told from the first look on, some ten times a
        second.

        Raises:
            HandlerError: it is no producer, or no cut is kept of this run, whatever happens.
        """
        return self.count_committed()

    def wait_until_committed(self, count: int | None = None, *, timeout: float = 10.0) -> bool:
        """
        Wait until so many items are `committed`, by default all that it has yielded or put; say whether they are.

        It takes so many seconds at the most, and no longer than one once the run is being stopped. A cut is taken
        soon for it, in whichever thread of the handler it is called.

        Raises:
            HandlerError: as `committed` does.
        """
        return self.await_committed(count, timeout)

    @property
    def log(self) -> WorkerLog:
        """For the handler's own log lines."""
        return WorkerLog(self.emit)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a stage listens."""

    host: str
    port: int
    """0 is any that is free."""
    backlog: int
    """Connections that may wait to be accepted."""


def host_and_port(host: str, port: int) -> str:
    """Return `127.0.0.1:80`, or `[::1]:80`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Calls:
    """How a kind calls a Python function of the user's, which the check of the file then looks for."""

    option: str
    """The option that names it, as `module:callable`. It gets the stage's `with`, like any handler in Python."""
    fills: tuple[str, ...]
    """Parameters that the kind gives at each call. A function without them is called with one thing at a time."""


@dataclass(frozen=True, slots=True)
class HandlerKind:
    """The one declaration of a kind of handler."""

    name: str
    summary: str
    roles: frozenset[Role]
    options: Mapping[str, Any]
    """JSON Schema of the value under `run.<name>`, with a description for each option."""
    example: str
    """A stage in YAML that validates as it stands."""
    build: Callable[[Any, WorkerContext], Handler]
    """Called in the worker with the checked options. What it raises ends the worker."""
    listens: Callable[[Any], Address] | None = None
    """For a server: read from the options where its stage listens. Each worker gets the socket, as its `LISTENER`."""
    calls: Calls | None = None
    parts: Mapping[Role, HandlerKind] = field(default_factory=dict)
    """Of a kind that is declared for each role: those declarations."""
    writes: Callable[[Any], Writes] | None = None
    """For a kind that leaves something: read from the options what, and when it is safe."""
    repeats: Severity | None = None
    """How bad it is that a producer has several workers: each makes the same items."""
    unshared: Callable[[Any], str | None] = lambda _options: None
    """For a producer: why several workers can't share its input with these options; None where they can."""
    inputs: Callable[[Any, Path], Sequence[InputFile]] | None = None
    """For a producer: lists what there is to read from a folder. Called once a run, in the supervisor, so that all
    workers, and those that take their places, share out the same. Raises `HandlerError`."""
    rereads: bool = False
    """For a producer with `inputs`: whether who goes on with a run opens them again, so that none may be gone, or have
    become shorter."""
    resumes: Callable[[Any], bool] = lambda _options: False
    """For a producer: whether a worker that takes the place of another goes on behind `WorkerContext.offset`."""
    otherwise: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Options with which another thing is promised over the death of the runner than without, each behind the words for
    that. What it is follows from `resumes` and `writes`."""
    live: bool = False
    """For a producer: whether what it makes is made once, by somebody else: what it makes later follows on that."""
    rejects: bool = False
    """For a producer: whether it yields `Malformed`, so that `on_error` has something to say."""
    remake: Callable[[Any, object, str], object] = lambda _options, raw, _position: raw
    """For a producer: makes an item of what was malformed, or a `Malformed` once more, when its letter is replayed:
    called with the options that hold then, what was kept, and where that was."""

    def of_role(self, role: Role) -> HandlerKind:
        """Return the declaration that holds for a stage of this role."""
        return self.parts.get(role, self)
