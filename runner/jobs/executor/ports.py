"""Whose a TCP port is: whether somebody answers there, and which process listens.

    knock ──► answers        /proc/net/tcp* ──► sockets that listen ──► /proc/<pid>/fd ──► who holds them

A port that answers proves that somebody listens, not that the service does: a server that was forgotten in another
terminal, or that of another leg, answers as well. What can't be read is not held against anybody.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_CONNECT_TIMEOUT = 1.0
"""Seconds that a port may take to answer one knock."""
_LISTENS = "0A"
_FORWARDERS = frozenset(
    {"docker-proxy", "rootlessport", "rootlesskit", "conmon", "slirp4netns", "pasta", "gvproxy"}
)
"""Programs that hold a port for a container, which no child of whoever started the container does."""


def answers(host: str, port: int) -> bool:
    """Say whether a connection is taken; blocks for a second at most."""
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT).close()
    except OSError:
        return False
    return True


def listeners(port: int) -> list[int]:
    """Return the processes that listen on a port of this machine, as far as that can be read.

    Those that have it from another of them come last: a server is named, not what it has started.
    """
    sockets = set(_listening(port))
    found = [pid for pid in _pids() if not sockets.isdisjoint(_sockets_of(pid))] if sockets else []
    return sorted(found, key=lambda pid: _parent_of(pid) in found)


def stranger(port: int) -> int | None:
    """Return who listens on a port if that is known, and is nobody that this process has started, however long ago."""
    found = listeners(port)
    if any(_descends(pid) or name_of(pid) in _FORWARDERS for pid in found):
        return None
    return found[0] if found else None


def name_of(pid: int) -> str:
    """Return what a process is called; nothing if it is gone."""
    return _read(_PROC / str(pid) / "comm").strip()


def _listening(port: int) -> Iterator[str]:
    """Yield the sockets that listen on a port, as links to them read."""
    for table in ("tcp", "tcp6"):
        for line in _read(_PROC / "net" / table).splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{words[9]}]"


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
