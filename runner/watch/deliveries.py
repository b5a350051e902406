"""Telling somebody: a program is run, or a URL is sent a POST; to a bound, and what goes wrong is said in a line.

facts ──► Deliveries.begin ──► a thread each ──► program: environment, JSON on stdin · URL: JSON by POST
                                   └── 10 s ──► the program's whole group is ended ──► "did not end within 10s"
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from runner.exit_status import describe_status
from runner.spec.notify import DELIVERY_TIMEOUT, NotifySpec
from runner.text import cut_middle, visible
from runner.units import format_duration
from runner.watch.notifications import environment

_MOST_OUTPUT = 2048
_LONGEST_NAME = 60
_CHUNK = 64 * 1024
_AFTER_KILL = 1.0
_MOVED = frozenset({301, 302, 303, 307, 308})
_OF_URLS = "%!#$&'()*+,/:;=?@[]~"
"""Characters that stay as they are in a URL; what is not ASCII is escaped, as browsers do."""


class Deliveries:
    """Those that are under way, and what went wrong with those that are over: one line for each who was to be told."""

    def __init__(self, timeout: float = DELIVERY_TIMEOUT) -> None:
        self._timeout = timeout
        self._threads: list[tuple[int, str, threading.Thread]] = []
        self._programs: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._is_over = False
        self._deadline = 0.0
        self._troubles: dict[int, str] = {}

    def begin(self, place: int, entry: NotifySpec, facts: Mapping[str, Any]) -> None:
        """Tell one of the list, beside whatever the caller does next."""
        self._deadline = time.monotonic() + self._timeout
        thread = threading.Thread(target=self._deliver, args=(place, entry, facts), daemon=True)
        self._threads.append((place, _name_of(entry), thread))
        thread.start()

    def finish(self) -> list[str]:
        """Wait for all, to the bound of the last; return what went wrong."""
        for place, name, thread in self._threads:
            thread.join(max(self._deadline - time.monotonic(), 0.0) + _AFTER_KILL)
            if thread.is_alive():  # as where an answer comes a byte at a time, or a name is not resolved
                self._troubles.setdefault(place, f"notify: {name} {_late()}")
        self.end()
        return [self._troubles[place] for place in sorted(self._troubles)]

    def end(self) -> None:
        """End what is under way."""
        with self._lock:
            self._is_over = True
            programs = tuple(self._programs)
        for program in programs:
            _end_group(program)

    def _deliver(self, place: int, entry: NotifySpec, facts: Mapping[str, Any]) -> None:
        name = _name_of(entry)
        try:
            payload = json.dumps(facts, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
            trouble = (
                self._run(entry.run, payload, facts) if entry.run else self._post(str(entry.http), payload)
            )
        except Exception as error:  # whatever it is, the run has nothing to do with it
            trouble = _describe(error)
        if trouble is not None:
            self._troubles.setdefault(place, f"notify: {name} {trouble}")

    def _run(self, argv: tuple[str, ...], payload: bytes, facts: Mapping[str, Any]) -> str | None:
        with tempfile.TemporaryFile() as given:
            given.write(payload)
            given.seek(0)
            try:
                program = subprocess.Popen(
                    argv,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment(facts)},
                    start_new_session=True,
                )
            except OSError as error:
                return f"could not be run: {error.strerror}"
            with self._lock:
                self._programs.add(program)
                is_too_late = self._is_over
            if is_too_late:
                _end_group(program)
            with _Tail(program.stdout) as said:
                try:
                    return self._wait(program, said)
                finally:
                    _end_group(program)
                    self._programs.discard(program)

    def _wait(self, program: subprocess.Popen[bytes], said: _Tail) -> str | None:
        try:
            code = program.wait(self._timeout)
        except subprocess.TimeoutExpired:
            _end_group(program)
            program.wait(_AFTER_KILL)
            return f"did not end within {format_duration(self._timeout)}, and was ended"
        if code == 0:
            return None
        _end_group(program)
        lines = said.text().strip().splitlines()
        return describe_status(code) + (f": {visible(lines[-1].strip())}" if lines else "")

    def _post(self, url: str, payload: bytes) -> str | None:
        from urllib.error import HTTPError
        from urllib.request import (
            HTTPRedirectHandler,
            Request,
            build_opener,
        )  # ssl and all: for those with a URL

        class Refusing(HTTPRedirectHandler):
            """Follows nobody elsewhere: the facts would not get there by GET, and a password is not for others."""

            def redirect_request(self, *_: Any) -> None:
                return None

        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        headers = {"Content-Type": "application/json", "User-Agent": "mprun"}
        if user:
            headers["Authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"
            url = parts._replace(netloc=host).geturl()
        request = Request(quote(url, safe=_OF_URLS), payload, headers, method="POST")
        try:
            with build_opener(Refusing).open(request, timeout=self._timeout) as answer:
                answer.read(1)
        except HTTPError as error:
            moved = ", which is elsewhere: name the URL where it is" if error.code in _MOVED else ""
            return f"answered {error.code}{moved}"
        return None


class _Tail:
    """The end of what a program says, read as it comes: however much that is, no more is kept."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> _Tail:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(_AFTER_KILL)
        if not self._thread.is_alive():  # else somebody has it still who has left the group
            self._stream.close()

    def text(self) -> str:
        """What was said last, once the program has ended and with it whoever else could say something."""
        self._thread.join(_AFTER_KILL)
        return self._kept.decode("utf-8", "replace")

    def _read(self) -> None:
        while chunk := os.read(self._stream.fileno(), _CHUNK):
            self._kept = (self._kept + chunk)[-_MOST_OUTPUT:]


def _late() -> str:
    return f"did not answer within {format_duration(DELIVERY_TIMEOUT)}"


def _end_group(program: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)


def _name_of(entry: NotifySpec) -> str:
    """Name one in a message; of a URL no more than its host, since the rest may be a secret."""
    if entry.run:
        return f"'{visible(cut_middle(' '.join(entry.run), _LONGEST_NAME))}'"
    parts = urlsplit(str(entry.http))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _describe(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return _late()
    return f"could not be reached: {visible(getattr(cause, 'strerror', None) or str(cause) or type(cause).__name__)}"
