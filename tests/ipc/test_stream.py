"""The worker's stream: messages come out as they went in, however the bytes are cut, and nonsense is not believed."""

from __future__ import annotations

import socket
import threading
from dataclasses import fields

import hypothesis.strategies as st
import pytest
from hypothesis import given

from runner.ipc.stream import (
    HEADER,
    KINDS,
    AckMessage,
    CommitMessage,
    Ended,
    EndMessage,
    JoinRequest,
    LeaseMessage,
    Message,
    Parser,
    PutMessage,
    SupervisorStream,
    WorkerStream,
    open_stream,
)

numbers = st.integers(0, 2**64 - 1)


def messages_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    own = [each.name for each in fields(kind) if each.name != "body"]
    return st.builds(kind, **dict.fromkeys(own, numbers), body=st.binary(max_size=300))


messages = st.sampled_from(KINDS).flatmap(messages_of)


def bytes_of(message: Message) -> bytes:
    return message.header() + bytes(message.body)


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 200)))
def test_messages_come_out_as_they_went_in_however_the_bytes_are_cut(
    sent: list[Message], cuts: list[int]
) -> None:
    stream, parser, heard = b"".join(map(bytes_of, sent)), Parser(), []

    for cut in cuts:
        if stream:
            heard += parser.take(stream[:cut])
            stream = stream[cut:]
    heard += parser.take(stream)

    assert sent == heard


@pytest.mark.parametrize(
    "nonsense",
    [
        b"hello, this is no message of ours but the handler's own words",
        HEADER.pack(1, 2**32 - 1, 0, 0, 0, 0, 0, 0),
    ],
)
def test_what_is_not_ours_ends_the_stream_and_what_came_before_it_counts(nonsense: bytes) -> None:
    parser = Parser()

    heard = parser.take(bytes_of(AckMessage(1, upto=3)) + nonsense)

    assert ([AckMessage(1, upto=3)], True) == (heard, parser.nonsense)


def test_a_big_message_is_read_in_long_steps_that_are_bounded() -> None:
    parser = Parser()
    small = parser.most

    parser.take(PutMessage(1, body=bytes(1 << 27)).header() + bytes((1 << 27) - 1)[: 1 << 10])

    assert (1 << 16, 1 << 20) == (small, parser.most)


@pytest.fixture
def ends() -> object:
    ours, theirs = open_stream()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_what_does_not_fit_is_kept_and_sent_when_there_is_room(
    ends: tuple[SupervisorStream, WorkerStream],
) -> None:
    ours, theirs = ends
    body = bytes(range(256)) * 8000

    ours.send_nowait(LeaseMessage(0, 1, 0, 1, 1, body=body))
    ours.send_nowait(EndMessage())
    kept = ours.backlogged
    heard: list[Message | None] = []
    reader = threading.Thread(target=lambda: heard.extend([theirs.receive(None), theirs.receive(None)]))
    reader.start()
    while ours.backlogged:
        ours.flush_nowait()
    reader.join()

    assert kept
    assert [LeaseMessage(0, 1, 0, 1, 1, body=body), EndMessage()] == heard


def test_the_supervisor_hears_all_that_is_there_and_then_the_end(
    ends: tuple[SupervisorStream, WorkerStream],
) -> None:
    ours, theirs = ends
    theirs.send(PutMessage(2, body=b"buns"))
    theirs.send(JoinRequest())

    heard = [ours.receive_nowait(), ours.receive_nowait()]
    theirs.close()
    last = ours.receive_nowait()

    assert [[PutMessage(2, body=b"buns"), JoinRequest()], []] == heard
    assert ([], True) == (last, ours.ended)


def test_a_worker_that_does_not_wait_is_told_that_nothing_is_there(
    ends: tuple[SupervisorStream, WorkerStream],
) -> None:
    _, theirs = ends

    assert (None, None, False) == (theirs.receive(0), theirs.receive(0.001), theirs.ready)


def test_a_worker_whose_supervisor_is_gone_hears_the_end_and_says_nothing(
    ends: tuple[SupervisorStream, WorkerStream],
) -> None:
    ours, theirs = ends
    ours.close()

    theirs.send(JoinRequest())

    with pytest.raises(EOFError):
        theirs.receive(None)


def test_a_message_that_was_cut_short_is_never_seen() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = SupervisorStream(ours)
        theirs.sendall(bytes_of(AckMessage(1, upto=1)) + bytes_of(PutMessage(1, body=b"half"))[:-1])
        theirs.close()

        heard = stream.receive_nowait() + stream.receive_nowait()

        assert ([AckMessage(1, upto=1)], True) == (heard, stream.ended)


small = st.integers(0, 2**32 - 1)
short = st.binary(max_size=20)
ended_items = st.builds(Ended, numbers, numbers, short, small, st.booleans(), short)


@given(st.lists(ended_items, max_size=5), st.binary(max_size=50))
def test_a_commit_is_taken_apart_as_it_was_put_together(ended: list[Ended], state: bytes) -> None:
    commit = CommitMessage.of(ended, state=state)

    (heard,) = Parser().take(bytes_of(commit))

    assert isinstance(heard, CommitMessage)
    assert (ended, state) == heard.unpack()


def test_a_commit_that_was_cut_short_is_never_seen() -> None:
    whole = bytes_of(CommitMessage.of([Ended(1, 8), Ended(2, 3, count=1, frame=b"bun")], state=b"total: 11"))

    assert not any(Parser().take(whole[:cut]) for cut in range(len(whole)))
