"""Whatever is ready is called back for, once, and what is not watched any more is not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from runner.transports.pool import Poller


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


class End:
    """Something with a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.fileno = lambda: descriptor


def test_what_can_be_read_is_called_back_for(poller: Poller, pipe: tuple[int, int]) -> None:
    calls: list[str] = []
    poller.watch(pipe[0], lambda: calls.append("read"))

    poller.wait(0)
    os.write(pipe[1], b"bun")
    poller.wait(5)

    assert ["read"] == calls


def test_what_can_be_written_is_called_back_for_where_that_is_asked(
    poller: Poller, pipe: tuple[int, int]
) -> None:
    calls: list[str] = []
    end = End(pipe[1])
    poller.watch(end, lambda: calls.append("read only"))
    poller.wait(0)

    poller.watch(end, lambda: calls.append("write"), writing=True)
    poller.wait(0)

    assert ["write"] == calls


def test_what_is_not_watched_any_more_is_not_called_back_for(poller: Poller, pipe: tuple[int, int]) -> None:
    calls: list[str] = []
    end = End(pipe[0])
    os.write(pipe[1], b"bun")
    poller.watch(end, lambda: calls.append("read"))

    poller.unwatch(end)
    poller.unwatch(end)
    poller.wait(0)

    assert [] == calls


def test_one_that_another_has_taken_out_just_now_is_left_alone(poller: Poller) -> None:
    pipes = [os.pipe(), os.pipe()]
    ends = [End(reading) for reading, _ in pipes]
    calls: list[int] = []

    def take_both_out(number: int) -> None:
        calls.append(number)
        for end in ends:
            poller.unwatch(end)

    for number, (end, (_, writing)) in enumerate(zip(ends, pipes, strict=True)):
        os.write(writing, b"bun")
        poller.watch(end, lambda number=number: take_both_out(number))  # type: ignore[misc]

    poller.wait(5)

    assert 1 == len(calls)
    for descriptor in (each for pipe in pipes for each in pipe):
        os.close(descriptor)
