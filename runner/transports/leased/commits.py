"""What a worker says of several items at once under `leased`: they are done, what was made of them, what it keeps.

    handler ──► outputs.add ──► OutputGatherer ──┐
    items that have come to an end ──────────────┼──► Committer.commit ──► one CommitMessage, waiting for leave first
    a state ─────────────────────────────────────┘

One message, so that a kill never parts an acknowledgement from the outputs and the state that belong to it. It may hold
more outputs than there is leave for: the ledger has what finds no room wait outside, and gives no leave meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from runner.errors import Stopping
from runner.handlers.kinds import unrouted_here
from runner.ipc.frames import (
    NUMBERS,
    ShardedEntry,
    is_safe,
    item_size,
    pack_batch,
    pack_mixed,
    pack_safe,
    pack_safe_batch,
    pack_series,
    pickle_alone,
)
from runner.ipc.status_page import Wait, Word
from runner.ipc.stream import AckMessage, CommitMessage, Ended
from runner.transports.leased.batch_packer import BatchPolicy, QuickKinds, part_company
from runner.transports.leased.big_items import BigItemWriter
from runner.transports.leased.session import WorkerSession

_SMALL = 32
"""About as many bytes as a small item has."""


class OutputGatherer:
    """Outputs that are to leave together. Each is pickled when it is added, unless nothing can change it meanwhile."""

    def __init__(
        self, session: WorkerSession, big_items: BigItemWriter, policy: BatchPolicy | None = None
    ) -> None:
        """`policy` is what a writer to a partitioned queue must know of it."""
        self._session = session
        self._big_items = big_items
        self._in_parts = policy is not None
        self._sharding = None if policy is None else policy.sharding
        self._quick = None if policy is None or policy.max_bytes is None else QuickKinds.of(policy)
        """What may go in company, where that is not all that is safe."""
        self._numbers = NUMBERS if self._sharding is None and self._quick is None else frozenset()
        """Types of items that go in company without another look."""
        self._safe: list[object] = []
        """What can wait to be pickled in company; only while all outputs can."""
        self._entries: list[ShardedEntry] = []
        self.size = 0
        """About how many bytes there are."""

    def __len__(self) -> int:
        return len(self._safe) or len(self._entries)

    def add(self, item: object) -> None:
        """Gather one output. Raises for one that can't be pickled or never fits, and `ShardKeyError`."""
        if type(item) in self._numbers and not self._entries:
            self._safe.append(item)
            self.size += _SMALL
            return
        item = unrouted_here(item)
        shard = 0 if self._sharding is None else self._sharding.shard_of(item)
        if not self._entries and (is_safe(item) if self._quick is None else self._quick.take(item)):
            self._safe.append(item)
            self.size += len(item) if isinstance(item, str | bytes) else _SMALL
            return
        data = self._pack(item)
        size = item_size(data)
        self._big_items.check_bound(size)
        if self._safe:
            self._entries = part_company(self._safe, self._sharding)
            self._safe = []
        self._entries.append(ShardedEntry(data, shard, size))
        self.size += len(data)

    def entry(self, index: int) -> bytes:
        """Return the pickle of an output, or its handle, by how many are older."""
        return pickle_alone(self._safe[index]) if self._safe else self._entries[index].data

    def queues_of(self, index: int) -> tuple[str, ...]:
        """All go to the only queue."""
        return ()

    def truncate(self, count: int) -> None:
        """Forget all but the first `count`."""
        self._big_items.discard([entry.data for entry in self._entries[count:]])
        del self._safe[count:], self._entries[count:]

    def discard(self) -> None:
        """Forget what was gathered: whatever made it is tried again."""
        self._big_items.discard([entry.data for entry in self._entries])
        self._safe, self._entries, self.size = [], [], 0

    def pack(self) -> tuple[int, bool, bytes]:
        """Make a frame of what was gathered: how many outputs, whether handles are among them, and the frame."""
        if self._session.status.words[Word.SHOW_MADE]:
            self._session.show_made(self, len(self))
        count, safe, entries = len(self), self._safe, self._entries
        self._safe, self._entries, self.size = [], [], 0
        if safe and self._in_parts:
            by_shard = {0: safe} if self._sharding is None else self._sharding.split(safe)
            return count, False, pack_safe_batch(by_shard)
        if safe:
            return count, False, pack_safe(safe)
        pickles = [entry.data for entry in entries]
        is_big = self._big_items.mark_sent(pickles)
        if self._in_parts:
            return count, is_big, pack_batch(entries)
        return count, is_big, pack_mixed(pickles) if is_big else pack_series(pickles)

    def _pack(self, item: object) -> bytes:
        try:
            return self._big_items.pack(item, self._wait_for_slot)
        except ArenaFullError:
            # It travels like a small one: what fills the arena can't leave before it.
            return pickle_alone(item)

    def _wait_for_slot(self) -> None:
        """The arena is full: wait until a frame of it has come to an end. Raises where none ever will."""
        if not self._big_items.has_in_flight:
            raise ArenaFullError
        check_closing(self._session)
        self._session.blocked(Wait.ROOM, self._session.wait)


class ArenaFullError(Exception):
    """All that lies in a writer's part of the arena are outputs that have not left yet."""


class OutputBuffer(Protocol):
    """What a committer takes outputs from: an `OutputGatherer`, or what gathers for several queues (routing.py)."""

    size: int

    def __len__(self) -> int:
        """How many there are."""

    def add(self, item: object) -> object:
        """Gather one output. Raises for one that can't be put."""

    def truncate(self, count: int) -> None:
        """Forget all but the first `count`."""

    def discard(self) -> None:
        """Forget what was gathered."""

    def pack(self) -> tuple[int, bool, bytes]:
        """Make a frame of it: how many outputs, whether it has handles in it, and the frame."""


class Committer:
    """Says what has come to an end, together with what was made of it."""

    def __init__(self, session: WorkerSession, outputs: OutputBuffer | None, *, asks: bool = False) -> None:
        """`asks`: leave is not given, so it waits until what it has sent is in. A consumer has no `outputs`."""
        self._session = session
        self._asks = asks
        self._sends = 0
        self.outputs = outputs

    def commit(self, ends: Sequence[Ended], nanos: int = 0, state: bytes = b"") -> None:
        """
        Send all of it in one message, with the outputs that were gathered; wait for leave first, if there are any.

        Raises:
            Stopping: nobody makes room any more, since the worker is to close. Nothing was sent.
        """
        outputs = self.outputs
        if outputs is None or not len(outputs):
            self._session.stream.send(_shortest(ends, nanos, state))
            return
        self._wait_for_leave()
        self._send(_with_outputs(ends, outputs), nanos, state)
        self._wait_until_in()

    def commit_packed(self, ends: Sequence[Ended], nanos: int = 0, state: bytes = b"") -> None:
        """The same, where what was made of each is packed already. Raises `Stopping`, and has sent nothing then."""
        if not any(each.count for each in ends):
            self._session.stream.send(_shortest(ends, nanos, state))
            return
        self._wait_for_leave()
        self._send(ends, nanos, state)
        self._wait_until_in()

    @property
    def may_send(self) -> bool:
        """Whether outputs may be sent at this moment, without waiting."""
        session = self._session
        return session.answered >= self._sends if self._asks else session.credit > 0

    def send(self, ended: Ended) -> None:
        """Say that one item has come to an end, with what was made of it, for which there must be leave."""
        if ended.count:
            self._send([ended], 0, b"")
        else:
            self._session.stream.send(_shortest([ended], 0, b""))

    def commit_nowait(self) -> bool:
        """Send the outputs that were gathered, with nothing that has come to an end; False if that has to wait."""
        if not self.may_send:
            return False
        assert self.outputs is not None
        self._send(_with_outputs((), self.outputs), 0, b"")
        return True

    def _send(self, ends: Sequence[Ended], nanos: int, state: bytes) -> None:
        session, frames = self._session, [each.count for each in ends if each.count]
        # What goes beyond the leave, the ledger never counted.
        session.spent += max(0, min(sum(frames), session.credit))
        session.status.words[Word.SENT] += sum(frames)
        self._sends += len(frames)
        session.stream.send(CommitMessage.of(ends, state=state, nanos=nanos))

    def _wait_for_leave(self) -> None:
        if not self._asks and self._session.credit <= 0:
            self._session.blocked(Wait.ROOM, self._wait_for_credit)

    def _wait_until_in(self) -> None:
        if self._asks:
            self._session.blocked(Wait.ROOM, self._wait_until_answered)
        elif self._session.credit <= 0:
            self._session.take_in()

    def _wait_for_credit(self) -> None:
        while self._session.credit <= 0:
            check_closing(self._session)
            self._session.wait()

    def _wait_until_answered(self) -> None:
        while self._session.answered < self._sends:
            check_closing(self._session)
            self._session.wait()


def _with_outputs(ends: Sequence[Ended], outputs: OutputBuffer) -> list[Ended]:
    """They are of all the items, so they belong to the last that is done."""
    last = max((at for at, each in enumerate(ends) if not each.failure), default=None)
    count, big, frame = outputs.pack()
    if last is None:
        return [*ends, Ended(0, 0, b"", count, big, frame)]
    return [*ends[:last], replace(ends[last], count=count, big=big, frame=frame), *ends[last + 1 :]]


def _shortest(ends: Sequence[Ended], nanos: int, state: bytes) -> AckMessage | CommitMessage:
    """The message that says it: of one lease alone a shorter one does."""
    if len(ends) == 1 and not state and not ends[0].failure:
        return AckMessage(ends[0].lease, ends[0].upto, nanos)
    return CommitMessage.of(ends, state=state, nanos=nanos)


def check_closing(session: WorkerSession) -> None:
    """Raise `Stopping` in a reader that is to close: nobody makes room for it any more."""
    if session.status.words[Word.STOP]:
        raise Stopping
