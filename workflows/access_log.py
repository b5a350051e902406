"""The handlers of access_log.yaml.

lines ──► count ──► {(kind, name): [hits, bytes, errors]} ──► Totals ──► rows that have changed
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache

from mprun import BatchFailed

Counts = dict[tuple[str, str], list[int]]
"""Hits, bytes and errors by minute and by path."""

LINE = re.compile(r'\S+ \S+ \S+ \[([^\]]+):\d\d [^\]]+\] "[A-Z]+ ([^ ?"]+)[^ "]* [^"]+" (\d{3}) (\d+|-)')


def count(lines: list[str]) -> Iterator[Counts]:
    """Yield what some lines come to. Those that are none of a log have failed."""
    counts: Counts = {}
    failed: dict[int, BaseException] = {}
    for index, line in enumerate(lines):
        if (found := LINE.match(line)) is None:
            failed[index] = ValueError("no line of an access log")
            continue
        minute, path, status, size = found.groups()
        for key in (("minute", iso(minute)), ("path", path)):
            total = counts.setdefault(key, [0, 0, 0])
            total[0] += 1
            total[1] += 0 if size == "-" else int(size)
            total[2] += status >= "400"
    yield counts
    if failed:
        raise BatchFailed(failed)


@cache
def iso(minute: str) -> str:
    """Return `2024-05-17T06:00` for `17/May/2024:06:00`."""
    return f"{datetime.strptime(minute, '%d/%b/%Y:%H:%M'):%Y-%m-%dT%H:%M}"


class Totals:
    """Adds up counts, and says which totals have changed."""

    def __init__(self) -> None:
        self.totals: Counts = {}

    def __call__(self, counts: Counts) -> Iterator[dict[str, object]]:
        for (kind, name), added in counts.items():
            before = self.totals.get((kind, name), [0, 0, 0])
            total = self.totals[kind, name] = [one + other for one, other in zip(before, added, strict=True)]
            yield {"kind": kind, "name": name, **dict(zip(("hits", "bytes", "errors"), total, strict=True))}
