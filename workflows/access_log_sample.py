"""A log of a web server that is made up, the same each time: few paths have most hits, a few lines are broken."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path


def write_sample(path: str, lines: int = 100_000, seed: int = 1) -> None:
    """Write a log, unless there is one."""
    if Path(path).exists():
        return
    unfinished = Path(f"{path}.part")
    with unfinished.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        packed.writelines(sample_lines(lines, random.Random(seed)))
    unfinished.replace(path)


PATHS = [
    "/",
    "/buns",
    "/buns/char-siu",
    "/cart",
    "/login",
    "/static/app.js",
    "/static/style.css",
    "/favicon.ico",
]
AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
    "Mozilla/5.0 (iPhone) Safari/605.1",
    "curl/8.5.0",
    "-",
]
BROKEN = [
    b"\x16\x03\x01\x00\xee\x01",
    b"10.0.0.1 - - [",
    b'10.0.0.1 - - [x] "-" 400 0',
    b'10.9.8.7 - - "GET / HTTP/1.1"',
]


def sample_lines(lines: int, chance: random.Random) -> Iterator[bytes]:
    """Yield the lines of a log."""
    paths = [*PATHS, *(f"/buns/{number}" for number in range(400))]
    weights = [1 / rank for rank in range(1, len(paths) + 1)]
    chosen = chance.choices(paths, weights, k=lines)
    at = datetime(2024, 5, 17, 6, 0, tzinfo=UTC)
    for path in chosen:
        at += timedelta(seconds=chance.expovariate(20))
        if chance.random() < 0.0005:
            yield chance.choice(BROKEN) + b"\n"
            continue
        query = f"?page={chance.randint(1, 9)}" if chance.random() < 0.1 else ""
        status = chance.choices((200, 304, 404, 500), (90, 6, 3, 1))[0]
        size = "-" if status == 304 else str(int(chance.lognormvariate(8, 1)))
        host = f"10.{chance.randint(0, 3)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"
        request = f'"GET {path}{query} HTTP/1.1" {status} {size} "-" "{chance.choice(AGENTS)}"'
        yield f"{host} - - [{at:%d/%b/%Y:%H:%M:%S %z}] {request}\n".encode()
