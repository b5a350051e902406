"""Batches under `leased`, without processes: what is handed over together, and what is said of it, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.errors import BatchFailed
from runner.ipc.frames import pack_safe, pack_series, pickle_alone, unpack
from runner.ipc.status_page import StatusPage, Word
from runner.ipc.stream import (
    AckMessage,
    CommitMessage,
    CreditMessage,
    Ended,
    EndMessage,
    EnoughMessage,
    LeaseMessage,
    Message,
    MoreRequest,
    SupervisorStream,
    WorkerStream,
    open_stream,
)
from runner.spec.commits import BatchSpec
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.transports.leased.batches import BatchLoop, BatchReader
from runner.transports.leased.big_items import ArenaRegistry, BigItemWriter
from runner.transports.leased.commits import Committer, OutputGatherer
from runner.transports.leased.reader import FrameInbox
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
BAD = b"\x80\x05cnowhere\nat all\n."


class Stream(WorkerStream):
    """A worker's end that remembers how the page was when each message left."""

    page: StatusPage
    done: list[int]

    def send(self, message: Message) -> None:
        self.done.append(self.page.words[Word.DONE])
        super().send(message)


@dataclass
class Kitchen:
    """A worker, and the supervisor's end of its stream."""

    session: WorkerSession
    ours: SupervisorStream
    inbox: FrameInbox
    page: StatusPage
    arenas: ArenaRegistry
    got: list[list[object]] = field(default_factory=list)
    failed: list[tuple[object, str, int]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    """What the page had counted as done at each message."""
    places: list[list[int]] = field(default_factory=list)

    def lease(
        self, *items: object, number: int = 1, first: int = 0, attempt: int = 1, partial: int = 0
    ) -> None:
        frame = pack_series([item if isinstance(item, bytes) else pickle_alone(item) for item in items])
        self.ours.send_nowait(LeaseMessage(0, len(items), partial, number, attempt, first, body=frame))

    def run(
        self,
        spec: BatchSpec,
        handler: Callable[[list[Any]], object] = lambda _: None,
        *,
        makes: bool = False,
        in_order: bool = False,
        on_error: str = "skip",
    ) -> list[Message]:
        """Let the worker work until its stream is at its end, and return what it has said."""
        outputs = OutputGatherer(
            self.session, BigItemWriter(self.arenas.allocate_region(ALEX, "r"), self.session)
        )
        committer = Committer(self.session, outputs if makes else None)
        reader = BatchReader(self.session, self.inbox, spec, in_order=in_order)
        loop = BatchLoop(self.session, self.inbox, reader, committer, self._tell)

        def call(items: list[Any]) -> object:
            self.got.append(list(items))
            self.places.append(loop.places())
            return handler(items)

        def fail(item: object, error: BaseException, *, attempt: int = 1, send: Any = None) -> None:
            self.failed.append((item, str(error), attempt))
            send("item_failed", item=repr(item), error=str(error), action=on_error)
            if on_error == "fail":
                raise SystemExit("the run ends")

        try:
            loop.run(call, fail)
        except SystemExit as leaving:
            assert on_error == "fail", leaving
        return self.ours.receive_nowait()

    def _tell(self, kind: str, **fields: Any) -> None:
        self.told.append({"kind": kind, **fields})


@contextmanager
def open_kitchen() -> Iterator[Kitchen]:
    ours, theirs = open_stream()
    page, arenas = StatusPage.private(), ArenaRegistry(PLAN)
    theirs.__class__, done = Stream, []
    assert isinstance(theirs, Stream)
    theirs.page, theirs.done = page, done
    session = WorkerSession(theirs, page)
    yield Kitchen(session, ours, FrameInbox(session), page, arenas, done=done)
    for each in (ours, theirs, page, arenas):
        each.close()


@pytest.fixture
def kitchen() -> Iterator[Kitchen]:
    with open_kitchen() as kitchen:
        yield kitchen


def end(kitchen: Kitchen) -> None:
    kitchen.ours.send_nowait(EndMessage())


def ends_of(said: list[Message]) -> list[Ended]:
    """All that was said to have come to an end, in order."""
    ended: list[Ended] = []
    for message in said:
        if isinstance(message, CommitMessage):
            ended += message.unpack()[0]
        elif isinstance(message, AckMessage):
            ended.append(Ended(message.lease, message.upto))
    return ended


def outputs_of(said: list[Message]) -> list[object]:
    """All that was made, in order."""
    return [item for end in ends_of(said) for item in (unpack(end.frame, 0, end.count) if end.count else ())]


def words_of(said: list[Message]) -> list[tuple[int, int, bool]]:
    """What was said to have come to an end: lease, up to where, and whether that item has failed."""
    return [(each.lease, each.upto, bool(each.failure)) for each in ends_of(said)]


def test_lists_are_full_whatever_leases_their_items_come_in(kitchen: Kitchen) -> None:
    kitchen.lease(0, 1, 2, number=1)
    kitchen.lease(3, number=2, first=3)
    kitchen.lease(*range(4, 11), number=3, first=4)
    end(kitchen)

    said = kitchen.run(BatchSpec(4))

    assert [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]] == kitchen.got
    assert kitchen.got == kitchen.places
    assert [Ended(1, 3), Ended(2, 1), Ended(3, 7)] == ends_of(said)
    assert 11 == kitchen.page.words[Word.DONE]


def test_what_was_in_hand_before_comes_alone(kitchen: Kitchen) -> None:
    kitchen.lease(0, number=1)
    kitchen.lease(1, number=2, attempt=2)
    kitchen.lease(2, 3, number=3)
    end(kitchen)

    kitchen.run(BatchSpec(4))

    assert [[0], [1], [2, 3]] == kitchen.got


def test_where_order_is_kept_only_neighbours_go_together(kitchen: Kitchen) -> None:
    kitchen.lease(0, 1, number=1, first=0)
    kitchen.lease(2, number=2, first=2)
    kitchen.lease(7, 8, number=3, first=7)
    end(kitchen)

    kitchen.run(BatchSpec(4), in_order=True)

    assert [[0, 1, 2], [7, 8]] == kitchen.got


@pytest.mark.parametrize("shared", [True, False], ids=["one pickle", "a pickle each"])
def test_no_list_has_more_bytes_than_it_may_but_for_a_single_item(kitchen: Kitchen, shared: bool) -> None:
    items = ["a" * 10, "b" * 50, "c" * 30, "d" * 200, "e"]
    frame = pack_safe(items) if shared else pack_series([pickle_alone(item) for item in items])
    kitchen.ours.send_nowait(LeaseMessage(0, 5, 0, 1, 1, body=frame))
    end(kitchen)

    kitchen.run(BatchSpec(100, most_bytes=100))

    assert ["ab", "c", "d", "e"] == ["".join(str(item)[0] for item in batch) for batch in kitchen.got]


def test_a_list_that_nobody_can_add_to_is_handed_over_at_once(kitchen: Kitchen) -> None:
    kitchen.lease(0, 1)
    received = kitchen.session.wait

    def wait(timeout: float | None = None) -> bool:
        if any(isinstance(said, MoreRequest) for said in kitchen.ours.receive_nowait()):
            kitchen.ours.send_nowait(EnoughMessage() if not kitchen.got else EndMessage())
        if kitchen.got:
            kitchen.ours.send_nowait(EndMessage())
        return received(timeout)

    kitchen.session.wait = wait  # type: ignore[method-assign]
    kitchen.run(BatchSpec(4, wait=3600.0))

    assert [[0, 1]] == kitchen.got


def test_before_it_waits_for_company_it_says_how_many_it_has(kitchen: Kitchen) -> None:
    kitchen.lease(0, 1)
    asked: list[Message] = []
    received = kitchen.session.wait

    def wait(timeout: float | None = None) -> bool:
        asked.extend(kitchen.ours.receive_nowait())
        if asked:
            kitchen.ours.send_nowait(EndMessage())
        return received(timeout)

    kitchen.session.wait = wait  # type: ignore[method-assign]
    kitchen.run(BatchSpec(4, wait=3600.0))

    assert MoreRequest(2, patient=0) == asked[0]


def test_when_the_first_item_has_waited_for_long_enough_what_is_there_is_handed_over(
    kitchen: Kitchen,
) -> None:
    kitchen.lease(0, 1)

    def handler(_: list[int]) -> None:
        end(kitchen)

    kitchen.run(BatchSpec(4, wait=0.01), handler)

    assert [[0, 1]] == kitchen.got


def test_what_was_left_of_the_lease_before_waits_for_company_as_well(kitchen: Kitchen) -> None:
    kitchen.lease(0, 1, 2, 3, 4, 5)
    received = kitchen.session.wait

    def wait(timeout: float | None = None) -> bool:
        if kitchen.ours.receive_nowait():
            kitchen.lease(6, 7, number=2)
            end(kitchen)
        return received(timeout)

    kitchen.session.wait = wait  # type: ignore[method-assign]
    kitchen.run(BatchSpec(4, wait=3600.0))

    assert [[0, 1, 2, 3], [4, 5, 6, 7]] == kitchen.got


def test_one_that_is_to_close_hands_over_what_it_has_gathered_and_takes_no_other(kitchen: Kitchen) -> None:
    kitchen.lease(0, 1)
    received = kitchen.session.wait

    def wait(timeout: float | None = None) -> bool:
        if kitchen.ours.receive_nowait():
            kitchen.page.words[Word.STOP] = 1
            kitchen.lease(2, 3, number=2)
        return received(timeout)

    kitchen.session.wait = wait  # type: ignore[method-assign]
    kitchen.run(BatchSpec(4, wait=3600.0))

    assert [[0, 1]] == kitchen.got


def test_an_item_that_cannot_be_unpickled_fails_alone(kitchen: Kitchen) -> None:
    kitchen.lease(0, BAD, 2)
    end(kitchen)

    said = kitchen.run(BatchSpec(4))

    assert [[0], [2]] == kitchen.got
    assert ["<an item that can't be unpickled>"] == [repr(item) for item, *_ in kitchen.failed]
    assert [(1, 1, False), (1, 1, True), (1, 3, False)] == words_of(said)


def test_quick_lists_are_acknowledged_with_their_lease_and_the_page_has_counted_them_before(
    kitchen: Kitchen,
) -> None:
    kitchen.lease(*range(100))
    end(kitchen)

    counted: list[int] = []
    said = kitchen.run(BatchSpec(10), lambda _: counted.append(kitchen.page.words[Word.DONE]))

    assert Ended(1, 100) == ends_of(said)[-1]
    assert list(range(0, 100, 10)) == counted


def test_what_a_list_became_leaves_in_one_message_with_the_word_that_it_is_done(kitchen: Kitchen) -> None:
    kitchen.lease(*range(4), number=1)
    kitchen.lease(*range(4, 6), number=2)
    kitchen.ours.send_nowait(CreditMessage(100))
    end(kitchen)

    said = kitchen.run(BatchSpec(6), lambda items: (item * 2 for item in items), makes=True)

    (commit,) = [message for message in said if isinstance(message, CommitMessage)]
    assert [(1, 4, False), (2, 2, False)] == words_of(said)
    assert [0, 2, 4, 6, 8, 10] == outputs_of(said)
    assert 0 == kitchen.done[said.index(commit)], "what has outputs counts as done once they have left"


def test_what_is_returned_is_one_output(kitchen: Kitchen) -> None:
    kitchen.lease(*range(4))
    kitchen.ours.send_nowait(CreditMessage(100))
    end(kitchen)

    said = kitchen.run(BatchSpec(4), lambda items: items, makes=True)

    assert [[0, 1, 2, 3]] == outputs_of(said)


def test_what_was_made_before_a_list_failed_is_forgotten(kitchen: Kitchen) -> None:
    kitchen.lease(*range(8))
    kitchen.ours.send_nowait(CreditMessage(100))
    end(kitchen)

    def handler(items: list[int]) -> Iterator[object]:
        for item in items:
            if item == 5:
                raise ValueError("bad")
            yield {"half": item}

    said = kitchen.run(BatchSpec(8), handler, makes=True)

    assert [{"half": item} for item in (0, 1, 2, 3, 4, 6, 7)] == outputs_of(said)
    assert [(5, "bad", 1)] == kitchen.failed
    assert [("batch_failed", 8)] == [(each["kind"], each["items"]) for each in kitchen.told]


def test_what_it_yields_before_it_says_which_have_failed_counts(kitchen: Kitchen) -> None:
    kitchen.lease(*range(4), number=1)
    kitchen.lease(*range(4, 6), number=2)
    kitchen.ours.send_nowait(CreditMessage(100))
    end(kitchen)

    def handler(items: list[int]) -> Iterator[object]:
        yield from (item for item in items if item not in (1, 5))
        raise BatchFailed({1: ValueError("one"), 5: ValueError("five")})

    said = kitchen.run(BatchSpec(6), handler, makes=True)

    assert 1 == sum(isinstance(message, CommitMessage) for message in said)
    assert [0, 2, 3, 4] == outputs_of(said)
    assert [(1, 1, False), (1, 1, True), (1, 4, False), (2, 1, False), (2, 1, True)] == words_of(said)
    assert [4] == [each.count for each in ends_of(said) if each.count], "they belong to the last that is done"
    assert ["one", "five"] == [error for _, error, _ in kitchen.failed]


def test_one_failure_that_ends_the_run_leaves_none_unsaid(kitchen: Kitchen) -> None:
    kitchen.lease(*range(6))
    end(kitchen)

    def handler(_: list[int]) -> None:
        raise BatchFailed({1: ValueError("one"), 3: ValueError("three")})

    said = kitchen.run(BatchSpec(6), handler, on_error="fail")

    assert [(1, False), (1, True), (3, False), (3, True), (6, False)] == [each[1:] for each in words_of(said)]


def test_an_item_of_which_outputs_are_in_already_makes_the_rest_alone(kitchen: Kitchen) -> None:
    kitchen.lease("bun", number=1, partial=2)
    kitchen.lease("pie", number=2)
    kitchen.ours.send_nowait(CreditMessage(100))
    end(kitchen)

    said = kitchen.run(BatchSpec(4), lambda items: (f"{items[0]} {n}" for n in range(3)), makes=True)

    assert ["bun 2", "pie 0", "pie 1", "pie 2"] == outputs_of(said)
