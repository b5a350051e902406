"""The kind `serve`: a TCP server whose connections are shared by the workers of a plain stage.

def talk(conn, address)       called once for a connection, with its socket, until it returns
def answer(line)              called with each line that a client sends; what it returns is sent back
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runner.errors import HandlerError
from runner.handlers.base import (
    LISTENER,
    Address,
    Calls,
    Handler,
    HandlerKind,
    Mapper,
    Task,
    WorkerContext,
    nothing_to_close,
)
from runner.handlers.python import bind, bind_partly, parameters_of
from runner.handlers.serving import Converse, Server
from runner.spec import Role
from runner.units import DURATION_PATTERN, duration

CONVERSATION = ("conn", "address")
"""The parameters by which a handler asks for whole conversations. It may leave out `address`."""

_LONGEST_LINE = 1 << 20
_HANDLER_PATTERN = r"^[^\s:]+:[^\s:]+$"
_USUAL: Mapping[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "backlog": 1024,
    "connections": 256,
    "idle_timeout": 30,
}


def build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    """Build the handler of one worker. Its socket is a gift, since all workers of the stage share it."""
    listener = context.gifts[LISTENER].unwrap()
    assert isinstance(listener, socket.socket)
    chosen = {**_USUAL, **options}
    converse, close_handler = _converse(chosen["handler"], context)
    idle = duration(chosen["idle_timeout"])
    server = Server(listener, converse, chosen["connections"], idle, context.log)

    def close() -> None:
        server.close()
        close_handler()

    return Task(server.run, close)


def _converse(target: str, context: WorkerContext) -> tuple[Converse, Callable[[], None]]:
    """Return what talks with one client, and what to call once there are no more."""
    asked = parameters_of(target, context).intersection(CONVERSATION)
    arguments = context.arguments or {}
    if not asked:
        handler = bind(target, arguments, replace(context, role=Role.CONSUMER))
        if not isinstance(handler, Mapper):
            raise HandlerError(f"'{target}' asks for a queue, and a server has none")
        return by_line(handler.call), handler.close
    talk = bind_partly(target, arguments, context, CONVERSATION)

    def converse(conn: socket.socket, address: Any) -> object:
        given = {"conn": conn, "address": address}
        return talk(**{name: given[name] for name in asked})

    return converse, nothing_to_close


def by_line(answer: Callable[[object], object]) -> Converse:
    """Return what calls `answer` with each line that comes, its end included, and sends what it returns, bytes or None.

    The connection of a client that sends no line's end for 1 MiB is given up, with a ValueError.
    """

    def converse(conn: socket.socket, _address: Any) -> None:
        with conn.makefile("rb") as lines:
            while line := lines.readline(_LONGEST_LINE):
                if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                    raise ValueError(f"a client sent a line of more than {_LONGEST_LINE >> 20} MiB")
                reply = answer(line)
                if reply is None:
                    continue
                if not isinstance(reply, bytes | bytearray | memoryview):
                    raise TypeError(f"what is sent back has to be bytes, or None; got {type(reply).__name__}")
                conn.sendall(reply)

    return converse


def _address(options: Mapping[str, Any]) -> Address:
    chosen = {**_USUAL, **options}
    return Address(chosen["host"], int(chosen["port"]), int(chosen["backlog"]))


SERVE = HandlerKind(
    name="serve",
    summary="Serve TCP connections on one port, shared by the stage's workers, until the run is stopped.",
    roles=frozenset({Role.PLAIN}),
    options={
        "type": "object",
        "properties": {
            "handler": {
                "type": "string",
                "pattern": _HANDLER_PATTERN,
                "title": "`module:callable`",
                "description": (
                    "What answers, a Python callable looked up as in `run`, with the stage's `with`. If it has a "
                    "parameter `conn` it is called once for a connection, with its socket, and `address` if it asks; "
                    "the socket is closed when it returns. Else it is called with each line that a client sends, as "
                    "bytes, and what it returns is sent back. One worker calls it from several threads."
                ),
                "examples": ["echo_server:talk"],
            },
            "host": {
                "type": "string",
                "minLength": 1,
                "default": _USUAL["host"],
                "description": "The address to listen on; `0.0.0.0` is every one that this machine has.",
            },
            "port": {
                "type": "integer",
                "minimum": 0,
                "maximum": 65535,
                "default": _USUAL["port"],
                "description": "The port; 0 is any that is free, and the event `server.listening` says which.",
            },
            "connections": {
                "type": "integer",
                "minimum": 1,
                "maximum": 10_000,
                "default": _USUAL["connections"],
                "description": "How many one worker serves at once, each in a thread. More wait for their turn.",
            },
            "backlog": {
                "type": "integer",
                "minimum": 1,
                "maximum": 65535,
                "default": _USUAL["backlog"],
                "description": "How many may wait to be accepted; the system may allow less (net.core.somaxconn).",
            },
            "idle_timeout": {
                "type": ["string", "number"],
                "pattern": DURATION_PATTERN,
                "exclusiveMinimum": 0,
                "maximum": 10**9,
                "title": "a duration such as 300ms, 1.5s, 2m or 1h30m, or a number of seconds",
                "default": _USUAL["idle_timeout"],
                "description": "How long a client may send nothing, or take nothing, before it is hung up on.",
            },
        },
        "required": ["handler"],
        "additionalProperties": False,
    },
    example="""\
stages:
  server:
    run: {serve: {handler: "echo_server:talk", port: 8080}}
    count: 4
""",
    build=build,
    listens=_address,
    calls=Calls("handler", CONVERSATION),
)
