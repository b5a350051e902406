"""What a handler kind declares, the four shapes a handler may have in its worker, and the registry of kinds.

One declaration per kind feeds the schema, the reference page, `mprun handlers`, validation and
the constructor.

    kind.build(options, context) ──► Source     makes items                producer
                                     Mapper     called with each item      consumer, pipe stage
                                     Driver     holds the queue itself     any stage with a queue
                                     Task       runs once                  plain stage
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from runner.errors import HandlerNotFound
from runner.problems import did_you_mean
from runner.provisions import Gifts, no_gifts
from runner.spec import HandlerRef, Role

ENTRY_POINT_GROUP = "mprun.handlers"

LISTENER = "(listener)"
"""The name of the gift that a stage's listening socket is. No parameter has such a name, so no handler gets it."""


def nothing_to_close() -> None:
    """Most handlers hold nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """Makes items: each value of `items()` is put."""

    items: Callable[[], Iterable[object]]
    close: Callable[[], None] = nothing_to_close


@dataclass(frozen=True, slots=True)
class Mapper:
    """Called with one item. Of what it returns None puts nothing, a generator puts each, all else is put."""

    call: Callable[[object], object]
    close: Callable[[], None] = nothing_to_close


@dataclass(frozen=True, slots=True)
class Driver:
    """Gets the queues it reads and writes (the same one where it has only one, else None) and drives them."""

    call: Callable[[QueueEnd | None, QueueEnd | None], object]
    close: Callable[[], None] = nothing_to_close


@dataclass(frozen=True, slots=True)
class Task:
    """Runs once, round no queue."""

    call: Callable[[], object]
    close: Callable[[], None] = nothing_to_close


Handler = Source | Mapper | Driver | Task


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


def _nobody_listens(level: str, event: str, fields: Mapping[str, Any]) -> None:
    """Where a log line goes when no run is there to take it: a handler called by hand, in a test."""


def _nobody_is_told(what: str, fields: Mapping[str, Any]) -> None:
    """Where a report goes when no run is there to take it."""


def _nothing_revoked() -> int:
    """What a handler is told that is called by hand."""
    return 0


def _first_attempt() -> int:
    """What a handler is told that is called by hand."""
    return 1


@dataclass(frozen=True, slots=True)
class WorkerLog:
    """What a handler says about its work: `worker.log.info("bun.steamed", number=3)`."""

    emit: Callable[[str, str, Mapping[str, Any]], None]

    def info(self, event: str, /, **fields: Any) -> None:
        """Say what happened."""
        self.emit("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Say what looks wrong and does not stop the work."""
        self.emit("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Say what went wrong. To fail an item, raise instead."""
        self.emit("error", event, fields)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Who a handler is working as. Handed to a handler that has a parameter `worker`."""

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
    emit: Callable[[str, str, Mapping[str, Any]], None] = _nobody_listens
    """Where the handler's log lines go: called with level, event and fields."""
    report: Callable[[str, Mapping[str, Any]], None] = _nobody_is_told
    """Tells the supervisor how the item is getting on: for handlers of our own, whose queue is fed from inside."""
    revoked: Callable[[], int] = _nothing_revoked
    """The number of the item last revoked; SIGUSR1 comes with each change."""
    attempts: Callable[[], int] = _first_attempt
    """How often the item in hand was handed over; 0 is as good as 1."""
    gifts: Gifts = field(default_factory=no_gifts)
    """What the file declares once, by the names of the parameters that ask for it."""

    @property
    def attempt(self) -> int:
        """Which attempt at the item in hand this is: 1 first, more where it failed or its worker was killed."""
        return self.attempts() or 1

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
    """For a server: read from the options where its stage listens. The socket is a gift, `LISTENER`, to each worker."""
    calls: Calls | None = None


_BUILT_IN: Mapping[str, str] = {
    "command": "runner.handlers.command:COMMAND",
    "lines": "runner.handlers.sources:LINES",
    "jsonl": "runner.handlers.sinks:JSONL",
    "serve": "runner.handlers.serve:SERVE",
}


def built_in_kinds() -> dict[str, HandlerKind]:
    """Load the kinds that ship with mprun, in the order in which they are listed."""
    return {name: _load(where) for name, where in _BUILT_IN.items()}


def all_kinds() -> dict[str, HandlerKind]:
    """Load every kind there is, those of other packages too. Slow: it reads the metadata of all packages."""
    from importlib.metadata import entry_points

    return built_in_kinds() | {point.name: point.load() for point in entry_points(group=ENTRY_POINT_GROUP)}


def find_kind(name: str) -> HandlerKind:
    """Return one kind. Other packages are only looked at when the name is not one of ours.

    Raises:
        HandlerNotFound: nobody registers `name`.
    """
    if name in _BUILT_IN:
        return _load(_BUILT_IN[name])
    kinds = all_kinds()
    if name not in kinds:
        raise HandlerNotFound(f"there is no handler kind '{name}'; {did_you_mean(name, kinds)}")
    return kinds[name]


def listens_at(handler: HandlerRef) -> Address | None:
    """Return where a stage with this handler is to listen; None if it does not. Its options must be valid."""
    if handler.kind == "python":
        return None
    listens = find_kind(handler.kind).listens
    return None if listens is None else listens(handler.options)


def _load(where: str) -> HandlerKind:
    module, _, attribute = where.partition(":")
    kind: HandlerKind = getattr(import_module(module), attribute)
    return kind
