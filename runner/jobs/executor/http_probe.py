"""One GET, to find out whether something is ready: no more than the first line of the answer is read.

    HttpProbe(url, until, is_cut_short).get() ──► HttpAnswer: who has answered, and what is wrong with the answer, if so

It takes a few seconds at most, whatever the other end does, and looks up from waiting several times a second. No
redirect is followed, as it may lead to anybody. Certificates are not looked at: those of servers that one has started
for a test are signed by nobody.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from runner.facts import dataclass
from runner.jobs.executor.ports import Peer

_AT_MOST = 5.0
"""Seconds for one look."""
_CONNECT_TIMEOUT = 1.0
_LOOK_UP = 0.2
"""Seconds after which it is asked whether there is any use in waiting on."""
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})(?!\d)")
_LONGEST_LINE = 4096
_GOOD = range(200, 400)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came of one look."""

    problem: str = ""
    """What is wrong with it, as the end of a sentence that begins with the URL; empty if it is good."""
    peer: Peer | None = None
    """Who has answered."""


class HttpProbe:
    """Looks once."""

    def __init__(self, url: str, until: float, is_cut_short: Callable[[], bool]) -> None:
        """It is given up at `until`, by `time.monotonic`, or when it `is_cut_short`."""
        self._url = url
        self._until = min(until, time.monotonic() + _AT_MOST)
        self._is_cut_short = is_cut_short

    def get(self) -> HttpAnswer:
        """Say what the answer is."""
        address = url_address(self._url)
        if address is None:
            return HttpAnswer("is no URL that can be asked")
        try:
            with socket.create_connection(address, timeout=_CONNECT_TIMEOUT) as connection:
                peer = Peer.of(connection)
                with _secured(connection, self._url) as stream:
                    stream.settimeout(_LOOK_UP)
                    stream.sendall(_request(urlsplit(self._url)))
                    return HttpAnswer(_judge(self._first_line(stream)), peer)
        except TimeoutError:
            return HttpAnswer("was not answered in time")
        except (OSError, UnicodeError) as error:
            return HttpAnswer(f"was not answered: {getattr(error, 'strerror', None) or error}")

    def _first_line(self, stream: socket.socket) -> bytes:
        read = b""
        while b"\n" not in read and len(read) < _LONGEST_LINE:
            if time.monotonic() >= self._until or self._is_cut_short():
                raise TimeoutError
            try:
                chunk = stream.recv(_LONGEST_LINE)
            except TimeoutError:
                continue
            if not chunk:
                break
            read += chunk
        return read


def url_address(url: str) -> tuple[str, int] | None:
    """Return the host and the port of a URL; None where it is not one that can be asked."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        return None
    return parts.hostname, port or _PORTS[parts.scheme]


def _secured(connection: socket.socket, url: str) -> socket.socket:
    if not url.lower().startswith("https:"):
        return connection
    import ssl  # slow to import

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=urlsplit(url).hostname)


def _request(parts: SplitResult) -> bytes:
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    host = parts.netloc.rpartition("@")[2]
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: mprun", "Accept: */*", "Connection: close"]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("utf-8")


def _judge(line: bytes) -> str:
    status = _STATUS.match(line)
    if status is None:
        return "was not answered as HTTP is"
    return "" if int(status[1]) in _GOOD else f"was answered with {int(status[1])}"
