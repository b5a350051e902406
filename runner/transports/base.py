"""What a transport is: a matched set that opens channels and queues, spawns workers, and tells facts.

    supervisor ── start, end_stream, stop_producing, signal ──► Transport ──► workers
               ◄─────────────── facts, counters, accounts ────           ◄──

The supervisor decides, the transport acts; it has no policy of its own. Every transport passes the same suite.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from runner.errors import HandlerError, WorkerSignal
from runner.facts import dataclass
from runner.handlers.kinds import Mapper, QueueEnd
from runner.ipc.messages import Fact
from runner.ipc.shown_items import Side
from runner.ipc.status_page import Counters, Pulse, Sighting, StatusPage
from runner.ledger.accounts import Account
from runner.process.resources.base import InjectedResources, no_resources
from runner.spec.plan import WorkerPlan
from runner.transports.commit_pace import CommitPace
from runner.transports.cut import Cut

if TYPE_CHECKING:  # only `leased` has it
    from runner.transports.cut import SampledItem

OWN_FOLDER = Path(__file__).parent.parent
"""Frames from here have no place in a traceback for the user."""


class Cancelled(WorkerSignal):
    """Unwinds a worker that is no process of its own and has to end. Passes through `WorkerMain`."""


class SendMessage(Protocol):
    """A worker's way to the supervisor: one message of a kind that `from_message` knows."""

    def __call__(self, kind: str, **fields: Any) -> None:
        """Send it; blocks only while the supervisor is behind."""


class OnItemFailure(Protocol):
    """What a loop calls with an item and what its handler raised; it raises where that is to end the worker."""

    def __call__(
        self, item: object, error: BaseException, *, attempt: int = 1, send: SendMessage | None = None
    ) -> None:
        """`send` is for a transport that counts attempts: it takes the message instead of the worker's channel."""


class Inbox(QueueEnd, Protocol):
    """The end that a worker takes from; the runner itself has one more word than a handler."""

    def give_up(self) -> None:
        """Say that one item that was taken has failed for good here: it is dropped."""

    def hold_handled(self) -> None:
        """Say that the item in hand is from now on the one that was taken last: those before it are handled."""


@dataclass(frozen=True, slots=True)
class SafePoints:
    """How a worker makes safe what its handler keeps: at least one of `flush` and `capture` is there."""

    pace: CommitPace
    flush: Callable[[], object] | None
    """The handler's own."""
    capture: Callable[[], bytes] | None
    """Returns its state, pickled. Raises `HandlerError` where that can't be."""
    call_many: Callable[[list[object]], bool] | None = None
    """The handler's own, which a transport may use where items come together."""


class Loops(Protocol):
    """How a worker moves items; the transport knows how they travel."""

    def produce(self, items: Iterable[object], fail: OnItemFailure) -> None:
        """Put each item until there are no more or the run is being stopped."""

    def drive(self, call: Callable[[], object]) -> None:
        """Call what drives its queues itself. When it has returned, all that it put is in the queue, or on its way."""

    def consume(self, call: Callable[[object], object], fail: OnItemFailure) -> None:
        """Call the handler with each item, and put what it returns, until the stream ends."""

    def consume_holding(
        self, call: Callable[[object], object], fail: OnItemFailure, points: SafePoints
    ) -> None:
        """The same, but an item is done only when it is safe: `points` say when and how. Afterwards nothing is held."""


def nothing_in_hand() -> NoReturn:
    """Stands for the places of items where there are none. Raises `HandlerError`."""
    raise HandlerError("`worker.item_id`: no item is in hand")


def nothing_waits() -> None:
    """What was put has left this worker's memory."""


@dataclass(frozen=True, slots=True)
class WorkerEndpoint:
    """A worker's side of a transport."""

    loops: Loops

    inbox: QueueEnd | None
    outbox: QueueEnd | None
    status: StatusPage
    send: SendMessage
    offset: int = 0
    """Items that earlier generations of a producer have put, or could not put: where the next one begins."""
    resources: InjectedResources = field(default_factory=no_resources)
    """What the file declares once and this worker's handler may ask for by name."""
    places: Callable[[], Sequence[int]] = nothing_in_hand
    """Where the items in hand stand among all that were put on their queue, the same at each attempt. Raises
    `HandlerError` where there are none, or nobody counts them."""
    origin: str = ""
    """The run that items have their ids of."""
    state: bytes = b""
    """What the handler of an earlier generation had kept when its items were last safe, or of a source where it was;
    empty where that is nothing."""
    note_place: Callable[[int, bytes], object] = lambda _start, _state: None
    """Keeps where a source is for whoever takes its place: called with the number of items that lie behind."""
    resumed: bool = False
    """Whether another runner had begun the run, and was killed or ended it."""
    samples: tuple[SampledItem, ...] = ()
    """What some of the items of a producer were that earlier generations have put."""
    show_items: Callable[[], None] | None = None
    """Has some items of a producer shown to the supervisor, for those who make them again; None where nobody does."""
    count_made: Callable[[], int] | None = None
    """Counts the items that a producer has put, in all its generations, those that have not left yet too."""
    send_made: Callable[[], int] | None = None
    """Sends what a producer has put as far as that is possible without waiting, and counts all that it has put, over
    all its generations; None where that is of no use, as no cut is kept."""
    concurrently: Callable[[Mapper, OnItemFailure], None] | None = None
    """Handles several items at once, until the stream ends; None where the stage has one in hand at a time, or the
    transport takes no notice of it."""
    attempts: Callable[[], int] | None = None
    """How often the item in hand was handed over, where the page can't say that of each."""
    wait_for_rate: Callable[[object], None] | None = None
    """Waits until an item may be begun; None where the stage has no rate, or the transport takes no notice of it."""
    watch: Callable[[Callable[[], None]], None] | None = None
    """Has something called before items are acknowledged; None where the death of a worker ends the run anyway."""
    put_failure: Callable[[object], None] | None = None
    """Puts a failure on the queue that the stage names for these; None where the supervisor does."""
    flush_puts: Callable[[], None] = nothing_waits
    """Called when the work is done: blocks until what was put stays where others find it without this worker."""


WorkerMain = Callable[[WorkerPlan, WorkerEndpoint], int]
"""What a worker does with its endpoint, from first to last: returns its exit code. Lives above the transports."""


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

    def start(self, workers: Sequence[WorkerPlan]) -> Iterator[Spawned]:
        """Give birth to workers, all of them together where that is quicker, and yield them in order.

        Raises:
            StartFailed: the next of them can't be born; nor are those behind it.
        """

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Block until something happens, a signal arrives, or `timeout` seconds have passed; return what happened."""

    def moves(self) -> int:
        """
        Return a number that is another one once an item has moved, a worker has spoken or died, or somebody has asked
        for something. When that happens in a long `wait`, this returns soon.
        """

    def counters(self, worker: str) -> Counters:
        """Read what a worker has done; also after its death, until `close`."""

    def pulse(self, worker: str) -> Pulse:
        """Read how far a worker is, that it is at work or what it waits for; also after its death, until `close`."""

    def sighting(self, worker: str) -> Sighting:
        """Read what a worker has done and is at, for who looks often; also after its death, until `close`."""

    def stopped(self) -> frozenset[str]:
        """Name the workers that a signal such as SIGSTOP has stopped."""

    def account(self, queue: str) -> Account:
        """Take stock of a queue."""

    def kept_state(self, worker: str) -> bytes | None:
        """Return what a worker has kept with its last acknowledgement, empty for nothing; None where nobody keeps."""

    def cut(self, now: float) -> Cut | None:
        """Return what the run is at this moment; None where nobody could go on from there, or not at this moment."""

    def tell_committed(self, worker: str, count: int) -> int:
        """Tell a producer how many of its items are in a kept cut; return for how many it waits, 0 for none."""

    def let_show(self, worker: str, side: Side, count: int) -> None:
        """Let a worker show so many of the items that it takes or makes from now on; 0 for none."""

    def unshown(self, worker: str, side: Side) -> int:
        """How many of them it has not shown yet."""

    def close_accounts(self) -> None:
        """
        Once no worker is left: put what is held outside a queue although what it was made from counts as done.

        Raises:
            MprunInternalError: a queue's account does not add up.
        """

    def items_at_stake(self, worker: str) -> list[str]:
        """Name the items that a worker has taken and not acknowledged, as far as they are known."""

    def end_stream(self, queue: str, worker: str) -> None:
        """Tell a reader that nothing more will come."""

    def retire(self, worker: str) -> None:
        """Let a reader finish what it holds and end, though its stream goes on; only where workers are outlived."""

    def dismiss(self, worker: str) -> None:
        """
        Let a worker finish the item in its hand, take or make no other, and close, though items wait for it.

        What finds no room is given up: an item with such outputs counts as not taken.
        """

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
        """End every worker at once and report nothing, whatever the accounts say; where there is none, nothing."""

    def close(self) -> None:
        """Give back every descriptor and queue. Every worker is gone by now."""
