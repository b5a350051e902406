"""Where metrics go, as `--metrics` says it: an address that is listened on, or a file that is written anew.

127.0.0.1:9464 ──► MetricsAddress ──► listen ──► a socket, before anything runs
run.prom       ──► MetricsFile    ──► require_writable
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import re
import socket
from pathlib import Path

from runner.errors import UsageError
from runner.facts import dataclass

SUFFIX = ".prom"
_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^:\[\]/]*)):(?P<port>[0-9]+)")
_IN_URL = re.compile(r"(?:https?://)?(?P<address>(?:\[[0-9a-f:]+\]|[^:\[\]/]+):[0-9]+)(?:/.*)?")
_EXPECTED = (
    f"expected an address such as 127.0.0.1:9464 or [::1]:9464, or a file whose name ends in {SUFFIX}, got "
)
_MOST_PORT = 65535


@dataclass(frozen=True, slots=True)
class MetricsAddress:
    """Listen here, and tell whoever asks."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MetricsFile:
    """Write them to this file, as node_exporter's textfile collector reads it."""

    path: Path


class TelemetryLost(Exception):
    """Somebody does not get all that was to be told of the run, which is none the worse for it."""


@dataclass(frozen=True, slots=True)
class MetricsTargets:
    """Where the metrics of a run go: sockets that listen, by their descriptors, and files."""

    listeners: tuple[int, ...] = ()
    files: tuple[Path, ...] = ()


def parse_destination(text: str) -> MetricsAddress | MetricsFile:
    """Read one value of `--metrics`. Raises UsageError."""
    if text.endswith(SUFFIX):
        return MetricsFile(Path(text))
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise UsageError(f"--metrics: {_EXPECTED}'{text}'{_nearest(text)}")
    host = found["v6"] if found["v6"] is not None else found["host"]
    if not host:
        raise UsageError(
            f"--metrics: '{text}' does not say where to listen: 127.0.0.1:{found['port']} is for this machine alone, "
            f"0.0.0.0:{found['port']} for whoever reaches it"
        )
    if int(found["port"]) > _MOST_PORT:
        raise UsageError(f"--metrics: expected a port of at most {_MOST_PORT}, got {found['port']}")
    return MetricsAddress(host, int(found["port"]))


def _nearest(text: str) -> str:
    if text.isdecimal() and int(text) <= _MOST_PORT:
        return f": did you mean 127.0.0.1:{text}?"
    if found := _IN_URL.fullmatch(text):
        return f": did you mean {found['address']}?"
    if text.count(":") > 1 and "[" not in text and (bare := text.rpartition(":"))[2].isdecimal():
        return f": an address of IPv6 stands in brackets, as in [{bare[0]}]:{bare[2]}"
    if ":" not in text and ("/" in text or Path(text).suffix.strip(".0123456789")):
        return (
            f": no collector reads a file of another name; did you mean '{Path(text).with_suffix(SUFFIX)}'?"
        )
    return ""


def listen(address: MetricsAddress) -> socket.socket:
    """Return a socket that listens there, and whose number is above those of the standard streams.

    Raises:
        UsageError: nobody can listen there, or somebody does already.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.create_server(where[:2], family=family)
    except OSError as error:
        raise UsageError(f"--metrics: can't listen on {address}: {_why(error)}") from error
    with made:
        return socket.socket(fileno=fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, 3))


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no host of this name"
    match error.errno:
        case errno.EADDRINUSE:
            return "another process does already; choose another port, or 0 for one that is free"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case errno.EACCES:
            return "ports below 1024 are for the administrator"
        case _:
            return error.strerror or str(error)


def bound_address(listener: socket.socket) -> MetricsAddress:
    """Return where a socket listens."""
    host, port = listener.getsockname()[:2]
    return MetricsAddress(host, port)


def is_open_to_others(address: MetricsAddress) -> bool:
    """Say whether other machines may reach it. It is an address by now, no name."""
    return not ipaddress.ip_address(address.host.partition("%")[0]).is_loopback


def require_writable(file: MetricsFile) -> None:
    """Find out before anything starts that the file can't be written. Raises UsageError."""
    path = file.path
    why = ""
    if path.is_dir():
        why = os.strerror(errno.EISDIR)
    elif not path.parent.exists():
        why = os.strerror(errno.ENOENT)
    elif not path.parent.is_dir():
        why = os.strerror(errno.ENOTDIR)
    elif not os.access(path.parent, os.W_OK | os.X_OK):  # it is put there by its name, whole
        why = f"{os.strerror(errno.EACCES)}: its folder has to be writable"
    if why:
        raise UsageError(f"--metrics: '{path}' can't be written: {why}")
