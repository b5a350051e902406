"""Facts: what a transport tells the supervisor. Frozen; a worker's word is checked before it becomes one.

worker ── message (JSON) ──► transport ── Fact ──► supervisor
kernel ── death, signal  ──►
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from runner.events.base import LEVELS
from runner.exit_status import killed_by
from runner.facts import dataclass
from runner.ipc.shm.handles import SharedBytes
from runner.ipc.shown_items import Side
from runner.spec.failures import OnError


class RetryAction(StrEnum):
    """
    What a worker asks for in place of its stage's `on_error` where `retry` names what was raised.

    Whether an attempt is left is for the ledger to say.
    """

    RETRY = "retry"


# Named tuples: a frozen dataclass takes five times as long to make, and each start of mprun makes all of these. One is
# a dataclass where others inherit from it, make a dictionary of it, or a field's name is that of a tuple's method.
class Ready(NamedTuple):
    """The worker has its handler and begins."""

    worker: str
    instance_of: str = ""
    """The class of an object that it calls with items, where nobody could read its source; empty for a function."""


class ItemFailure(NamedTuple):
    """A handler raised on an item; the worker itself goes on, or ends if `action` is fail."""

    worker: str
    item: str
    error: str
    traceback: str = ""
    action: OnError | RetryAction = OnError.FAIL
    position: str = ""
    """Where a source has found what it could make no item of: `access.log:17`."""
    frame: str = ""
    """A frame with what is there, in base64, where it is to be kept."""


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """What became of one hand-over of an item. `at` is seconds since the epoch."""

    number: int
    worker: str
    pid: int
    at: float
    ended: str
    """The exception, or how the worker died."""
    died: bool = False
    """Whether the worker died of it, or at least with it in hand."""
    company: int = 1
    """How many items were in hand together: at a death, nobody knows which of them it was."""


@dataclass(frozen=True, slots=True)
class FailedItem:
    """What is left of an item that failed for good."""

    frame: bytes | None
    """A frame that holds the item, unopened; None where it can't be had."""
    index: int
    """Where in the frame it is."""
    attempts: tuple[DeliveryAttempt, ...]
    bulk: SharedBytes | None = None
    """What of the item is not in the frame, where it is a big one: the frame then has its handle."""
    outputs: int = 0
    """How many outputs of the item are in the next queue."""


class ItemJudged(NamedTuple):
    """A worker's word that an item failed, and what the ledger made of it: `failure.action`, or tried once more."""

    worker: str
    failure: ItemFailure
    attempt: int
    delay: float | None = None
    """Seconds until it is handed out again; None where this was the last time."""
    failed_item: FailedItem | None = None
    """Where it is to be kept."""


class ItemReturned(NamedTuple):
    """A worker died with an item in hand, which is handed out again, alone."""

    worker: str
    item: str
    attempt: int
    """The number of the hand-over to come."""


class BatchFailure(NamedTuple):
    """A handler raised on a batch, whose items it now gets in smaller ones; or its worker died with a batch in hand,
    and each item of it is handed out again, alone."""

    worker: str
    items: int
    error: str
    traceback: str = ""
    died: bool = False


class ItemCondemned(NamedTuple):
    """An item was in hand at too many deaths: it is not handed out any more."""

    worker: str
    item: str
    failed_item: FailedItem


class ItemCleared(NamedTuple):
    """An item that was in hand at deaths has gone through: it was not the item that these workers died of."""

    worker: str
    deaths: tuple[DeliveryAttempt, ...]


@dataclass(frozen=True, slots=True)
class ItemsDropped:
    """A full queue has dropped items since this was last said. `worker` is whoever put last."""

    worker: str
    queue: str
    count: int
    reason: str


class StateKept(NamedTuple):
    """The state of a worker's handler was kept, `times` since this was last said."""

    worker: str
    times: int
    size: int
    """Bytes of the last one."""


class QueueOverflowed(NamedTuple):
    """A worker put to a full queue where that is a failure."""

    worker: str
    queue: str
    bounds: str


class HandlerFailed(NamedTuple):
    """A handler could not be built, or raised while no item was in hand. The worker is about to end."""

    worker: str
    error: str
    traceback: str = ""


class NotTheSame(NamedTuple):
    """A producer that had to begin again has made something else than before. The worker is about to end."""

    worker: str
    error: str


class Logged(NamedTuple):
    """A handler said something through `worker.log`."""

    worker: str
    level: str
    message: str
    fields: Mapping[str, Any] = MappingProxyType({})


class Reported(NamedTuple):
    """A handler of our own told how its item is getting on, for whoever fed the queue from inside the supervisor."""

    worker: str
    what: str
    fields: Mapping[str, Any] = MappingProxyType({})


class ItemShown(NamedTuple):
    """One of the items that a worker was let show, as somebody looks at what passes."""

    worker: str
    side: str
    """Whether it has taken or made it, as in `Side`."""
    fields: Mapping[str, Any] = MappingProxyType({})


class Holds(NamedTuple):
    """Something of items that are done is held by the worker, and would be lost with it."""

    worker: str
    what: str


class FollowsCuts(NamedTuple):
    """A producer wants to be told how many of its items are in a kept cut, and its page says for how many it waits."""

    worker: str


class Closes(NamedTuple):
    """Its items are done with, and its handler's `close()` is called."""

    worker: str


class Finished(NamedTuple):
    """The worker did all that it had to. Without this before its exit it has died, whatever its exit code."""

    worker: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process is gone and reaped. `code` follows multiprocessing: negative is the signal that ended it."""

    worker: str
    pid: int
    code: int

    @property
    def exitcode(self) -> int | None:
        """The exit code; None if a signal ended it."""
        return self.code if self.code >= 0 else None

    @property
    def signal_name(self) -> str | None:
        """The signal that ended it, such as SIGKILL."""
        return killed_by(self.code)


class KeysExhausted(NamedTuple):
    """A queue that takes each key once has seen as many as it may remember."""

    worker: str
    queue: str
    keys: int


ItemFact = (
    ItemFailure
    | BatchFailure
    | ItemJudged
    | ItemReturned
    | ItemCondemned
    | ItemCleared
    | ItemsDropped
    | QueueOverflowed
    | KeysExhausted
)
Fact = (
    Ready
    | ItemFact
    | StateKept
    | HandlerFailed
    | NotTheSame
    | Logged
    | Reported
    | ItemShown
    | Holds
    | FollowsCuts
    | Closes
    | Finished
    | Exited
)

_BY_KIND: Mapping[str, Callable[..., Fact]] = {
    "ready": Ready,
    "item_failed": ItemFailure,
    "batch_failed": BatchFailure,
    "handler_failed": HandlerFailed,
    "not_the_same": NotTheSame,
    "logged": Logged,
    "reported": Reported,
    "item_shown": ItemShown,
    "holds": Holds,
    "follows_cuts": FollowsCuts,
    "closes": Closes,
    "finished": Finished,
}

_ACTIONS: Mapping[str, OnError | RetryAction] = {each.value: each for each in (*OnError, *RetryAction)}
_CHOICES: Mapping[str, tuple[object, ...]] = {
    "level": tuple(LEVELS),
    "action": tuple(_ACTIONS),
    "side": tuple(Side),
}


def from_message(worker: str, message: Mapping[str, Any]) -> Fact | None:
    """Turn a worker's message into a fact, or None where it makes no sense: a worker's word is only gossip."""
    known = _BY_KIND.get(str(message.get("kind")))
    payload = {key: value for key, value in message.items() if key != "kind"}
    if known is None or not all(_is_plausible(key, value) for key, value in payload.items()):
        return None
    if "action" in payload:
        payload["action"] = _ACTIONS[payload["action"]]
    try:
        return known(worker=worker, **payload)
    except TypeError:
        return None


def _is_plausible(key: str, value: object) -> bool:
    if key in _CHOICES:
        return value in _CHOICES[key]
    if key == "items":
        return type(value) is int and value > 0
    return isinstance(value, Mapping if key == "fields" else str)
