"""What a transport is: a matched set that opens channels and queues, spawns workers, and tells facts.

    supervisor ── start, end_stream, stop_producing, signal ──► Transport ──► workers
               ◄─────────────── facts, counters, accounts ────           ◄──

The supervisor decides, the transport acts; it has no policy of its own. Every transport passes the same suite.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runner.facts import Fact
from runner.handlers.base import QueueEnd
from runner.ledger import Account
from runner.plan import WorkerPlan
from runner.provisions import Gifts, no_gifts
from runner.status import Counters, Pulse, StatusPage


class Inbox(QueueEnd, Protocol):
    """The end that a worker takes from; the runner itself has one more word than a handler."""

    def give_up(self) -> None:
        """Say that one item that was taken has failed for good here: it is dropped."""


class Cancelled(BaseException):
    """Unwinds a worker that is no process of its own and has to end. Passes through `Life`."""


class Tell(Protocol):
    """A worker's way to the supervisor: one message of a kind that `facts` knows."""

    def __call__(self, kind: str, **fields: Any) -> None:
        """Send it; blocks only while the supervisor is behind."""


class Fail(Protocol):
    """What a loop calls with an item and what its handler raised; it raises where that is to end the worker."""

    def __call__(
        self, item: object, error: BaseException, *, attempt: int = 1, tell: Tell | None = None
    ) -> None:
        """`tell` is for a transport that counts attempts: it takes the words instead of the worker's channel."""


class Loops(Protocol):
    """How a worker moves items; the transport knows how they travel."""

    def produce(self, items: Iterable[object], fail: Fail) -> None:
        """Put each item until there are no more or the run is being stopped."""

    def drive(self, call: Callable[[], object]) -> None:
        """Call what drives its queues itself. When it has returned, all that it put is in the queue, or on its way."""

    def consume(self, call: Callable[[object], object], fail: Fail) -> None:
        """Call the handler with each item, and put what it returns, until the stream ends."""


@dataclass(frozen=True, slots=True)
class Port:
    """A worker's side of a transport."""

    loops: Loops

    inbox: Inbox | None
    outbox: QueueEnd | None
    status: StatusPage
    tell: Tell
    offset: int = 0
    """Items that earlier generations of a producer have put, or could not put: where the next one begins."""
    gifts: Gifts = field(default_factory=no_gifts)
    """What the file declares once and this worker's handler may ask for by name."""


Life = Callable[[WorkerPlan, Port], int]
"""What a worker does with its port, from the first to the last: returns its exit code. Lives above the transports."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A worker that now exists."""

    pid: int
    ppid: int


class HasFileno(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


class Transport(Protocol):
    """How queues and workers exist. Used by one supervisor, from one thread."""

    ends_when_settled: bool
    """True if a reader's end of stream waits for what other readers hold, since that may come back to the queue."""
    tells_when_settled: bool
    """True if `wait` returns once a queue has nothing left in it or in hand; else one must look at its account."""
    outlives_workers: bool
    """True if the death of a worker loses nothing and harms nobody: what it put stays, what it held goes to others."""

    def start(self, worker: WorkerPlan, generation: int) -> Spawned:
        """Give birth to a worker. Raises `StartFailed`."""

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Block until something happens, a signal arrives, or `timeout` seconds have passed; return what happened."""

    def counters(self, worker: str) -> Counters:
        """Read what a worker has done; also after its death, until `close`."""

    def pulse(self, worker: str) -> Pulse:
        """Read how far a worker is, that it is at work or what it waits for; also after its death, until `close`."""

    def stopped(self) -> frozenset[str]:
        """Name the workers that a signal such as SIGSTOP has stopped."""

    def account(self, queue: str) -> Account:
        """Take stock of a queue."""

    def verify(self) -> None:
        """Once no worker is left: raise `MprunInternalError` if any queue's account does not add up."""

    def items_at_stake(self, worker: str) -> list[str]:
        """Name the items that a worker has taken and not acknowledged, as far as they are known."""

    def end_stream(self, queue: str, worker: str) -> None:
        """Tell a reader that nothing more will come."""

    def retire(self, worker: str) -> None:
        """Let a reader finish what it holds and end, though its stream goes on; only where workers are outlived."""

    def watch(self, end: HasFileno, ready: Callable[[], None]) -> None:
        """Call `ready` within `wait` whenever `end` can be read; where there are no processes, never."""

    def unwatch(self, end: HasFileno) -> None:
        """Stop that."""

    def stop_producing(self, worker: str) -> None:
        """Ask a producer to put nothing more and to end."""

    def signal(self, worker: str, number: signal.Signals, because: str = "") -> None:
        """
        Send a signal to a worker and to what it has started; one that is gone is no error.

        Where it dies of it, `because` is what the item that it has in hand remembers; else it is the signal.
        """

    def stacks(self, workers: Collection[str]) -> dict[str, str]:
        """Ask workers for their Python stacks; who does not answer within a moment is left out."""

    def abandon(self) -> None:
        """End every worker at once and tell nobody, whatever state the books are in; where there is none, nothing."""

    def close(self) -> None:
        """Give back every descriptor and queue. Every worker is gone by now."""
