"""What workers say under `leased`: puts, acknowledgements, failures, requests; taken into the ledgers as it comes.

    worker ── PUT, ACK, FAILED, COMMIT, HELD, … ──► Intake ──► ledgers ──► Dispatch
                                                       └──► facts: what became of items

A worker's word is gossip: it is checked against the leases that it has before anything follows from it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runner.ipc.messages import Fact
from runner.ipc.status_page import Word
from runner.ipc.stream import (
    AckMessage,
    CommitMessage,
    Ended,
    FailedMessage,
    HeldMessage,
    JoinRequest,
    LeaveRequest,
    LeftMessage,
    MoreRequest,
    PlaceMessage,
    PutBigMessage,
    PutMessage,
    SampleMessage,
    StockAnswer,
    StockRequest,
)
from runner.ledger.credit import UNBOUNDED_SHARE
from runner.ledger.leases import LeaseQueue
from runner.ledger.ranges import Lease
from runner.spec.failures import OnError
from runner.transports.kept_states import KeptStates, SourcePlaces
from runner.transports.leased.big_items import ArenaRegistry
from runner.transports.leased.connection import Suspicion, WorkerConnection, untold
from runner.transports.leased.dispatch import Dispatch
from runner.transports.leased.failures import settle_failure

if TYPE_CHECKING:
    from runner.ledger.partitioned import QueueLedger
    from runner.transports.rates import StageRates


class Intake:
    """Takes what workers say into the ledgers."""

    def __init__(
        self,
        dispatch: Dispatch,
        arenas: ArenaRegistry,
        states: KeptStates,
        places: SourcePlaces,
        unsettled: set[str],
        rates: StageRates | None = None,
    ) -> None:
        """`states` and `places` are told what workers keep, and how far producers have come; `rates` gives out leave
        where a stage has a rate."""
        self._rates = rates
        self._dispatch = dispatch
        self._arenas = arenas
        self._states = states
        self._places = places
        self._unsettled = unsettled
        self._suspicion = Suspicion()
        self.facts: list[Fact] = []
        """What became of items, and nobody has been told of yet."""

    def receive(self, connection: WorkerConnection) -> None:
        """Take in all that a worker's stream has brought."""
        now = time.monotonic()
        for message in connection.stream.receive_nowait():
            match message:
                case PutBigMessage() if len(connection.outboxes) == 1:
                    name, outbox = connection.plan.name, connection.outboxes[0].name
                    frame = self._arenas.receive_frame(name, bytes(message.body), outbox)
                    self._put(connection, message, frame, now)
                case PutMessage():
                    self._put(connection, message, message.body, now)
                case AckMessage():
                    self._ended(connection, message, now)
                case FailedMessage():
                    self._failed(connection, message, now)
                case CommitMessage() if connection.inbox is not None:
                    self._commit(connection, message, now)
                case LeftMessage() if isinstance(connection.inbox, LeaseQueue):
                    connection.inbox.recalled(connection.plan.name, message.begun, message.handed, now)
                case HeldMessage() if connection.inbox is not None:
                    self._held(connection, message, connection.inbox, now)
                case PlaceMessage() | SampleMessage():
                    self._places.take(connection.plan.name, message)
                case JoinRequest() if connection.outboxes:
                    connection.wants_join = True
                    # Looked at again: they may have been settled for a while.
                    self._unsettled.update(outbox.name for outbox in connection.outboxes)
                case MoreRequest() if connection.inbox is not None:
                    self._wants_more(connection, connection.inbox, message, now)
                case StockRequest():
                    self._answer_stock(connection, message)
                case LeaveRequest():
                    self._give_leave(connection, message, now)

    def take_in_untold(self, connection: WorkerConnection) -> bool:
        """Take in what a reader has done and not said yet: it says so once a lease. True if there was anything."""
        if not connection.page.words[Word.HEEDS]:
            return False
        ended = connection.page.words[Word.ENDED]
        if not untold(connection, ended):
            return False
        self.receive(connection)  # what has failed of them was said before the page had it
        for lease, upto in untold(connection, ended):
            self._ended(connection, AckMessage(lease.number, upto), time.monotonic())
        return True

    def _put(
        self, connection: WorkerConnection, message: PutMessage, payload: bytes | memoryview, now: float
    ) -> None:
        if not connection.outboxes:
            return
        lease = self._acked(connection, message, now, message.partial) if message.lease else None
        if connection.inbox is None:
            self._places.put(connection.plan.name, message.count)
        self._offer(connection, message, lease, payload, now)

    def _offer(
        self,
        connection: WorkerConnection,
        message: PutMessage,
        lease: Lease | None,
        payload: bytes | memoryview,
        now: float,
    ) -> None:
        connection.put += message.count
        for outbox in connection.outboxes:
            self._unsettled.add(outbox.name)
        connection.output.put(message, lease, payload, now)
        for outbox in connection.outboxes:  # at once: whoever waits for an item waits no longer than it must
            self._dispatch.carry_out(outbox)
        if connection.plan.routes:
            self._dispatch.answer(connection, connection.output.complete())

    def _commit(self, connection: WorkerConnection, message: CommitMessage, now: float) -> None:
        """Take in all that a worker says at once."""
        ends, state = message.unpack()
        before, connection.held = connection.ended, 0
        for each in ends:
            self._commit_one(connection, each, now)
        if message.nanos:
            connection.prefetch.observe(connection.ended - before, message.nanos / 1e9)
        connection.update_wanted(now)
        if state:
            self._states.keep(connection.plan.name, state, now, self.facts)

    def _held(
        self, connection: WorkerConnection, message: HeldMessage, inbox: QueueLedger, now: float
    ) -> None:
        """A reader goes on to other items, though those that it has handled are not done."""
        # Counted, not added up: who holds thousands of small leases says so at each.
        connection.held = min(message.held, connection.handed - connection.done - connection.failed)
        connection.prefetch.observe(message.items, message.nanos / 1e9)
        connection.update_wanted(now, message.roomless)
        self._dispatch.carry_out(inbox)  # before it is told that nothing waits

    def _commit_one(self, connection: WorkerConnection, ended: Ended, now: float) -> None:
        if ended.failure:
            self._failed(connection, FailedMessage(ended.lease, ended.upto, body=ended.failure), now)
            return
        lease = self._acked(connection, AckMessage(ended.lease, ended.upto), now)
        if ended.count and connection.outboxes:
            name, frame, outbox = connection.plan.name, ended.frame, connection.outboxes[0].name
            payload = self._arenas.receive_frame(name, frame, outbox) if ended.big else frame
            put = PutMessage(ended.count, ended.upto, lease=ended.lease)
            self._offer(connection, put, lease, payload, now)
        elif lease is not None:
            connection.output.ended(lease, ended.upto, now)

    def _ended(self, connection: WorkerConnection, message: AckMessage, now: float) -> None:
        connection.held = 0
        lease = self._acked(connection, message, now)
        if lease is not None:
            connection.output.ended(lease, message.upto, now)

    def _acked(
        self, connection: WorkerConnection, message: AckMessage | PutMessage, now: float, partial: int = 0
    ) -> Lease | None:
        """Take in how far a lease has come, and return it as it was."""
        lease = self._own_lease(connection, message)
        if lease is None or connection.inbox is None:
            return None
        connection.untimed += message.upto - lease.at
        if message.nanos:
            connection.prefetch.observe(connection.untimed, message.nanos / 1e9)
            connection.untimed = 0
        connection.inbox.acked(message.lease, message.upto, now, partial)
        connection.done += message.upto - lease.at
        if lease.item_range.history and (cleared := self._suspicion.done(lease, message.upto)) is not None:
            self.facts.append(cleared)
        connection.update_wanted(now)
        return lease

    def _failed(self, connection: WorkerConnection, message: FailedMessage, now: float) -> None:
        lease = self._own_lease(connection, message)
        if lease is None or connection.inbox is None or message.upto == lease.item_range.stop:
            return
        connection.done += message.upto - lease.at
        connection.untimed = 0  # what they took was with the one that failed
        judged = settle_failure(connection.inbox, lease, connection.plan, connection.pid, message, now)
        if judged.delay is None:
            connection.failed += 1
        else:
            connection.retried += 1
        self.facts.append(judged)
        if judged.failed_item is not None and connection.plan.errors_to is not None:
            error, shown = judged.failure.error, judged.failure.item
            self._dispatch.put_failure(connection.plan, judged.failed_item, error, shown, now)
        comes_again = judged.delay is not None or connection.plan.on_error is OnError.FAIL
        connection.output.ended(lease, message.upto + (not comes_again), now)
        connection.update_wanted(now)

    def _own_lease(
        self, connection: WorkerConnection, message: AckMessage | PutMessage | FailedMessage
    ) -> Lease | None:
        """The lease that a worker speaks of, if it holds it and what it says of it can be true: its word is gossip."""
        inbox, reader = connection.inbox, connection.plan.name
        lease = None if inbox is None else inbox.lease_of(reader, message.lease)
        return lease if lease is not None and lease.at <= message.upto <= lease.item_range.stop else None

    def _give_leave(self, connection: WorkerConnection, request: LeaveRequest, now: float) -> None:
        if self._rates is not None and (answer := self._rates.answer(connection.plan, request, now)):
            self._dispatch.send(connection, answer)

    def _answer_stock(self, connection: WorkerConnection, message: StockRequest) -> None:
        inbox = () if connection.inbox is None else (connection.inbox,)
        ledgers = connection.outboxes if message.of_outbox else inbox
        if ledgers:
            room = min(self._room_in(ledger, connection) for ledger in ledgers)
            waiting = sum(ledger.account().waiting for ledger in ledgers)
            self._dispatch.send(connection, StockAnswer(waiting, room))

    def _room_in(self, ledger: QueueLedger, connection: WorkerConnection) -> int:
        if connection.held and not self._dispatch.has_writers(ledger):
            return 0
        return UNBOUNDED_SHARE if ledger.room is None else max(0, ledger.room_for(connection.plan.name))

    def _wants_more(
        self, connection: WorkerConnection, ledger: QueueLedger, message: MoreRequest, now: float
    ) -> None:
        patient = bool(message.patient)
        # Where it holds more than it had seen then, that is still on its way, and it will ask again.
        has_seen_all = sum(lease.left for lease in connection.leases) <= message.taken
        connection.is_gathering = has_seen_all and not patient
        ledger.request_more(connection.plan.name, message.taken, now, patient=patient)
        self._dispatch.woken |= patient  # it may hold the last of its stream
