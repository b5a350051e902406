"""What a worker says of several items at once: in one message, with what was made of them, and nothing before that."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.errors import Stopping
from runner.ipc.frames import unpack, unpack_batch
from runner.ipc.status_page import StatusPage, Word
from runner.ipc.stream import AckMessage, CommitMessage, CreditMessage, Ended, SupervisorStream, open_stream
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.transports.leased.batch_packer import BatchPolicy
from runner.transports.leased.big_items import ArenaRegistry, BigItemReader, BigItemWriter, WriterRegion
from runner.transports.leased.commits import Committer, OutputGatherer
from runner.transports.leased.session import WorkerSession

PLAN = make_plan(
    WorkflowSpec(
        "fill",
        Path("/nowhere/fill.yaml"),
        (
            StageSpec("cook", HandlerRef("python", "k:fill"), workers=("alex",), receives="q", sends="r"),
            StageSpec("eater", HandlerRef("python", "k:eat"), workers=("egon",), receives="r"),
        ),
        (QueueSpec("q"), QueueSpec("r")),
    )
)
(ALEX,) = (worker for worker in PLAN.workers if worker.name == "alex")
ENDS = [Ended(1, 8), Ended(2, 3)]
BIG = b"x" * (1 << 16)


@dataclass
class Bench:
    """A worker's committer, and the supervisor's end of its stream."""

    committer: Committer
    outputs: OutputGatherer
    ours: SupervisorStream
    arenas: ArenaRegistry
    region: WriterRegion
    page: StatusPage

    def last(self) -> Ended:
        """The last that has come to an end, of the one commit that has come, which has the outputs."""
        return self.heard().unpack()[0][-1]

    def heard(self) -> CommitMessage:
        while not (heard := self.ours.receive_nowait()):
            select.select([self.ours], [], [], 10)
        (message,) = heard
        assert isinstance(message, CommitMessage)
        return message


@contextmanager
def bench(leave: int = 8, policy: BatchPolicy | None = None, share: int | None = None) -> Iterator[Bench]:
    ours, theirs = open_stream()
    page, arenas = StatusPage.private(), ArenaRegistry(PLAN)
    session = WorkerSession(theirs, page)
    region = arenas.allocate_region(ALEX, "r")
    if share is not None:
        region = WriterRegion(region.file, region.part, share)
    outputs = OutputGatherer(session, BigItemWriter(region, session), policy)
    ours.send_nowait(CreditMessage(leave))
    yield Bench(Committer(session, outputs), outputs, ours, arenas, region, page)
    for each in (ours, theirs, page, arenas):
        each.close()


@pytest.fixture
def desk() -> Iterator[Bench]:
    with bench() as desk:
        yield desk


def test_what_has_ended_what_was_made_of_it_and_the_state_are_one_message(desk: Bench) -> None:
    for output in ["a", {"b": 1}, 3]:
        desk.outputs.add(output)

    desk.committer.commit(ENDS, nanos=5, state=b"total")

    heard = desk.heard()
    (first, last), state = heard.unpack()
    assert (ENDS[0], b"total", 5) == (first, state, heard.nanos)
    assert (2, 3, 3, False) == (last.lease, last.upto, last.count, last.big)
    assert ["a", {"b": 1}, 3] == list(unpack(last.frame, 0, 3))
    assert 3 == desk.page.words[Word.SENT]


def test_an_output_that_changes_afterwards_leaves_as_it_was(desk: Bench) -> None:
    output = [1]
    desk.outputs.add(output)
    output.append(2)

    desk.committer.commit(ENDS)

    assert [[1]] == list(unpack(desk.last().frame, 0, 1))


def test_without_outputs_the_shortest_message_says_it(desk: Bench) -> None:
    desk.committer.commit([Ended(1, 8)], nanos=5)
    desk.committer.commit(ENDS)

    assert [AckMessage(1, 8, 5), CommitMessage.of(ENDS)] == desk.ours.receive_nowait()


def test_what_is_discarded_does_not_leave_and_its_room_is_free_again(desk: Bench) -> None:
    for number in range(100):
        desk.outputs.add([BIG, number])
        desk.outputs.discard()
    desk.outputs.add("last")

    desk.committer.commit(ENDS)

    assert ["last"] == list(unpack(desk.last().frame, 0, 1))


def test_more_outputs_than_there_is_leave_for_are_sent_at_once_and_the_next_wait(desk: Bench) -> None:
    for output in range(20):
        desk.outputs.add(output)

    desk.committer.commit(ENDS)

    assert 20 == desk.last().count
    desk.outputs.add(20)
    desk.page.words[Word.STOP] = 1
    with pytest.raises(Stopping):
        desk.committer.commit([Ended(2, 4)])
    assert [] == desk.ours.receive_nowait()


def test_big_outputs_go_through_shared_memory_and_one_that_has_no_room_there_by_the_stream() -> None:
    with bench(share=len(BIG) + 4096) as desk:
        for number in range(3):
            desk.outputs.add([BIG, number])

        sending = threading.Thread(target=desk.committer.commit, args=(ENDS,))
        sending.start()  # what goes by the stream is more than that holds at once

        heard = desk.last()
        sending.join()
        frame = desk.arenas.receive_frame("alex", heard.frame, "r")
        reader = BigItemReader(desk.region.file)
        assert (True, 3) == (heard.big, heard.count)
        assert 2 * len(BIG) < len(frame) < 3 * len(BIG)
        assert [[BIG, number] for number in range(3)] == list(unpack(frame, 0, 3, reader.copy))


def test_outputs_for_a_sharded_queue_are_sorted_by_their_shards() -> None:
    policy = BatchPolicy(shard_by="item", shards=2, max_bytes=None, batch_items=1)
    with bench(policy=policy) as desk:
        for output in range(10):
            desk.outputs.add(output)

        desk.committer.commit(ENDS)

        parts = list(unpack_batch(desk.last().frame))
    assert {0, 1} == {part.shard for part in parts}
    assert list(range(10)) == sorted(
        item for part in parts for item in unpack(part.frame, 0, part.count) if isinstance(item, int)
    )
