"""The handlers that features.py has its workflows run: they do next to nothing, so that what is measured is mprun.

numbers | rows ──► [double … ──►] take …
"""

from __future__ import annotations

from collections.abc import Iterator

USERS = 1000


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def rows(count: int) -> Iterator[dict[str, object]]:
    for number in range(count):
        yield {"id": number, "user": number % USERS, "name": "neo的包子"}


def take(item: object) -> None:
    pass


def take_batch(items: list[object]) -> None:
    pass


def double(item: int) -> int:
    return item * 2


def double_batch(items: list[int]) -> Iterator[int]:
    for item in items:
        yield item * 2


class Idle:
    """Keeps nothing."""

    def __call__(self, item: int) -> None:
        pass


class Total:
    """Keeps something."""

    def __init__(self) -> None:
        self.total = 0

    def __call__(self, item: int) -> None:
        self.total += item


class Flushed(Total):
    """Makes safe what it keeps, in no time."""

    def flush(self) -> None:
        pass


class Doubler:
    """Keeps something, and passes on what it makes."""

    def __init__(self) -> None:
        self.total = 0

    def __call__(self, item: int) -> int:
        self.total += item
        return item * 2


class FlushedDoubler(Doubler):
    """Makes safe what it keeps, in no time."""

    def flush(self) -> None:
        pass
