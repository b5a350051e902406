"""Lines that come over a connection: the producer's side of the kind `tcp`.

connect ──► bytes, as they come ──► whole lines ──► "GET /"        until the other side closes, or the run is stopped
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import (
    Handler,
    HandlerKind,
    Malformed,
    Source,
    WorkerContext,
    host_and_port,
)
from runner.handlers.sources.counting import wait_until
from runner.handlers.sources.inputs import Range
from runner.handlers.sources.lines import (
    ENCODING_OPTION,
    check_encoding,
    cuts_lines,
    decode,
    in_blocks,
    line_text,
)
from runner.handlers.sources.reading import LONGEST_LINE, Block, LineNumbers
from runner.spec.model import Role
from runner.spec.plan import InputFile
from runner.units import DURATION_PATTERN, backoff, duration, format_size

_CHUNK = 1 << 16
_LOOK = 0.1
"""Seconds between two looks whether the worker is to end."""


class TcpLines:
    """Reads the lines that a server sends."""

    def __init__(self, options: Mapping[str, Any], context: WorkerContext) -> None:
        self._host, self._port = options["host"], options["port"]
        self._encoding = options.get("encoding", "utf-8")
        self._attempts: int = options.get("attempts", 4)
        self._timeout = duration(options.get("timeout", "10s"))
        self._idle = duration(options["idle_timeout"]) if "idle_timeout" in options else None
        self._context = context
        self._lines = 0
        """Lines that have come so far."""
        self._name = f"tcp://{host_and_port(self._host, self._port)}"

    def items(self) -> Iterator[object]:
        """Yield each line; the last is whole where the other side has closed in order."""
        connection = self._connect()
        if connection is None:
            return
        with connection:
            connection.settimeout(_LOOK)
            part = Range(InputFile(self._name, None))
            numbers = LineNumbers(part, later=False)
            for data in self._whole_lines(connection):
                block = Block(part, 1, data, numbers)
                for each in decode(block, self._encoding):
                    if isinstance(each, Malformed):
                        yield each
                    else:
                        yield from in_blocks(each[0], data)
                numbers.passed(data)

    def _connect(self) -> socket.socket | None:
        for attempt in range(1, self._attempts + 1):
            try:
                return socket.create_connection((self._host, self._port), self._timeout)
            except OSError as error:
                if attempt == self._attempts:
                    times = f", {attempt} times" if attempt > 1 else ""
                    raise HandlerError(
                        f"{self._name}: no connection: {error.strerror or error}{times}"
                    ) from error
                if not wait_until(time.monotonic() + backoff(0.2, attempt, 5.0), self._context):
                    return None
        raise AssertionError("there is at least one attempt")

    def _whole_lines(self, connection: socket.socket) -> Iterator[bytes]:
        parts: list[bytes] = []
        for data in self._received(connection):
            end = data.rfind(b"\n") + 1
            if end:
                yield b"".join((*parts, data[:end]))
                self._lines += data.count(b"\n")
                parts = []
            if data[end:]:
                parts.append(data[end:])
            if sum(map(len, parts)) > LONGEST_LINE:
                raise HandlerError(
                    f"{self._name}:{self._lines + 1}: a line is longer than {format_size(LONGEST_LINE)}"
                )
        if parts:
            yield b"".join(parts)

    def _received(self, connection: socket.socket) -> Iterator[bytes]:
        heard = time.monotonic()
        while not self._context.stopping():
            try:
                data = connection.recv(_CHUNK)
            except TimeoutError:
                if self._idle is not None and time.monotonic() - heard > self._idle:
                    raise HandlerError(
                        f"{self._name}: nothing came for too long, behind line {self._lines:,}"
                    ) from None
                continue
            except OSError as error:
                why = error.strerror or str(error)
                raise HandlerError(
                    f"{self._name}: the connection broke behind line {self._lines:,}: {why}"
                ) from error
            if not data:
                return
            heard = time.monotonic()
            yield data


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    encoding = options.get("encoding", "utf-8")
    check_encoding(encoding)
    if not cuts_lines(encoding):
        raise HandlerError(f"`tcp` can't read lines of {encoding}")
    return Source(TcpLines(options, context).items)


TCP = HandlerKind(
    name="tcp",
    summary=(
        "Make an item of each line that comes over a TCP connection, until the other side closes it. What was on its "
        "way to a worker that is killed is lost with it, so the run then fails."
    ),
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "host": {"type": "string", "minLength": 1, "description": "Whom to connect to."},
            "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "At which port."},
            "encoding": ENCODING_OPTION,
            "timeout": {
                "type": "string",
                "pattern": DURATION_PATTERN,
                "title": "a duration such as 500ms, 1.5s or 2m",
                "default": "10s",
                "description": "How long a connection may take to come about.",
            },
            "attempts": {
                "type": "integer",
                "minimum": 1,
                "default": 4,
                "description": "How often to try to connect, later and later, before the run fails.",
            },
            "idle_timeout": {
                "type": "string",
                "pattern": DURATION_PATTERN,
                "title": "a duration such as 500ms, 1.5s or 2m",
                "description": "How long nothing may come before the run fails. Without it, no bound.",
            },
        },
        "required": ["host", "port"],
        "additionalProperties": False,
    },
    example="""\
stages:
  feed:
    run: {tcp: {host: 127.0.0.1, port: 9000}}
    to: lines
""",
    build=_build,
    unshared=lambda _options: "each would have a connection of its own, and get all lines",
    live=True,
    rejects=True,
    remake=line_text,
)
