"""Several items of a worker at once, without processes: what the worker makes of what comes, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from runner.handlers.async_calls import EventLoop
from runner.handlers.kinds import Mapper
from runner.ipc.frames import pack_series, pickle_alone
from runner.ipc.status_page import StatusPage, StopRequest, Word
from runner.ipc.stream import (
    AckMessage,
    EndMessage,
    LeaseMessage,
    LeaveAnswer,
    LeaveRequest,
    Message,
    SupervisorStream,
    SuspectLease,
    WorkerStream,
    open_stream,
)
from runner.spec.failures import OnError
from runner.spec.model import HandlerRef, Role
from runner.spec.pace import RatePolicy
from runner.spec.plan import WorkerPlan
from runner.transports.concurrent_items import ConcurrentLoop
from runner.transports.leased.commits import Committer
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession


def plan(rate: RatePolicy | None = None) -> WorkerPlan:
    return WorkerPlan(
        name="neo",
        stage="eater",
        role=Role.CONSUMER,
        handler=HandlerRef("python", "m:f"),
        arguments={},
        receives="q",
        sends=None,
        daemon=False,
        on_error=OnError.FAIL,
        start_method="fork",
        env={},
        cwd=None,
        nice=0,
        beside=".",
        concurrency=4,
        rate=rate,
    )


class Answered(WorkerStream):
    """A worker's end whose supervisor answers before the worker has a look at the stream."""

    answers: list[Message]
    ours: SupervisorStream

    def send(self, message: Message) -> None:
        super().send(message)
        if isinstance(message, LeaveRequest):
            for answer in self.answers:
                self.ours.send_nowait(answer)
            self.answers = []


def lease(item: object, number: int, *, suspect: bool = False) -> LeaseMessage:
    frame = pack_series([pickle_alone(item)])
    return (SuspectLease if suspect else LeaseMessage)(0, 1, 0, number, 1, number, body=frame)


@contextmanager
def kitchen() -> Iterator[tuple[Answered, SupervisorStream, StatusPage]]:
    ours, theirs = open_stream()
    page = StatusPage.private()
    theirs.__class__ = Answered
    assert isinstance(theirs, Answered)
    theirs.answers, theirs.ours = [], ours
    yield theirs, ours, page
    for each in (ours, theirs, page):
        each.close()


def eat(theirs: Answered, page: StatusPage, worker: WorkerPlan, got: list[object]) -> bool:
    """Let the worker work until it ends. False if it does not, and has to be told that there is no more."""
    session, events, ended = WorkerSession(theirs, page), EventLoop(), True

    async def call(item: object) -> None:
        got.append(item)
        await asyncio.sleep(0)
        if item == "last":
            page.words[Word.STOP] = StopRequest.WAITING

    def give_up() -> None:
        nonlocal ended
        ended, page.words[Word.STOP] = False, StopRequest.WAITING
        theirs.ours.send_nowait(EndMessage())

    events.loop.call_later(5, give_up)
    loop = ConcurrentLoop(session, FrameInbox(session), Committer(session, None), worker)
    loop.run(Mapper(lambda _: None, coroutine=call, loop=events), lambda *_, **__: None)
    events.close()
    return ended


def done(ours: SupervisorStream) -> list[int]:
    """The leases that were said to have come to an end."""
    return [message.lease for message in ours.receive_nowait() if isinstance(message, AckMessage)]


def test_what_comes_together_with_the_leave_to_begin_an_item_is_not_left_lying() -> None:
    got: list[object] = []
    with kitchen() as (theirs, ours, page):
        theirs.answers = [LeaveAnswer(10, time.monotonic_ns(), 0), lease("b", 2), EndMessage()]
        ours.send_nowait(lease("a", 1))

        assert eat(theirs, page, plan(RatePolicy(limit=1000.0)), got)
        assert (["a", "b"], [1, 2]) == (got, done(ours))


def test_a_worker_that_is_to_end_does_so_with_the_last_item_in_its_hand() -> None:
    got: list[object] = []
    with kitchen() as (theirs, ours, page):
        ours.send_nowait(lease("last", 1))

        assert eat(theirs, page, plan(), got)
        assert [1] == done(ours)


def test_a_suspect_comes_alone() -> None:
    got: list[object] = []
    with kitchen() as (theirs, ours, page):
        for each in (lease("a", 1), lease("b", 2, suspect=True), lease("c", 3), lease("last", 4)):
            ours.send_nowait(each)

        assert eat(theirs, page, plan(), got)
        assert [1, 2] == done(ours)[:2]
