"""Facts: what a transport tells the supervisor. Frozen; a worker's word is checked before it becomes one.

    worker ── message (JSON) ──► transport ── Fact ──► supervisor
    kernel ── death, signal  ──►
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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


Fact = Ready | ItemFailed | HandlerFailed | Logged | Finished | Exited

_BY_KIND: Mapping[str, type[Ready] | type[ItemFailed] | type[HandlerFailed] | type[Logged] | type[Finished]] = {
    "ready": Ready,
    "item_failed": ItemFailed,
    "handler_failed": HandlerFailed,
    "logged": Logged,
    "finished": Finished,
}


def from_message(worker: str, message: Mapping[str, Any]) -> Fact | None:
    """Turn a worker's message into a fact, or None where it makes no sense: a worker's word is only gossip."""
    known = _BY_KIND.get(str(message.get("kind")))
    if known is None:
        return None
    try:
        return known(worker=worker, **{key: value for key, value in message.items() if key != "kind"})
    except TypeError:
        return None
