"""A browser without a network: asks an application for one thing, and returns what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

ENOUGH = 20.0
"""Seconds that an answer may take on a machine that is busy."""


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Browser:
    """Asks with the same headers each time."""

    app: Any
    headers: Mapping[str, str]

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: object = None, **headers: str) -> Answer:
        return self.ask("POST", path, json.dumps(body or {}).encode(), **headers)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Headers are named as in Python: `sec_fetch_site`; an empty one is left out."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        given = {key: value for key, value in {**self.headers, **named}.items() if value}
        if body:
            given["content-length"] = str(len(body))
        return asyncio.run(asyncio.wait_for(_asked(self.app, method, path, given, body), ENOUGH))

    def hang(self, path: str) -> str:
        """Open a stream, and read nothing of it; return once that is given up."""
        asyncio.run(asyncio.wait_for(_unread(self.app, path, self.headers), ENOUGH))
        return "dropped"

    def stream(self, path: str, events: int, **headers: str) -> list[dict[str, str]]:
        """Return the first events of a stream, each by the names of its fields; then hang up."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        asked = _streamed(self.app, path, {**self.headers, **named}, events)
        return asyncio.run(asyncio.wait_for(asked, ENOUGH))


def _scope(method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    split = urlsplit(path)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": split.path,
        "raw_path": split.path.encode(),
        "root_path": "",
        "query_string": split.query.encode(),
        "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
    }


async def _asked(app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    answer = Answer()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    await app(_scope(method, path, headers), receive, send)
    return answer


async def _streamed(app: Any, path: str, headers: Mapping[str, str], events: int) -> list[dict[str, str]]:
    received: asyncio.Queue[bytes] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        await received.put(message.get("body", b""))

    serving = asyncio.create_task(app(_scope("GET", path, headers), receive, send))
    text, found = "", []
    while len(found) < events:
        text += (await received.get()).decode()
        *whole, text = text.split("\n\n")
        found += [
            dict(line.partition(": ")[::2] for line in each.split("\n")) for each in whole if "event" in each
        ]
    gone.set()
    await serving
    return found


async def _unread(app: Any, path: str, headers: Mapping[str, str]) -> None:
    async def wait(_: object = None) -> Any:
        await asyncio.Event().wait()

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await wait()

    await app(_scope("GET", path, headers), wait, send)
