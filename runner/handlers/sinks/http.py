"""A request for each item: the consumer's side of the kind `http`.

    item ──► POST, with an Idempotency-Key that is the item's own ──► 2xx: done      anything else: the item has failed

A kill, or a retry, sends an item again with the same key, so that a service that heeds it does nothing twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from runner.errors import HandlerError, MprunError
from runner.handlers.kinds import Handler, HandlerKind, Mapper, WorkerContext
from runner.handlers.outputs import Writes
from runner.handlers.sinks.forms import as_json, in_text, item_text, json_bytes, text_bytes
from runner.spec.model import Role
from runner.units import DURATION_PATTERN, duration

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

_SHOWN = 300
"""Characters of an answer that a message has."""
_TIMEOUT = 30.0
_ODD = re.compile(r"[\x00-\x20\x7f]")


class RequestFailed(MprunError):
    """A service has answered a request with something else than that it is done."""


class Client:
    """A worker's connection to one service at a time, kept open from request to request."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._connection: HTTPConnection | None = None
        self._place = ("", "")

    def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """
        Make a request, and wait for its answer.

        Raises:
            RequestFailed: it is another than 2xx.
            OSError: nobody answers, or breaks off.
            ValueError: the URL is none.
        """
        import http.client

        if odd := _ODD.search(url):  # of which `urlsplit` leaves some out, and asks for something else
            raise ValueError(
                f"{url!r} is no URL: it has {odd[0]!r} in it, which is written '{quote(odd[0])}' there"
            )
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL that begins with http:// or https://")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            status, reason, answer = self._ask(parts.scheme, parts.netloc, method, path, body, headers)
        except http.client.HTTPException as error:
            self.close()
            raise ConnectionError(f"{method} {url}: {type(error).__name__}: {error}") from error
        except OSError as error:
            self.close()
            raise type(error)(f"{method} {url}: {error.strerror or error}") from error
        if not 200 <= status < 300:
            shown = answer.decode("utf-8", "replace").strip()[:_SHOWN]
            raise RequestFailed(f"{method} {url}: {status} {reason}{f': {shown}' if shown else ''}")

    def _ask(
        self, scheme: str, place: str, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        import http.client

        is_kept = self._connection is not None and self._place == (scheme, place)
        try:
            return self._ask_once(scheme, place, method, path, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not is_kept:  # a service may hang up on who has said nothing for a while
                raise
            self.close()
            return self._ask_once(scheme, place, method, path, body, headers)

    def _ask_once(
        self, scheme: str, place: str, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        connection = self._connected(scheme, place)
        connection.request(method, path, body, dict(headers))
        answer: HTTPResponse = connection.getresponse()
        return answer.status, answer.reason, answer.read()

    def _connected(self, scheme: str, place: str) -> HTTPConnection:
        import http.client

        if self._connection is None or self._place != (scheme, place):
            self.close()
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            self._connection = kind(place.rpartition("@")[2], timeout=self._timeout)
            self._place = scheme, place
        return self._connection

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def body_of(item: object) -> tuple[bytes, str]:
    """Return an item as the body of a request, and its type. Raises `FormError`."""
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item), "application/octet-stream"
    if isinstance(item, str):
        return text_bytes(item), "text/plain; charset=utf-8"
    return json_bytes(as_json(item)), "application/json"


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    from runner.spec.references import compile_template

    client = Client(duration(options["timeout"]) if "timeout" in options else _TIMEOUT)
    method = options.get("method", "POST")
    url: Callable[[object], Any] = compile_template(options["url"], _in_url)
    body = compile_template(options["body"], in_text) if "body" in options else None
    headers = compile_template(dict(options.get("headers", {})), in_text)

    def post(item: object) -> None:
        data, kind = body_of(item if body is None else body(item))
        given = {name: item_text(value) for name, value in headers(item).items()}
        named = {name.lower() for name in given}
        own = {"Content-Type": kind, **_key(context)}
        usual = {name: value for name, value in own.items() if name.lower() not in named}
        client.send(method, item_text(url(item)), data, {**usual, **given})

    return Mapper(post, client.close)


def _in_url(value: object, path: str) -> str:
    """A value within a URL: what it has of `/`, `?` or `#` is its own, and asks for nothing else. An address is one."""
    text = in_text(value, path)
    return text if text.startswith(("http://", "https://")) else quote(text, safe="")


def _key(context: WorkerContext) -> dict[str, str]:
    try:
        return {"Idempotency-Key": f'"{context.item_id}"'}
    except HandlerError:  # nobody counts items, and nobody hands one out again
        return {}


HTTP = HandlerKind(
    name="http",
    summary="Send each item to a service in a request of its own. It is done when the service has answered 2xx.",
    roles=frozenset({Role.CONSUMER}),
    options={
        "type": "object",
        "properties": {
            "url": {
                "type": "string",
                "minLength": 1,
                "examples": ["https://example.org/buns/${{ item.id }}"],
                "description": (
                    "Where to send it. A value within it is percent-encoded, unless it is an address by itself, which "
                    "begins with `http://` or `https://`."
                ),
            },
            "method": {
                "enum": ["POST", "PUT", "PATCH"],
                "default": "POST",
                "description": (
                    "How. Each request has an `Idempotency-Key`, the same at each attempt at an item: `worker.item_id`."
                ),
            },
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "examples": [{"Authorization": "Bearer ${{ env.TOKEN }}"}],
                "description": "Headers of the request. They go before those that it has by itself.",
            },
            "body": {
                "type": "string",
                "examples": ["${{ item.page }}"],
                "description": (
                    "What is sent. Without it, the item: bytes and text as they are, all else as JSON."
                ),
            },
            "timeout": {
                "type": "string",
                "pattern": DURATION_PATTERN,
                "title": "a duration such as 500ms, 1.5s or 2m",
                "default": "30s",
                "description": "How long to wait for a connection, and for an answer.",
            },
        },
        "required": ["url"],
        "additionalProperties": False,
    },
    example="""\
stages:
  sender:
    run: {http: {url: "https://example.org/buns", headers: {Authorization: "Bearer ${{ env.HOME }}"}}}
    from: buns
    count: 4
    retry: {attempts: 3}
""",
    build=_build,
    writes=lambda _options: Writes(),
)
