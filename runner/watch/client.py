"""Watches one run: the state of it, kept up to date, from wherever it can be had.

    RunWatch(folder) ──► watch.sock ──► hello, then events ──► state, wait
                            │ nobody there, or gone  ▲
                            └──► the record, read again now and then

Each wait is bounded. That the runner was killed its lock tells at once; that the process is gone which told of the run,
while the run goes on, is said, and the record is read instead.
"""

from __future__ import annotations

import select
import socket
import time
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from runner.errors import UsageError
from runner.events.base import Event
from runner.events.catalogue import event_of
from runner.record.history import LATEST, find_run, runs_in
from runner.record.reader import RecordDamaged
from runner.store.discovery import is_alive, running_folders
from runner.store.run_folder import RunFolder, home, join_ids, matching, only_match
from runner.store.run_socket import WATCH_SOCKET, connect_to
from runner.watch.hello import NoHello, is_hello, read_hello
from runner.watch.recorded import recorded_state
from runner.watch.state import RunState

READ_AGAIN: Final = 1.0
"""Seconds between two looks at the record of a run that goes on."""
_FIRST_WORD_SECONDS: Final = 10.0
"""Of a run that has just begun there is neither a socket nor a record yet: so long it is given on a busy machine."""
_LOOK_SECONDS: Final = 0.05
_CONNECT_SECONDS: Final = 1.0
_HELLO_SECONDS: Final = 5.0
_CHUNK: Final = 256 * 1024


class WatchSource(StrEnum):
    """Where what is known comes from."""

    LIVE = "live"
    """The run tells it, as it happens."""
    RECORD = "record"
    """It was written, a second ago or earlier."""


class RunWatch:
    """One run that is watched. `state` is replaced where events were missed, so it is to be asked for each time."""

    def __init__(self, run_folder: RunFolder, line: socket.socket | None = None) -> None:
        """
        Begin to watch: with the run itself, over a `line` to it if there is one, or else with its record. One that has
        just begun is waited for until it has either.

        Raises:
            RecordDamaged: there is neither.
        """
        self.run_folder = run_folder
        self.source = WatchSource.LIVE
        self.trouble = ""
        """Why it is not live, where it might be."""
        self.missed = 0
        """Events that were not handed out one by one; `state` has them."""
        self._line = line
        self._rest = b""
        self._next_look = 0.0
        self._may_tell = True
        deadline = time.monotonic() + _FIRST_WORD_SECONDS
        while not self._begin():
            if time.monotonic() > deadline or not self._runner_is_there():
                self.state = recorded_state(run_folder)
                break
            time.sleep(_LOOK_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Watch no longer. May be called twice."""
        if self._line is not None:
            self._line.close()
            self._line = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more of the run is to come: it has ended, or was killed."""
        return self.state.phase.is_over

    def fileno(self) -> int:
        """What can be read once there is something new; -1 where only `wait` finds out."""
        return -1 if self._line is None else self._line.fileno()

    def _begin(self) -> bool:
        """Take what is known of it from whoever tells; False where there is nothing yet."""
        if self._connect():
            return True
        try:
            self.state = recorded_state(self.run_folder)
        except RecordDamaged:
            return False
        return True

    def _connect(self) -> bool:
        """Have the run itself tell, if there is somebody who does."""
        try:
            self._line = self._line or connect_to(self.run_folder.path, WATCH_SOCKET, _CONNECT_SECONDS)
            self.state = self._hello()
        except (OSError, NoHello) as error:
            is_nobody = isinstance(error, FileNotFoundError | ConnectionRefusedError)
            self._may_tell = is_nobody
            self.trouble = "" if is_nobody else str(error)
            self.close()
            self._rest = b""
            self.source = WatchSource.RECORD
            self._next_look = time.monotonic() + READ_AGAIN
            return False
        self.source = WatchSource.LIVE
        return True

    def wait(self, seconds: float) -> list[Event]:
        """Wait for something new, so long at the most, and take it into `state`; return the events that have come."""
        if self.is_over:
            return []
        if self._line is None:
            self._look_again(seconds)
            return []
        if not _is_readable(self._line, seconds):
            return []
        chunk = _receive(self._line)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        try:
            events = self._take(lines)
        except (NoHello, LookupError, TypeError, ValueError) as error:
            chunk, events, self.trouble = b"", [], f"what the run says can't be read: {error}"
        if not chunk and not self.is_over:
            self._lose()
        return events

    def _take(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if is_hello(line):
                self.state, missed = read_hello(line)
                self.missed += missed
            else:
                events.append(event_of(line))
                self.state.observe(events[-1])
        return events

    def _hello(self) -> RunState:
        deadline = time.monotonic() + _HELLO_SECONDS
        assert self._line is not None
        while b"\n" not in self._rest:
            if not _is_readable(self._line, deadline - time.monotonic()):
                raise NoHello("the process that tells of it does not answer")
            if not (chunk := _receive(self._line)):
                raise NoHello("the process that tells of it is gone")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        state, _ = read_hello(line)
        return state

    def _lose(self) -> None:
        """The line has ended, and nobody has told of an end of the run."""
        self.close()
        self.source, self._may_tell = WatchSource.RECORD, False
        if self._runner_is_there():
            self.trouble = self.trouble or "the process that tells of it is gone"
        self._read_record()

    def _runner_is_there(self) -> bool:
        facts = self.run_folder.facts()
        return facts is not None and is_alive(self.run_folder, facts)

    def _read_record(self) -> None:
        """Take what is written, where something is; a runner that is gone without an end there was killed."""
        is_there = self._runner_is_there()
        try:
            self.state = recorded_state(self.run_folder)
        except RecordDamaged as error:
            self.trouble = str(error)
        if not is_there and not self.is_over:
            self.state.was_killed()
        self._next_look = time.monotonic() + READ_AGAIN

    def _look_again(self, seconds: float) -> None:
        left = self._next_look - time.monotonic()
        time.sleep(max(min(left, seconds), 0.0))
        if left <= seconds and not (self._may_tell and self._connect()):
            self._read_record()


def _is_readable(line: socket.socket, seconds: float) -> bool:
    return bool(select.select([line], [], [], max(seconds, 0.0))[0])


def _receive(line: socket.socket) -> bytes:
    try:
        return line.recv(_CHUNK)
    except OSError:  # reset: it was killed with words unread
        return b""


def find_watchable(word: str | None, where: Path | None = None) -> RunFolder:
    """
    Return the folder of the run that a word means, of those under way before those of the past; without one the only
    one under way.

    It is the beginning of an id, the name of a workflow, whose last run is meant, or `latest`.

    Raises:
        UsageError: it means none, or several.
    """
    place = where or home()
    running = running_folders(place)
    if word is None:
        if not running:
            raise UsageError("no run is under way here; name one of the past: `mprun history` lists them")
        if len(running) > 1:
            raise UsageError(f"several runs are under way: {join_ids(running)}; name one by its id")
        return running[0]
    if word == LATEST and running:
        return running[-1]
    if found := matching(word, running):
        return only_match(word, found, "runs under way")
    return RunFolder(find_run(word, runs_in(place)).id, place)
