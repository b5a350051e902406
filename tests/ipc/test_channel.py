"""Private channels: whole messages or none, whatever the worker's end does."""

from __future__ import annotations

import json
import multiprocessing
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_targets import say_ready

from runner.ipc.channel import Receiver, Sender, open_channel


@pytest.fixture
def channel() -> Iterator[tuple[Receiver, Sender]]:
    receiver, sender = open_channel()
    yield receiver, sender
    receiver.close()
    sender.close()


@pytest.fixture
def raw() -> Iterator[tuple[Receiver, socket.socket]]:
    """A receiver, and a bare socket in place of its sender."""
    ours, theirs = socket.socketpair()
    receiver = Receiver(ours)
    yield receiver, theirs
    receiver.close()
    theirs.close()


def framed(message: object) -> bytes:
    return framed_bytes(json.dumps(message).encode())


def framed_bytes(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


def test_messages_arrive_whole_and_in_order(channel: tuple[Receiver, Sender]) -> None:
    receiver, sender = channel

    sender.send("ready")
    sender.send("logged", message="neo 生产了 neo的包子0", fields={"bun": 0})
    sender.send("finished")

    assert [
        {"kind": "ready"},
        {"kind": "logged", "message": "neo 生产了 neo的包子0", "fields": {"bun": 0}},
        {"kind": "finished"},
    ] == list(receiver.receive_nowait())
    assert not receiver.ended


def test_with_nothing_to_read_there_are_no_messages_and_no_wait(channel: tuple[Receiver, Sender]) -> None:
    receiver, _ = channel

    assert [] == list(receiver.receive_nowait())


def test_a_message_in_many_pieces_is_seen_once_it_is_whole(raw: tuple[Receiver, socket.socket]) -> None:
    receiver, sock = raw
    seen = []

    for byte in framed({"kind": "ready"}):
        seen.append(list(receiver.receive_nowait()))
        sock.send(bytes([byte]))

    assert not any(seen)
    assert [{"kind": "ready"}] == list(receiver.receive_nowait())


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers())), st.integers(1, 40))
def test_the_cuts_between_reads_change_nothing(messages: list[dict[str, Any]], size: int) -> None:
    ours, theirs = socket.socketpair()
    receiver = Receiver(ours)
    stream = b"".join(map(framed, messages))
    seen: list[dict[str, Any]] = []

    for at in range(0, len(stream), size):
        theirs.sendall(stream[at : at + size])
        seen += receiver.receive_nowait()
    receiver.close()
    theirs.close()

    assert messages == seen


def test_what_was_said_before_a_death_is_delivered_and_the_cut_message_is_not(
    raw: tuple[Receiver, socket.socket],
) -> None:
    receiver, sock = raw

    sock.sendall(framed({"kind": "ready"}) + framed({"kind": "finished"})[:-1])
    sock.close()

    assert [{"kind": "ready"}] == list(receiver.receive_nowait())
    assert receiver.ended
    assert [] == list(receiver.receive_nowait())


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"\xff\xfe\x00", b"[1, 2]", b"7", b"[" * 200_000, b"9" * 10_000],
    ids=["empty", "text", "bytes", "list", "number", "deep", "huge number"],
)
def test_a_body_that_is_no_message_is_an_empty_one(body: bytes, raw: tuple[Receiver, socket.socket]) -> None:
    receiver, sock = raw
    pump = threading.Thread(target=sock.sendall, args=(framed_bytes(body) + framed({"kind": "ready"}),))

    pump.start()
    seen = receive_all(receiver, 2)
    pump.join()

    assert [{}, {"kind": "ready"}] == seen


def test_after_a_length_that_cannot_be_nothing_is_believed_and_nobody_waits(
    raw: tuple[Receiver, socket.socket],
) -> None:
    """
    A handler that writes to descriptors at random must not make its worker hang on a socket that nobody reads.
    """
    receiver, sock = raw
    sock.sendall(b"\xff\xff\xff\x7f" + framed({"kind": "finished"}))

    seen = list(receiver.receive_nowait())

    assert [] == seen
    assert receiver.ended
    with pytest.raises(BrokenPipeError):
        sock.sendall(b"x" * 10_000_000)


def test_a_sender_without_its_supervisor_says_nothing_and_does_not_fail(
    channel: tuple[Receiver, Sender],
) -> None:
    receiver, sender = channel
    receiver.close()

    sender.send("ready")

    assert sender.fileno() >= 0


def test_half_characters_travel(channel: tuple[Receiver, Sender]) -> None:
    receiver, sender = channel

    sender.send("logged", message="half \ud83e of a 🥟")

    assert [{"kind": "logged", "message": "half \ud83e of a 🥟"}] == list(receiver.receive_nowait())


class Grumpy:
    """An object that does not want to be looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("go away")


def circle() -> dict[str, Any]:
    itself: dict[str, Any] = {}
    itself["me"] = itself
    return itself


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"when": {1, 2}.__class__}, {"when": "<class 'set'>"}),
        ({"by": {(1, 2): 3}}, {"by": "{(1, 2): 3}"}),
        ({"grumpy": Grumpy()}, {"grumpy": "<Grumpy, whose repr raised RuntimeError>"}),
        ({1: "one"}, {"1": "one"}),
        ({"huge": 10**5000}, {"huge": "<int of 16610 bits>"}),
    ],
    ids=["class", "tuple key", "grumpy", "number key", "huge number"],
)
def test_fields_that_are_no_json_are_sketched(
    value: object, expected: object, channel: tuple[Receiver, Sender]
) -> None:
    receiver, sender = channel

    sender.send("logged", message="m", fields=value)

    assert [{"kind": "logged", "message": "m", "fields": expected}] == list(receiver.receive_nowait())


def test_a_field_that_holds_itself_is_sketched(channel: tuple[Receiver, Sender]) -> None:
    receiver, sender = channel

    sender.send("logged", fields=circle())

    (message,) = receiver.receive_nowait()
    assert ("logged", ["me"]) == (message["kind"], list(message["fields"]))


def test_a_big_message_arrives_through_a_small_buffer(channel: tuple[Receiver, Sender]) -> None:
    receiver, sender = channel
    text = "包" * 400_000
    thread = threading.Thread(target=sender.send, args=("logged",), kwargs={"message": text})

    thread.start()
    seen = receive_all(receiver, 1)
    thread.join()

    assert [{"kind": "logged", "message": text}] == seen


def test_a_message_too_long_to_be_believed_is_cut_and_the_next_one_still_heard(
    channel: tuple[Receiver, Sender],
) -> None:
    receiver, sender = channel

    def talk() -> None:
        sender.send("item_failed", error="🥟" * 3_000_000, item="1")
        sender.send("logged", fields={f"field-{number}": "x" * 100_000 for number in range(200)})
        sender.send("finished")

    thread = threading.Thread(target=talk)
    thread.start()
    failed, logged, finished = receive_all(receiver, 3)
    thread.join()

    assert ("item_failed", "1", "🥟🥟🥟") == (failed["kind"], failed["item"], failed["error"][:3])
    assert ("logged", "field-0") == (logged["kind"], next(iter(logged["fields"])))
    assert {"kind": "finished"} == finished


def test_the_threads_of_a_handler_do_not_cut_each_other_short(channel: tuple[Receiver, Sender]) -> None:
    receiver, sender = channel
    text = "x" * 300_000  # more than the socket takes at once

    def talk() -> None:
        for _ in range(5):
            sender.send("logged", message=text)

    threads = [threading.Thread(target=talk) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = receive_all(receiver, 20)
    for thread in threads:
        thread.join()

    assert [{"kind": "logged", "message": text}] * 20 == seen


def test_a_sender_reaches_a_spawned_process(channel: tuple[Receiver, Sender]) -> None:
    receiver, sender = channel
    process = multiprocessing.get_context("spawn").Process(target=say_ready, args=(sender,))

    process.start()
    process.join()
    process.close()

    assert [{"kind": "ready", "from": "afar"}] == list(receiver.receive_nowait())


def receive_all(receiver: Receiver, count: int) -> list[dict[str, Any]]:
    """Read until there are `count` messages, or the channel has ended; the descriptor says when to look."""
    seen: list[dict[str, Any]] = []
    while len(seen) < count and not receiver.ended:
        readable, _, _ = select.select([receiver], [], [], 20)
        assert readable, f"only {len(seen)} of {count} messages came"
        seen += receiver.receive_nowait()
    return seen
