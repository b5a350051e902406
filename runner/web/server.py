"""The server: where it listens, who gets in, and how it ends.

address ──► our own socket ──► Access ──► link on stdout ──► uvicorn, until a signal
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from runner.errors import UsageError
from runner.facts import dataclass
from runner.web.access import Access, host_names, is_loopback, token_of
from runner.web.app import METRICS_PATH, create_app
from runner.web.guard import LOGIN

NICENESS = 5
"""A run comes before those who look at it."""
_BACKLOG = 64
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: a port of a host, or a socket in the file system."""

    host: str = "127.0.0.1"
    port: int = 0
    uds: Path | None = None

    @property
    def is_remote(self) -> bool:
        """Whether other machines could reach it."""
        return self.uds is None and not is_loopback(self.host)

    def listen(self) -> socket.socket:
        """Open it. Raises UsageError, which says what is in the way."""
        try:
            return _listen_in_files(self.uds) if self.uds is not None else self._listen_on_port()
        except OSError as error:
            where = f"'{self.uds}'" if self.uds is not None else f"port {self.port} of {self.host}"
            reason = error.strerror or str(error)
            if error.errno == errno.EADDRINUSE:
                reason = (
                    "something listens there already, maybe another dashboard; `--port 0` takes a free port"
                )
            raise UsageError(f"can't listen on {where}: {reason}") from error

    def _listen_on_port(self) -> socket.socket:
        family, kind, proto, _, address = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        try:
            # A page that is open holds on to the port for a while after us, and shall find us there again.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener


def _listen_in_files(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead_socket(path)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_dead_socket(path: Path) -> None:
    """Take away what a killed dashboard has left; leave alone what anybody answers at, and what is no socket."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


@dataclass(frozen=True, slots=True)
class Serving:
    """A dashboard that listens, before it serves."""

    address: ListenAddress
    listener: socket.socket
    access: Access

    @property
    def link(self) -> str:
        """What signs a browser in."""
        return f"{self._base}{LOGIN}?token={self.access.token}"

    @property
    def metrics_link(self) -> str:
        """Where a scraper finds the metrics."""
        query = "" if self.access.metrics_open else f"?token={self.access.metrics_token}"
        return f"{self._base}{METRICS_PATH}{query}"

    @property
    def _base(self) -> str:
        if self.address.uds is not None:
            return "http://localhost"
        port = self.listener.getsockname()[1]
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(
            self.address.host, self.address.host
        )
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{port}"


def open_dashboard(
    home: Path, address: ListenAddress, *, read_only: bool, metrics_open: bool = False
) -> Serving:
    """
    Listen, and say who may come in.

    Raises:
        UsageError: somebody listens there, or the home is not ours alone.
        OSError: the token can't be kept.
    """
    token = token_of(home)
    listener = address.listen()
    place = "uds" if address.uds is not None else str(listener.getsockname()[1])
    access = Access(
        token=token,
        names=host_names(address.host, is_remote=address.is_remote),
        place=place,
        takes_addresses=address.is_remote,
        read_only=read_only,
        metrics_open=metrics_open,
    )
    return Serving(address, listener, access)


class _Server(uvicorn.Server):
    """Notes which signal has ended it: uvicorn would send that to us once more at the end."""

    ended_by = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def end(number: int, frame: FrameType | None) -> None:
            self.ended_by = number
            self.handle_exit(number, frame)

        before = {each: signal.signal(each, end) for each in _ENDING}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def serve_dashboard(home: Path, serving: Serving, told: Callable[[str], None]) -> int:
    """Serve until a signal ends it; return its number. `told` is given the link, which works from then on."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    config = uvicorn.Config(
        create_app(home, serving.access),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
    )
    server = _Server(config)
    try:
        told(serving.link)  # who comes at once waits in the backlog
        server.run([serving.listener])
    finally:
        serving.listener.close()
        if serving.address.uds is not None:
            serving.address.uds.unlink(missing_ok=True)
    return server.ended_by
