"""A worker's side of `leased`, put together in the worker: its stream, its queue ends, its loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.arena import ArenaFile
from runner.channel import Sender
from runner.plan import WorkerPlan
from runner.spec import Role
from runner.status import StatusPage
from runner.transports.base import Port
from runner.transports.forks import disown_forks
from runner.transports.leased_freight import Berth, Freight, Unloading
from runner.transports.leased_inbox import FrameInbox
from runner.transports.leased_loops import FrameLoops
from runner.transports.leased_outbox import FrameOutbox
from runner.transports.leased_stream import Stream
from runner.wire import WorkerWire

if TYPE_CHECKING:
    from runner.transports.leased_measured import Measures


@dataclass(frozen=True, slots=True)
class PortMaker:
    """Made in the supervisor, called in the worker: puts the worker's ends together."""

    wire: WorkerWire
    offset: int
    asks: bool
    berth: Berth | None
    arena: ArenaFile | None
    measures: Measures | None = None
    """What the writer of a queue with rules of its own must know of it."""

    @property
    def descriptors(self) -> list[int]:
        """What a forked worker must not close."""
        files = [self.arena, self.berth.file if self.berth is not None else None]
        return [self.wire.fileno(), *(file.fileno() for file in files if file is not None)]

    def __call__(self, plan: WorkerPlan, status: StatusPage, sender: Sender) -> Port:
        disown_forks([self.wire.close], status, sender)
        stream = Stream(self.wire, status)
        inbox = FrameInbox(stream, Unloading(self.arena)) if self.arena is not None else None
        outbox: FrameOutbox | None = None
        if self.berth is not None:
            freight = Freight(self.berth, stream)
            stops = plan.role is Role.PRODUCER
            if self.measures is not None:
                from runner.transports.leased_measured import MeasuredOutbox

                outbox = MeasuredOutbox(stream, self.measures, stops=stops, freight=freight)
            else:
                outbox = FrameOutbox(stream, stops=stops, asks=self.asks, freight=freight)
            if inbox is not None:
                inbox.flush_first = outbox.flush
        loops = FrameLoops(stream, inbox, outbox, names_all=plan.timeout is not None)
        return Port(loops, inbox, outbox, status, sender.send, self.offset)
