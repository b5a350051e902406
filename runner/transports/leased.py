"""The `leased` transport: one private stream per worker, frames passed on unopened; the ledger hands out every item.

    chef ══PUT══► supervisor: LeasedBook ══LEASE══► eater        nothing is shared between workers: no lock, no pipe
         ◄═CREDIT═                       ◄══ACK════              a death harms nobody else and loses nothing

What the streams bring goes straight into the books, and what the books decide straight to the streams; the supervisor
is only called when something happens to a worker, or a queue becomes settled.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Sequence

from runner.books import LeaseBook
from runner.credit import UNBOUNDED_SHARE, Granted
from runner.facts import Exited, Fact, HandlerFailed, ItemCondemned, ItemFailed
from runner.frames import pack_series, pickle_alone
from runner.leases import LeasedBook
from runner.ledger import Account
from runner.pace import OneByOne, Pace
from runner.parcels import Accepted, Frame, HandOver, Lease
from runner.plan import Plan, WorkerPlan
from runner.provisions import NO_PROVISIONS, Provisions
from runner.status import Word
from runner.transports.base import Life, Spawned
from runner.transports.leased_counts import cleared, settle
from runner.transports.leased_docks import Docks
from runner.transports.leased_failures import bury, ending, judge
from runner.transports.leased_link import Link
from runner.transports.leased_optional import open_gates
from runner.transports.leased_port import PortMaker
from runner.transports.pool import ProcessPool
from runner.transports.pooled import PooledTransport
from runner.wire import Kind, Message, SupervisorWire, open_wire

_BROKEN_STREAM = (
    "the handler wrote to a descriptor that it does not own: the worker's private stream to the supervisor"
)
_INSIDE = "the supervisor"
_PREFETCH = 2
"""Leases a quick reader may hold, in multiples of its pace: while it works on one the next is on its way."""


class LeasedTransport(PooledTransport):
    """Books in the supervisor, workers at private streams."""

    ends_when_settled = True
    tells_when_settled = True
    outlives_workers = True

    def __init__(self, plan: Plan, life: Life, wake: int, provisions: Provisions = NO_PROVISIONS) -> None:
        """Make the books; start nothing."""
        self._pool = ProcessPool(life, wake, provisions)
        self._unsettled: set[str] = set()
        self._gates = open_gates(plan, self._unsettled)
        gated = {} if self._gates is None else self._gates.books
        self._books: dict[str, LeaseBook] = {
            q.name: gated.get(q.name) or LeasedBook(q.name, q.maxsize, len(q.writers)) for q in plan.queues
        }
        self._links: dict[str, Link] = {}
        self._fed = frozenset(queue.name for queue in plan.queues if queue.fed)
        self._paces = {s.name: OneByOne() if s.receives in self._fed else Pace() for s in plan.stages}
        self._docks = Docks(plan)
        self._woken = False
        self._about_items: list[Fact] = []
        self._offsets: Counter[str] = Counter()
        """Items of each producer that are in, or could not be put, over all its generations."""

    def start(self, worker: WorkerPlan, generation: int) -> Spawned:
        """Give birth to a worker. Raises `StartFailed`."""
        ours, theirs = open_wire()
        try:
            asks = worker.sends is not None and not self._books[worker.sends].shares
            berth = self._docks.berth(worker) if worker.sends else None
            arena = self._docks.arena(worker.receives) if worker.receives else None
            measures = None if self._gates is None else self._gates.measures(worker)
            maker = PortMaker(theirs, self._offsets[worker.name], asks, berth, arena, measures)
            spawned = self._pool.start(worker, maker, maker.descriptors)
        except BaseException:
            ours.close()
            self._docks.gone(worker.name)
            raise
        finally:
            theirs.close()
        self._admit(worker, ours, spawned.pid)
        return spawned

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Move items until a worker speaks or dies, a signal arrives, a queue is settled or `timeout` has passed."""
        deadline = time.monotonic() + timeout
        self._woken = False
        while True:
            facts = self._with_items(self._pool.wait(self._patience(deadline)))
            self._move_on()
            if facts or self._woken or self._pool.woken or time.monotonic() >= deadline:
                return facts

    def account(self, queue: str) -> Account:
        """Take stock of a queue."""
        return self._books[queue].account()

    def verify(self) -> None:
        """Check every book."""
        for book in self._books.values():
            book.verify()

    def feed(self, queue: str, item: object) -> None:
        """Put an item from inside the supervisor. Never waits: whoever feeds a queue counts what it gives out."""
        book = self._books[queue]
        assert isinstance(book, LeasedBook)
        self._unsettled.add(queue)
        book.offer(_INSIDE, Frame(pack_series([pickle_alone(item)]), 1), time.monotonic())
        self._carry_out(book)

    def end_stream(self, queue: str, worker: str) -> None:
        """Tell a reader that nothing more will come."""
        if worker in self._links:
            self._send(self._links[worker], Message(Kind.END))

    def retire(self, worker: str) -> None:
        """Let a reader finish what it holds and end."""
        link = self._links.get(worker)
        if link is not None and link.inbox is not None:
            link.retired = True
            self._feed(link, time.monotonic())
            self._send(link, Message(Kind.END))

    def signal(self, worker: str, number: signal.Signals, because: str = "") -> None:
        """Signal a worker and its group."""
        link = self._links.get(worker)
        if link is not None:
            link.dismissed |= number is signal.SIGTERM
            link.killed_because = because or link.killed_because
        super().signal(worker, number)

    def close(self) -> None:
        """Give back every descriptor."""
        for link in self._links.values():
            self._pool.unwatch(link.wire)
            link.wire.close()
        self._links.clear()
        self._docks.close()
        self._pool.close()

    # Births and deaths.

    def _with_items(self, facts: Sequence[Fact]) -> list[Fact]:
        """Bury the dead, and tell what became of items before the deaths, which may be their doing."""
        for fact in facts:
            if isinstance(fact, Exited):
                self._bury(fact)
            elif isinstance(fact, ItemFailed):  # one that a producer could not put
                self._offsets[fact.worker] += 1
        words = [fact for fact in facts if not isinstance(fact, Exited)]
        about_items, self._about_items = self._about_items, []
        if self._gates is not None:
            about_items += self._gates.news(time.monotonic(), all_of_it=len(words) < len(facts))
        return [*words, *about_items, *(fact for fact in facts if isinstance(fact, Exited))]

    def _admit(self, worker: WorkerPlan, wire: SupervisorWire, pid: int) -> None:
        inbox = self._books[worker.receives] if worker.receives else None
        outbox = self._books[worker.sends] if worker.sends else None
        in_order = self._gates is not None and self._gates.keeps_order(worker)
        link = Link(worker, wire, inbox, outbox, self._paces[worker.stage], pid, in_order)
        self._links[worker.name] = link
        self._watch(link)
        now = time.monotonic()
        if outbox is not None:
            outbox.writer(worker.name, now)
        if inbox is not None:
            inbox.want(worker.name, 1, now)
        self._move_on()

    def _bury(self, exited: Exited) -> None:
        """A worker is dead: hear its last words, count what it had finished, take back what it held."""
        worker = exited.worker
        link = self._links.pop(worker, None)
        if link is None:
            return
        self._hear(link)
        self._pool.unwatch(link.wire)
        link.wire.close()
        now, page = time.monotonic(), self._pool.status(worker)
        if link.inbox is not None:
            suspect = self._suspect(link, now)
            named = page.item
            in_hand = link.inbox.lease(suspect[0]).item(suspect[1]) if suspect is not None else None
            blamed = None if link.dismissed else suspect
            ended = link.killed_because or ending(exited)
            found = bury(link.inbox, link.plan, link.pid, blamed, named, ended, now)
            self._about_items += [found] if found is not None else []
            settle(page, link, in_hand=suspect is not None, condemned=isinstance(found, ItemCondemned))
            if link.in_order and self._gates is not None:
                self._gates.buried(link.plan, in_hand, found, now)
        if link.outbox is not None:
            page.words[Word.SENT] = link.put - (
                0 if self._gates is None else self._gates.overflow_of(link.plan)
            )
            link.outbox.writer_gone(worker, now)
            self._docks.gone(worker)

    def _suspect(self, link: Link, now: float) -> tuple[int, int] | None:
        """Read from the dead worker's page which item it was handling; a consumer has finished those before it."""
        assert link.inbox is not None
        page = self._pool.status(link.plan.name)
        number, index = page.words[Word.LEASE], page.words[Word.MARK]
        lease = next((held for held in link.inbox.leases_of(link.plan.name) if held.number == number), None)
        if lease is None or not lease.at <= index < lease.parcel.stop:
            return None
        if link.outbox is None:
            link.done += index - lease.at
            link.inbox.acked(number, index, now)
        return number, index

    # Streams.

    def _watch(self, link: Link) -> None:
        self._pool.watch(link.wire, lambda: self._serve(link), writing=link.wire.backlogged)

    def _serve(self, link: Link) -> None:
        if link.wire.backlogged:
            link.wire.flush_nowait()
            if not link.wire.backlogged:
                self._watch(link)
        self._hear(link)
        if link.wire.ended:
            self._pool.unwatch(link.wire)
            if link.wire.nonsense:
                self._expel(link)

    def _expel(self, link: Link) -> None:
        """A worker that nobody can understand any more would be waited for in vain."""
        self._about_items.append(HandlerFailed(link.plan.name, _BROKEN_STREAM))
        self._pool.signal(link.plan.name, signal.SIGKILL)

    def _hear(self, link: Link) -> None:
        now = time.monotonic()
        for message in link.wire.receive_nowait():
            match message.kind:
                case Kind.PUT:
                    self._put(link, message, message.body, now)
                case Kind.ACK:
                    self._acked(link, message, now)
                case Kind.FAILED:
                    self._failed(link, message, now)
                case Kind.JOIN if link.outbox is not None:
                    link.wants_join = True
                    self._unsettled.add(
                        link.outbox.name
                    )  # looked at again: it may have been settled for a while
                case Kind.MORE if link.inbox is not None:
                    link.inbox.takes_more(link.plan.name, message.count, now)
                    self._woken = True  # it may hold the last of its stream
                case Kind.STOCK:
                    self._answer_stock(link, message)
                case Kind.PUT_BIG if link.outbox is not None:
                    self._put(link, message, self._docks.haul(link.plan.name, bytes(message.body)), now)
                case _:
                    pass

    def _send(self, link: Link, message: Message) -> None:
        before = link.wire.backlogged
        link.wire.send_nowait(message)
        if link.wire.backlogged != before:
            self._watch(link)

    def _put(self, link: Link, message: Message, payload: bytes | memoryview, now: float) -> None:
        if link.outbox is None:
            return
        lease = self._acked(link, message, now) if message.lease else None
        link.put += message.count
        if link.inbox is None:
            self._offsets[link.plan.name] += message.count
        self._unsettled.add(link.outbox.name)
        if isinstance(link.outbox, LeasedBook):
            link.outbox.offer(link.plan.name, Frame(payload, message.count), now)
        else:
            assert self._gates is not None  # whose book else?
            self._gates.put(link.plan, lease, message.upto, payload, now)
        self._carry_out(link.outbox)  # at once: whoever waits for an item waits no longer than it must

    def _acked(self, link: Link, message: Message, now: float) -> Lease | None:
        """Take in how far a lease has come, and return it as it was."""
        lease = self._own_lease(link, message)
        if lease is None or link.inbox is None:
            return None
        if message.nanos:
            link.pace.observe(message.upto - lease.parcel.start, message.nanos / 1e9)
        link.inbox.acked(message.lease, message.upto, now, message.partial)
        link.done += message.upto - lease.at
        if lease.parcel.history and (innocent := cleared(lease, message.upto)) is not None:
            self._about_items.append(innocent)
        self._feed(link, now)
        if link.in_order and self._gates is not None and message.kind is Kind.ACK:
            self._gates.ended(link.plan, lease, message.upto, now)
        return lease

    def _failed(self, link: Link, message: Message, now: float) -> None:
        lease = self._own_lease(link, message)
        if lease is None or link.inbox is None or message.upto == lease.parcel.stop:
            return
        link.done += message.upto - lease.at
        link.failed += 1
        judged = judge(link.inbox, lease, link.plan, link.pid, message, now)
        self._about_items.append(judged)
        if link.in_order and self._gates is not None:
            self._gates.ended(link.plan, lease, message.upto + (judged.delay is None), now)
        self._feed(link, now)

    def _own_lease(self, link: Link, message: Message) -> Lease | None:
        """The lease that a worker speaks of, if it holds it and what it says of it can be true: its word is gossip."""
        held = link.inbox.leases_of(link.plan.name) if link.inbox is not None else []
        lease = next((each for each in held if each.number == message.lease), None)
        return lease if lease is not None and lease.at <= message.upto <= lease.parcel.stop else None

    def _feed(self, link: Link, now: float) -> None:
        assert link.inbox is not None
        most = link.pace.most if link.pace.most == 1 else link.pace.most * _PREFETCH
        if link.retired:
            most = 0
        if most != link.wanted:
            link.wanted = most
            link.inbox.want(link.plan.name, most, now)

    def _answer_stock(self, link: Link, message: Message) -> None:
        book = link.outbox if message.count else link.inbox
        if book is not None:
            room = UNBOUNDED_SHARE if book.room is None else max(0, book.room_for(link.plan.name))
            self._send(link, Message(Kind.STOCK, count=book.account().waiting, upto=room))

    # Books.

    def _move_on(self) -> None:
        """Carry out what the books have decided, and notice queues that have become settled."""
        now = time.monotonic()
        if self._gates is not None:
            self._gates.look(now, lambda writer: self._credit(writer, 0))
        for book in self._books.values():
            if book.due is not None and now >= book.due:
                book.move(now)
            self._carry_out(book)
            if book.name in self._unsettled and book.settled:
                self._unsettled.discard(book.name)
                self._settled(book)
        if self._docks.freed:
            self._tell_freed()

    def _carry_out(self, book: LeaseBook) -> None:
        for decision in book.decide():
            match decision:
                case HandOver():
                    self._hand_over(decision.lease)
                case Granted():
                    self._credit(decision.writer, decision.count)
                case Accepted() if not book.shares:
                    self._credit(decision.writer, 0)

    def _tell_freed(self) -> None:
        for writer, numbers in self._docks.take_freed():
            self._send(self._links[writer], Message(Kind.FREED, body=numbers))

    def _hand_over(self, lease: Lease) -> None:
        if lease.reader not in self._links:
            return  # it died after this was decided: the book has taken the lease back
        parcel = lease.parcel
        message = Message(
            Kind.LEASE,
            count=parcel.start,
            upto=parcel.stop,
            partial=lease.partial,
            lease=lease.number,
            nanos=parcel.attempt,
            body=parcel.frame.payload,
        )
        self._send(self._links[lease.reader], message)

    def _credit(self, writer: str, count: int) -> None:
        if writer in self._links:  # else it died meanwhile: what it has offered stays
            self._send(self._links[writer], Message(Kind.CREDIT, count=count))

    def _settled(self, book: LeaseBook) -> None:
        # While somebody may still put, that a queue is empty for a moment means nothing to the supervisor.
        if not any(link.outbox is book for link in self._links.values()):
            self._woken = True
        for link in self._links.values():
            if link.wants_join and link.outbox is book:
                link.wants_join = False
                self._send(link, Message(Kind.JOINED))

    def _patience(self, deadline: float) -> float:
        dues = [book.due for book in self._books.values()]
        soonest = min([deadline, *(due for due in dues if due is not None)])
        return max(0.0, soonest - time.monotonic())
