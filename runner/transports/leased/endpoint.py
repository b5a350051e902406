"""A worker's side of `leased`, put together in the worker: its stream, its queue ends, its loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from runner.errors import StartFailed
from runner.facts import dataclass
from runner.handlers.kinds import QueueEnd, allow_routes
from runner.ipc.channel import Sender
from runner.ipc.shm.arena import ArenaFile
from runner.ipc.status_page import StatusPage
from runner.ipc.stream import PlaceMessage, SupervisorStream, WorkerStream, open_stream
from runner.spec.model import Role
from runner.spec.plan import WorkerPlan
from runner.transports.base import OnItemFailure, SafePoints, Spawned, WorkerEndpoint, nothing_in_hand
from runner.transports.item_tap import ItemTap
from runner.transports.leased.big_items import ArenaRegistry, BigItemReader, BigItemWriter, WriterRegion
from runner.transports.leased.loops import FrameLoops
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession
from runner.transports.leased.writer import FrameOutbox
from runner.transports.pool import Birth, isolate_forks

if TYPE_CHECKING:
    from runner.transports.cut import WriterCut
    from runner.transports.leased.batch_packer import BatchPolicy
    from runner.transports.leased.by_hand import HeldOutbox
    from runner.transports.leased.commits import OutputBuffer
    from runner.transports.leased.routing import BranchEnd, RoutedOutputs

_To: TypeAlias = "BigItemWriter | RoutedOutputs"
"""What a worker's outputs need, whichever way they are gathered. Made once."""


@dataclass(frozen=True, slots=True)
class EndpointFactory:
    """Made in the supervisor, called in the worker: puts the worker's ends together."""

    stream: WorkerStream
    begin: WriterCut
    """Where a producer begins."""
    asks: bool
    region: WriterRegion | None
    arena: ArenaFile | None
    policy: BatchPolicy | None = None
    """What the writer of a partitioned queue must know of it."""
    origin: str = ""
    """The run that items have their ids of."""
    state: bytes = b""
    """What the handler of the worker whose place this one takes had kept. That of a source is in `begin`."""
    resumed: bool = False
    """Whether another runner had begun the run."""
    branches: tuple[BranchEnd, ...] = ()
    """What it must know of each of its queues, where these are several; `region` and `policy` are of a single one."""

    @property
    def descriptors(self) -> list[int]:
        """What a forked worker must not close."""
        regions = [self.region, *(each.region for each in self.branches)]
        files = [self.arena, *(region.file for region in regions if region is not None)]
        return [self.stream.fileno(), *(file.fileno() for file in files if file is not None)]

    def __call__(self, plan: WorkerPlan, status: StatusPage, sender: Sender) -> WorkerEndpoint:
        isolate_forks([self.stream.close], status, sender)
        session = WorkerSession(self.stream, status)
        session.tap = ItemTap(plan, status, sender.send, lambda place: plan.item_id(self.origin, place))
        inbox = FrameInbox(session, BigItemReader(self.arena)) if self.arena is not None else None
        allow_routes(plan.targets)
        to = self._outputs(plan, session)
        if plan.batch is not None and inbox is not None:
            return self._in_batches(plan, session, inbox, to, sender)
        outbox: FrameOutbox | None = None
        end: QueueEnd | None = None
        if to is not None:
            end = outbox = self._outbox(plan, session, to)
            if inbox is not None:
                end = inbox.outbox = self._held_outbox(session, to)
        names_all = plan.timeout is not None

        def hold(call: Callable[[object], object], fail: OnItemFailure, points: SafePoints) -> None:
            from runner.transports.leased.commits import Committer
            from runner.transports.leased.holding import HoldingLoop

            assert inbox is not None
            outputs = None if to is None else self._gatherer(session, to)
            committer = Committer(session, outputs, asks=self.asks)
            HoldingLoop(session, inbox, committer, points, names_all=names_all).run(call, fail)

        loops = FrameLoops(session, inbox, outbox, names_all=names_all, hold=hold)
        if plan.at_once > 1 and inbox is not None:
            return self._concurrent(plan, session, inbox, to, loops, sender)
        places = nothing_in_hand if inbox is None else lambda: [inbox.place()]
        taken, made = (None if end is None else SharedEnd(end, session) for end in (inbox, end))
        return WorkerEndpoint(
            loops,
            taken,
            made,
            status,
            sender.send,
            self.begin.put,
            places=places,
            origin=self.origin,
            state=self.state if plan.receives is not None else self.begin.place,
            resumed=self.resumed,
            samples=self.begin.samples,
            show_items=None if outbox is None or inbox is not None else lambda: self._show_items(outbox),
            count_made=None if outbox is None else outbox.count_made,
            send_made=None if outbox is None or inbox is not None else lambda: self._send_made(outbox),
            note_place=lambda start, state: self.stream.send(PlaceMessage(start, body=state)),
            wait_for_rate=_rate_gate(plan, session),
            watch=_watch(inbox),
        )

    def _send_made(self, outbox: FrameOutbox) -> int:
        outbox.session.between_items(outbox.flush_nowait)
        return self.begin.put + outbox.count_put()

    def _show_items(self, outbox: FrameOutbox) -> None:
        from runner.transports.leased.samples import ItemSampler

        outbox.show_by(ItemSampler(self.stream, self.begin.put))

    def _in_batches(
        self,
        plan: WorkerPlan,
        session: WorkerSession,
        inbox: FrameInbox,
        to: _To | None,
        sender: Sender,
    ) -> WorkerEndpoint:
        """Put together the ends of a worker whose handler gets lists of items. It has no queue to drive."""
        from runner.transports.leased.batches import BatchLoop, BatchReader
        from runner.transports.leased.commits import Committer

        assert plan.batch is not None
        outputs = None if to is None else self._gatherer(session, to)
        in_order = self.policy is not None and self.policy.in_order
        reader = BatchReader(session, inbox, plan.batch, in_order=in_order)
        committer = Committer(session, outputs, asks=self.asks)
        names_all = plan.timeout is not None
        batches = BatchLoop(session, inbox, reader, committer, sender.send, names_all=names_all)
        loops = FrameLoops(session, inbox, None, in_batches=batches.run)
        return WorkerEndpoint(
            loops,
            None,
            None,
            session.status,
            sender.send,
            places=batches.places,
            origin=self.origin,
            resumed=self.resumed,
            wait_for_rate=_rate_gate(plan, session),
            watch=_watch(inbox),
        )

    def _concurrent(
        self,
        plan: WorkerPlan,
        session: WorkerSession,
        inbox: FrameInbox,
        to: _To | None,
        loops: FrameLoops,
        sender: Sender,
    ) -> WorkerEndpoint:
        """Put together the ends of a worker that has several items in hand. It has no queue to drive."""
        from runner.transports.concurrent_items import ConcurrentLoop, attempt_in_hand, place_in_hand
        from runner.transports.leased.commits import Committer

        outputs = None if to is None else self._gatherer(session, to)
        loop = ConcurrentLoop(session, inbox, Committer(session, outputs, asks=self.asks), plan)
        return WorkerEndpoint(
            loops,
            None,
            None,
            session.status,
            sender.send,
            places=place_in_hand,
            origin=self.origin,
            resumed=self.resumed,
            concurrently=loop.run,
            attempts=attempt_in_hand,
        )

    def _outputs(self, plan: WorkerPlan, session: WorkerSession) -> _To | None:
        """Return what gathers for several queues, or what carries the big items to the only one; None for none."""
        if self.branches:
            from runner.transports.leased.routing import RoutedOutputs

            return RoutedOutputs(plan.routes, self.branches, session)
        return None if self.region is None else BigItemWriter(self.region, session)

    def _outbox(self, plan: WorkerPlan, session: WorkerSession, to: _To) -> FrameOutbox:
        stops = plan.role is Role.PRODUCER
        if isinstance(to, BigItemWriter):
            return FrameOutbox(session, stops=stops, asks=self.asks, big_items=to, policy=self.policy)
        return FrameOutbox(session, stops=stops, asks=True, routed=to)

    def _gatherer(self, session: WorkerSession, to: _To) -> OutputBuffer:
        """Return what gathers outputs for a committer."""
        if not isinstance(to, BigItemWriter):
            to.wait_for_slot = None
            return to
        from runner.transports.leased.commits import OutputGatherer

        return OutputGatherer(session, to, self.policy)

    def _held_outbox(self, session: WorkerSession, to: _To) -> HeldOutbox:
        """Make the outbox of a pipe stage, for a handler that drives it."""
        from runner.transports.leased.by_hand import HeldOutbox

        outputs = self._gatherer(session, to)
        in_order = self.policy is not None and self.policy.in_order
        return HeldOutbox(session, outputs, asks=self.asks, in_order=in_order)


def _rate_gate(plan: WorkerPlan, session: WorkerSession) -> Callable[[object], None] | None:
    if plan.rate is None:
        return None
    from runner.transports.rates import RateGate

    return RateGate(session, plan, plan.rate).wait


def _watch(inbox: FrameInbox | None) -> Callable[[Callable[[], None]], None]:
    def watch(look: Callable[[], None]) -> None:
        if inbox is not None:
            inbox.before_ack = look

    return watch


class SharedEnd:
    """A queue's end for a handler that drives it, maybe from several threads: one at a time is inside."""

    def __init__(self, end: QueueEnd, session: WorkerSession) -> None:
        """The session is that of both ends of a worker."""
        self._end = end
        self._session = session

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room."""
        with self._session.share():
            self._end.put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one."""
        with self._session.share():
            return self._end.get(block, timeout)

    def task_done(self) -> None:
        """Say that one item that was taken is done with."""
        with self._session.share():
            self._end.task_done()

    def join(self) -> None:
        """Wait until every item ever put is done."""
        with self._session.share():
            self._end.join()

    def qsize(self) -> int:
        """Count the items waiting."""
        with self._session.share():
            return self._end.qsize()

    def empty(self) -> bool:
        """Say whether no item waits."""
        with self._session.share():
            return self._end.empty()

    def full(self) -> bool:
        """Say whether there is no room."""
        with self._session.share():
            return self._end.full()


class Unborn(NamedTuple):
    """A worker that is about to be born, with the supervisor's end of its stream."""

    plan: WorkerPlan
    stream: SupervisorStream
    factory: EndpointFactory

    @property
    def birth(self) -> Birth:
        """What the pool has to know."""
        return Birth(self.plan, self.factory, self.factory.descriptors)


def open_for_all(
    workers: Sequence[WorkerPlan],
    arenas: ArenaRegistry,
    factory: Callable[[WorkerPlan, WorkerStream], EndpointFactory],
) -> tuple[list[Unborn], StartFailed | None]:
    """Open for each what it is born with; where that can't be done, for those before it, and return why."""
    unborn: list[Unborn] = []
    for worker in workers:
        try:
            ours, theirs = open_stream()
        except OSError as error:
            return unborn, StartFailed(
                f"worker '{worker.name}' could not be started: {error.strerror or error}"
            )
        try:
            unborn.append(Unborn(worker, ours, factory(worker, theirs)))
        except StartFailed as error:
            ours.close()
            theirs.close()
            arenas.writer_gone(worker.name)
            return unborn, error
    return unborn, None


def settle(unborn: Sequence[Unborn], born: Sequence[Spawned], arenas: ArenaRegistry) -> None:
    """Close here what those that were `born`, the first of them, have by now, and all that is of the others."""
    for each in unborn:
        each.factory.stream.close()
    for each in unborn[len(born) :]:
        each.stream.close()
        arenas.writer_gone(each.plan.name)
