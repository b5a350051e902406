"""The worker's stream: messages come out as they went in, however the bytes are cut, and nonsense is not believed."""

from __future__ import annotations

import socket
import threading

import hypothesis.strategies as st
import pytest
from hypothesis import given

from runner.wire import HEADER, Kind, Message, Parser, SupervisorWire, WorkerWire, open_wire

numbers = st.integers(0, 2**32 - 1)
longs = st.integers(0, 2**64 - 1)
messages = st.builds(
    Message,
    kind=st.sampled_from(Kind),
    count=numbers,
    upto=numbers,
    partial=numbers,
    lease=longs,
    nanos=longs,
    body=st.binary(max_size=300),
)


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
        HEADER.pack(1, 0, 0, 0, 2**32 - 1, 0, 0),
    ],
)
def test_what_is_not_ours_ends_the_stream_and_what_came_before_it_counts(nonsense: bytes) -> None:
    parser = Parser()

    heard = parser.take(bytes_of(Message(Kind.ACK, upto=3)) + nonsense)

    assert ([Message(Kind.ACK, upto=3)], True) == (heard, parser.nonsense)


def test_a_big_message_is_read_in_long_steps_that_are_bounded() -> None:
    parser = Parser()
    small = parser.most

    parser.take(Message(Kind.PUT, body=bytes(1 << 27)).header() + bytes((1 << 27) - 1)[: 1 << 10])

    assert (1 << 16, 1 << 20) == (small, parser.most)


@pytest.fixture
def ends() -> object:
    ours, theirs = open_wire()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_what_does_not_fit_is_kept_and_sent_when_there_is_room(
    ends: tuple[SupervisorWire, WorkerWire],
) -> None:
    ours, theirs = ends
    body = bytes(range(256)) * 8000

    ours.send_nowait(Message(Kind.LEASE, lease=1, body=body))
    ours.send_nowait(Message(Kind.END))
    kept = ours.backlogged
    heard: list[Message | None] = []
    reader = threading.Thread(target=lambda: heard.extend([theirs.receive(None), theirs.receive(None)]))
    reader.start()
    while ours.backlogged:
        ours.flush_nowait()
    reader.join()

    assert kept
    assert [Message(Kind.LEASE, lease=1, body=body), Message(Kind.END)] == heard


def test_the_supervisor_hears_all_that_is_there_and_then_the_end(
    ends: tuple[SupervisorWire, WorkerWire],
) -> None:
    ours, theirs = ends
    theirs.send(Message(Kind.PUT, count=2, body=b"buns"))
    theirs.send(Message(Kind.JOIN))

    heard = [ours.receive_nowait(), ours.receive_nowait()]
    theirs.close()
    last = ours.receive_nowait()

    assert [[Message(Kind.PUT, count=2, body=b"buns"), Message(Kind.JOIN)], []] == heard
    assert ([], True) == (last, ours.ended)


def test_a_worker_that_does_not_wait_is_told_that_nothing_is_there(
    ends: tuple[SupervisorWire, WorkerWire],
) -> None:
    _, theirs = ends

    assert (None, None, False) == (theirs.receive(0), theirs.receive(0.001), theirs.ready)


def test_a_worker_whose_supervisor_is_gone_hears_the_end_and_says_nothing(
    ends: tuple[SupervisorWire, WorkerWire],
) -> None:
    ours, theirs = ends
    ours.close()

    theirs.send(Message(Kind.JOIN))

    with pytest.raises(EOFError):
        theirs.receive(None)


def test_a_message_that_was_cut_short_is_never_seen() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = SupervisorWire(ours)
        theirs.sendall(
            bytes_of(Message(Kind.ACK, upto=1)) + bytes_of(Message(Kind.PUT, count=1, body=b"half"))[:-1]
        )
        theirs.close()

        heard = wire.receive_nowait() + wire.receive_nowait()

        assert ([Message(Kind.ACK, upto=1)], True) == (heard, wire.ended)
