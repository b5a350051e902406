"""Tells metrics while a run goes on: to whoever asks over HTTP, and in a file. Lives in the observer process.

events ──► RunState ──┬── GET /metrics ──► exposition      a thread for each request
                      └── each second ──► FILE.prom, by rename, and once more at the end
"""

from __future__ import annotations

import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from runner.events.base import Event
from runner.telemetry.destination import MetricsTargets, TelemetryLost
from runner.telemetry.prometheus import exposition
from runner.text import write_atomically
from runner.watch.state import RunState

PATH: Final = "/metrics"
_EVERY: Final = 1.0
"""Seconds between two writes of a file, at the least."""
_SHARE: Final = 50
"""Times that writing took, at the least, until it is written again."""
_PATIENCE: Final = 10.0
"""Seconds for somebody who has connected to say what he wants."""


class MetricsObserver:
    """Follows a run, and tells how it stands."""

    def __init__(self, targets: MetricsTargets) -> None:
        """Begin to answer; the sockets are owned from now on."""
        self._state = RunState()
        self._lock = threading.Lock()
        """Held while the state changes, and while somebody reads it."""
        self._files = [_MetricsFile(path) for path in targets.files]
        self._next, self._is_fresh = 0.0, False
        for listener in targets.listeners:
            _Server(socket.socket(fileno=listener), self._exposition)

    def observe(self, event: Event) -> None:
        """Take note of one event. May be called by another thread than the rest."""
        with self._lock:
            self._state.observe(event)
        self._is_fresh = True

    def tick(self) -> float | None:
        """Write the files, if that is due; return the seconds until it is."""
        if not self._files or not self._is_fresh:
            return None
        if (left := self._next - time.monotonic()) > 0:
            return left
        self._write()
        return None

    def close(self) -> None:
        """Write the files a last time. Who asks is answered as long as the process lives.

        Raises:
            TelemetryLost: a file is not what it ought to be.
        """
        self._write()
        for file in self._files:
            if file.trouble is not None:
                raise TelemetryLost(f"the metrics in '{file.path}' are not those of the end: {file.trouble}")

    def _write(self) -> None:
        if not self._files:
            return
        begun, self._is_fresh = time.monotonic(), False
        _, text = self._exposition(None)
        for file in self._files:
            file.write(text)
        now = time.monotonic()
        self._next = now + max(_EVERY, _SHARE * (now - begun))

    def _exposition(self, accept: str | None) -> tuple[str, bytes]:
        with self._lock:
            return exposition([self._state], accept)


class _MetricsFile:
    """A file that is whole whenever it is read. A write that fails is tried again at the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble: str | None = None

    def write(self, text: bytes) -> None:
        try:
            write_atomically(self.path, text)
            self.trouble = None
        except OSError as error:
            self.trouble = error.strerror or str(error)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, exposition: Any) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.exposition = listener, exposition
        threading.Thread(target=self.serve_forever, daemon=True, name="metrics").start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks and goes away, or says nothing, is no trouble of the run."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, content_type = HTTPStatus.OK, "text/plain; charset=utf-8"
        match self.path.partition("?")[0]:
            case "/metrics":
                content_type, body = self.server.exposition(self.headers.get("Accept"))
            case _:
                status, body = HTTPStatus.NOT_FOUND, f"metrics are at {PATH}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def version_string(self) -> str:
        """Say no more of what answers than has to be known."""
        return "mprun"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log is the run's."""
