"""Facts: what a transport tells the supervisor. Frozen; a worker's word is checked before it becomes one.

worker ── message (JSON) ──► transport ── Fact ──► supervisor
kernel ── death, signal  ──►
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.bulk import Bulk
from runner.spec import OnError


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has its handler and begins."""

    worker: str


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """A handler raised on an item; the worker itself goes on, or ends if `action` is fail."""

    worker: str
    item: str
    error: str
    traceback: str = ""
    action: str = "fail"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one hand-over of an item. `at` is seconds since the epoch."""

    number: int
    worker: str
    pid: int
    at: float
    ended: str
    """The exception, or how the worker died."""
    died: bool = False
    """Whether the worker died of it, or at least with it in hand."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of an item that failed for good."""

    frame: bytes | None
    """A frame that holds the item, unopened; None where it can't be had."""
    index: int
    """Where in the frame it is."""
    attempts: tuple[Attempt, ...]
    bulk: Bulk | None = None
    """What of the item is not in the frame, where it is a big one: the frame then has its docket."""


@dataclass(frozen=True, slots=True)
class ItemJudged:
    """A worker's word that an item failed, and what the ledger made of it: `failure.action`, or tried once more."""

    worker: str
    failure: ItemFailed
    attempt: int
    delay: float | None = None
    """Seconds until it is handed out again; None where this was the last time."""
    remains: Remains | None = None
    """Where it is to be kept."""


@dataclass(frozen=True, slots=True)
class ItemRedelivered:
    """A worker died with an item in hand, which is handed out again, alone."""

    worker: str
    item: str
    attempt: int
    """The number of the hand-over to come."""


@dataclass(frozen=True, slots=True)
class ItemCondemned:
    """An item was in hand at too many deaths: it is not handed out any more."""

    worker: str
    item: str
    remains: Remains


@dataclass(frozen=True, slots=True)
class ItemCleared:
    """An item that was in hand at deaths has gone through: it was not the item that these workers died of."""

    worker: str
    deaths: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class ItemsDropped:
    """A full queue has dropped items since this was last said. `worker` is whoever put last."""

    worker: str
    queue: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class QueueOverflowed:
    """A worker put to a full queue where that is a failure."""

    worker: str
    queue: str
    bounds: str


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """A handler could not be built, or raised while no item was in hand. The worker is about to end."""

    worker: str
    error: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """A handler said something through `worker.log`."""

    worker: str
    level: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reported:
    """A handler of our own told how its item is getting on, for whoever fed the queue from inside the supervisor."""

    worker: str
    what: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """The worker did all that it had to. Without this before its exit it has died, whatever its exit code."""

    worker: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process is gone and reaped. `code` follows multiprocessing: negative is the signal that ended it."""

    worker: str
    pid: int
    code: int

    @property
    def signal_name(self) -> str | None:
        """The signal that ended it, such as SIGKILL."""
        if self.code >= 0:
            return None
        try:
            return signal.Signals(-self.code).name
        except ValueError:  # a real-time signal has a number and no name
            return f"signal {-self.code}"


ItemFact = (
    ItemFailed | ItemJudged | ItemRedelivered | ItemCondemned | ItemCleared | ItemsDropped | QueueOverflowed
)
Fact = Ready | ItemFact | HandlerFailed | Logged | Reported | Finished | Exited

RETRY = "retry"
"""What a worker asks for where `retry` names what was raised; whether an attempt is left is for the ledger to say."""

_BY_KIND: Mapping[
    str,
    type[Ready] | type[ItemFailed] | type[HandlerFailed] | type[Logged] | type[Reported] | type[Finished],
] = {
    "ready": Ready,
    "item_failed": ItemFailed,
    "handler_failed": HandlerFailed,
    "logged": Logged,
    "reported": Reported,
    "finished": Finished,
}

_CHOICES: Mapping[str, tuple[object, ...]] = {
    "level": ("debug", "info", "warning", "error"),
    "action": (*OnError, RETRY),
}


def from_message(worker: str, message: Mapping[str, Any]) -> Fact | None:
    """Turn a worker's message into a fact, or None where it makes no sense: a worker's word is only gossip."""
    known = _BY_KIND.get(str(message.get("kind")))
    said = {key: value for key, value in message.items() if key != "kind"}
    if known is None or not all(_is_plausible(key, value) for key, value in said.items()):
        return None
    try:
        return known(worker=worker, **said)
    except TypeError:
        return None


def _is_plausible(key: str, value: object) -> bool:
    if key in _CHOICES:
        return value in _CHOICES[key]
    return isinstance(value, Mapping if key == "fields" else str)
