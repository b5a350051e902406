"""Whose a TCP port is: whether somebody answers there, and which process listens.

    knock ──► Peer           /proc/net/tcp* ──► sockets that listen ──► /proc/<pid>/fd ──► PortHolder

A port that answers proves that somebody listens, not that the service does: a server that was forgotten in another
terminal, or that of another leg, answers as well. What can't be read is not held against anybody.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from runner.facts import dataclass

_PROC = Path("/proc")
_CONNECT_TIMEOUT = 1.0
"""Seconds that a port may take to answer one knock."""
_LISTENS = "0A"
_FORWARDERS = frozenset(
    {"docker-proxy", "rootlessport", "rootlesskit", "conmon", "slirp4netns", "pasta", "gvproxy"}
)
"""Programs that hold a port for a container, which no child of whoever started the container does."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection that was taken."""

    address: str
    port: int
    is_here: bool
    """It is this machine: whose it is can be found out."""

    @classmethod
    def of(cls, connection: socket.socket) -> Peer:
        """Return who has taken a connection."""
        (address, port), own = connection.getpeername()[:2], connection.getsockname()[0]
        return cls(address, port, address == own or ip_address(_plain(address)).is_loopback)


@dataclass(frozen=True, slots=True)
class PortHolder:
    """A process that listens."""

    pid: int
    name: str
    port: int

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.name})"


def knock(host: str, port: int) -> Peer | None:
    """Return who takes a connection, None if nobody does; blocks for a second at most, for each address of a name."""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT) as connection:
            return Peer.of(connection)
    except (OSError, UnicodeError):  # a name that none can be
        return None


def holder_at(peer: Peer) -> PortHolder | None:
    """Return who listens on this machine where somebody has answered, as far as that can be read."""
    return next((_holder(pid, peer.port) for pid in listeners(peer)), None) if peer.is_here else None


def stranger_at(peer: Peer) -> PortHolder | None:
    """Return who has answered if that is known, and is nobody that this process has started, however long ago."""
    found = listeners(peer) if peer.is_here else []
    if not found or any(_descends(pid) or name_of(pid) in _FORWARDERS for pid in found):
        return None
    return _holder(found[0], peer.port)


def listeners(peer: Peer) -> list[int]:
    """Return the processes that listen there, as far as that can be read.

    Those that have it from another of them come last: a server is named, not what it has started.
    """
    sockets = _listening(peer)
    found = [pid for pid in _pids() if not sockets.isdisjoint(_sockets_of(pid))] if sockets else []
    return sorted(found, key=lambda pid: _parent_of(pid) in found)


def name_of(pid: int) -> str:
    """Return what a process is called; nothing if it is gone."""
    return _read(_PROC / str(pid) / "comm").strip()


def _holder(pid: int, port: int) -> PortHolder:
    return PortHolder(pid, name_of(pid), port)


def _listening(peer: Peer) -> set[str]:
    """
    Return the sockets that a connection to there comes to, as links to them read.

    One that is bound to the address itself has it before one that is bound to all; and of those, one for IPv4 alone
    before one for both.
    """
    address = ip_address(_plain(peer.address))
    wanted = [address, IPv6Address(0)]
    if isinstance(address, IPv4Address):
        wanted = [address, IPv6Address(f"::ffff:{address}"), IPv4Address(0), IPv6Address(0)]
    bound: dict[IPv4Address | IPv6Address, set[str]] = {}
    for at, inode in _bound_to(peer.port):
        bound.setdefault(at, set()).add(f"socket:[{inode}]")
    return next((bound[each] for each in wanted if each in bound), set())


def _bound_to(port: int) -> Iterator[tuple[IPv4Address | IPv6Address, str]]:
    for table in ("tcp", "tcp6"):
        for line in _read(_PROC / "net" / table).splitlines()[1:]:
            words = line.split()
            address, _, number = words[1].rpartition(":")
            if words[3] == _LISTENS and int(number, 16) == port:
                yield _address(address), words[9]


def _address(written: str) -> IPv4Address | IPv6Address:
    """Read an address of the kernel's table: words of four bytes, each in the order of this machine."""
    words = [int(written[at : at + 8], 16) for at in range(0, len(written), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _plain(address: str) -> str:
    """Return an address without its zone, and as one of IPv4 if it is one."""
    address = address.partition("%")[0]
    mapped = IPv6Address(address).ipv4_mapped if ":" in address else None
    return address if mapped is None else str(mapped)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - of thousands, for the name alone


def _sockets_of(pid: int) -> Iterator[str]:
    with suppress(OSError), os.scandir(_PROC / str(pid) / "fd") as entries:  # it is somebody else's, or gone
        for entry in entries:
            with suppress(OSError):
                yield os.readlink(entry.path)  # noqa: PTH115 - a link of /proc leads nowhere


def _descends(pid: int) -> bool:
    """Say whether a process is this one or below it: what is orphaned stays below, as this one adopts orphans."""
    while pid > 1 and pid != os.getpid():
        pid = _parent_of(pid)
    return pid == os.getpid()


def _parent_of(pid: int) -> int:
    """Return the parent; 0 if the process is gone."""
    after_name = _read(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return int(after_name[1]) if after_name else 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
