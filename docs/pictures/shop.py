"""The handlers of the run that the pictures of docs/watching.md are taken of: its third stage is the slow one."""

import time
from collections.abc import Iterator


def lister(items: int) -> Iterator[int]:
    for number in range(items):
        time.sleep(0.004)
        yield number


def fetch(number: int) -> int:
    time.sleep(0.012)
    if number % 67 == 0:
        raise ConnectionError(f"host {number % 5} does not answer")
    if number % 151 == 0:
        raise ValueError(f"bad status {number}")
    return number


def parse(number: int) -> int:
    time.sleep(0.009)
    return number


def save(_number: int) -> None:
    time.sleep(0.002)
