"""The recorder, from its own side: the child that keeps the record of a run.

    supervisor ── lines ──► serve ──► RunFold ──► RunWriter ──► run.db
                               └──► what went wrong, once, at the end

A short run is over before anything is written: to import sqlite3 and to make a database takes as long as a tenth of it,
which the supervisor then has for its tables. Of a run that is killed meanwhile all that was said is still written.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from runner.errors import ExitCode
from runner.events.run import RunOutcome
from runner.facts import dataclass
from runner.ipc.descriptors import stand_apart
from runner.ipc.upstream import Upstream
from runner.record.fold import RunFold
from runner.store.run_lock import WriterHold, write_ended

if TYPE_CHECKING:
    from runner.record.cut_writer import CutWriter, ReceivedCut
    from runner.record.writer import RunWriter

OPEN_AFTER = 0.2
"""Seconds from the first event until the database is made."""
JOB_COMMIT = 0.02
"""Seconds that what became of a job may wait to be written: if all is killed meanwhile it is run again."""
COMMIT_EVERY = 0.2
"""Seconds that what has happened may wait to be written."""
_CHUNK = 256 * 1024
_ANSWER_SECONDS = 0.5
"""Seconds that an answer may wait for a supervisor that does not read it."""
_PRUNED = "pruned"
_PRUNE_EVERY = 86400.0
_MOST_RUNS = 300
"""At more runs than these, half as many again as are kept, old ones are removed without waiting for the next day."""
_PRUNE_SECONDS = 2.0
"""Seconds that the end of a run may take to remove the records of old ones."""
_GRACE = 10.0
"""Seconds for the last writes of a supervisor that was killed."""


def serve(connection: socket.socket, parent: int) -> NoReturn:
    """Keep the record until the supervisor closes or is gone, say what went wrong, and end the process."""
    code = int(ExitCode.INTERNAL)
    try:
        connection = socket.socket(fileno=stand_apart(connection.detach()))
        os.umask(0o077)
        _Recording(connection, parent).run()
        code = 0
    except BaseException as error:
        # Whatever it is, it must not climb into the supervisor's code that the fork copied.
        with contextlib.suppress(OSError):
            farewell = {"farewell": str(error) or type(error).__name__}
            connection.sendall(b"\n" + json.dumps(farewell).encode() + b"\n")
    finally:
        os._exit(code)


@dataclass(slots=True)
class _Recording:
    """One run's record, from its first line to its last."""

    connection: socket.socket
    parent: int
    fold: RunFold = field(default_factory=RunFold)
    begin: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    missing: int = 0
    cut: ReceivedCut | None = None
    """One that waits to be written."""
    writer: RunWriter | None = None
    cut_writer: CutWriter | None = None
    hold: WriterHold | None = None
    """Kept to the end of the process."""
    due: float | None = None
    """When what has happened is to be written; None while nothing has."""

    def run(self) -> None:
        for chunk in self._chunks():
            for line in chunk.splitlines():
                self._take(json.loads(line))
            if self.due is not None and time.monotonic() >= self.due:
                self._write(over=False)
        self._finish()

    def _take(self, line: Any) -> None:
        if isinstance(line, list):
            name, at, _, level, fields = line
            self.fold.take(name, at, level, fields)
            if self.due is None:
                self.due = time.monotonic() + (OPEN_AFTER if self.writer is None else COMMIT_EVERY)
        else:
            if "begin" in line:
                self._begin(line["begin"])
            if "settle" in line:
                self.due = time.monotonic()
            if "cut" in line:
                self._receive(line["cut"])
            self.end = line.get("end", self.end)
            self.missing += line.get("missing", 0)
            if "job" in line:
                self.fold.take_note(line["job"])
                if "lost" not in line["job"]:  # it has not begun, but ended
                    self._hasten()

    def _hasten(self) -> None:
        """What a job came to is worth a transaction of its own, or of all that end within the same moment."""
        if self.writer is not None:
            soon = time.monotonic() + JOB_COMMIT
            self.due = soon if self.due is None else min(self.due, soon)

    def _begin(self, begin: dict[str, Any]) -> None:
        """Make ready. Of a run that is gone on with the record is there, and is opened to know what is in it."""
        self.begin = begin
        is_new = begin["incarnation"] == 1
        # One that the last incarnation has left writes for as long as its grace, if at all.
        self.hold = WriterHold(Path(begin["folder"]), 0.0 if is_new else _GRACE + 2)
        if not is_new:
            self._open(over=False)
            assert self.writer is not None
            self.fold = self.writer.last_fold()

    def _chunks(self) -> Iterator[bytes]:
        """Yield whole lines as they come, and nothing where it is time to write, until there is no more."""
        rest, upstream = b"", Upstream(self.connection, self.parent)
        self.connection.settimeout(_ANSWER_SECONDS)
        while True:
            if not upstream.wait(None if self.due is None else self.due - time.monotonic()):
                yield b""
                continue
            try:
                chunk = self.connection.recv(_CHUNK)
            except OSError:  # what the supervisor had said before it was killed has been read
                return
            if not chunk:
                return
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            yield whole + newline
            upstream.have_read()

    def _receive(self, told: dict[str, Any]) -> None:
        """Take a cut. Where there is no database yet it waits until there is one, if the run is not over by then."""
        from runner.record.cut_writer import ReceivedCut

        assert self.begin is not None
        if self.cut is not None:  # superseded
            self.cut.close()
            self.cut = None
        try:
            self.cut = ReceivedCut.of(told)
        except OSError as error:
            self._answer({"failed": told["number"], "why": str(error.strerror or error)})
            return
        if self.writer is not None:
            self._write_cut()
        elif self.begin["at_once"]:
            self._write(over=False)
        elif self.due is None:
            self.due = time.monotonic() + OPEN_AFTER

    def _write_cut(self) -> None:
        """Keep a cut instead of the last one, which stays where that can't be done."""
        import sqlite3

        from runner.record.cut_writer import CutWriter

        cut, self.cut = self.cut, None
        if cut is None:
            return
        assert self.writer is not None
        try:
            self.cut_writer = self.cut_writer or CutWriter(self.writer)
            seconds = self.cut_writer.commit(cut)
        except (OSError, sqlite3.Error) as error:
            self._answer({"failed": cut.number, "why": str(error)})
        else:
            self._answer({"committed": cut.number, "seconds": seconds})

    def _answer(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody is there to hear it
            self.connection.sendall(json.dumps(answer).encode() + b"\n")

    def _finish(self) -> None:
        """Write the rest; of a supervisor that was killed no end is known."""
        if self.begin is None or (self.fold.began is None and self.cut is None):
            return
        if os.getppid() != self.parent:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            # Nothing outlives a run for long, whatever the disk does.
            signal.setitimer(signal.ITIMER_REAL, _GRACE)
        self._write(over=True)
        assert self.writer is not None
        if self.end is None or self.end["outcome"] != RunOutcome.DONE:
            self._write_cut()
        if self.end is not None:
            self.writer.end(self.end)
        self.writer.close()
        if not self.writer.is_there:
            raise OSError("its file was removed")
        if self.end is not None:
            with contextlib.suppress(OSError):  # nobody asks for it while the database can be read
                write_ended(Path(self.begin["folder"]), {k: v for k, v in self.end.items() if k != "report"})
            with contextlib.suppress(Exception):  # the record of this run is whole
                _prune_now_and_then(Path(self.begin["folder"]).parent.parent)

    def _write(self, *, over: bool) -> None:
        self.due = None
        if self.writer is None:
            self._open(over=over and self.end is not None)
        assert self.writer is not None
        self.writer.commit(self.fold, time.monotonic(), last=over, missing=self.missing)
        if not over:
            self._write_cut()

    def _open(self, *, over: bool) -> None:
        from runner.record.writer import RunWriter

        assert self.begin is not None
        folder, incarnation = Path(self.begin["folder"]), self.begin["incarnation"]
        self.writer = RunWriter(folder, self.begin, over=over, incarnation=incarnation)


def _prune_now_and_then(home: Path) -> None:
    """Remove the records of old runs, where that was not done for a day or there are far too many."""
    stamp = home / _PRUNED
    if not stamp.exists():  # the first run of a home leaves it
        stamp.touch(mode=0o600)
    is_old = time.time() - stamp.stat().st_mtime > _PRUNE_EVERY
    if is_old or len(os.listdir(home / "runs")) > _MOST_RUNS:  # noqa: PTH208 - of thousands no Path is wanted
        from runner.record.pruning import prune

        stamp.touch()
        prune(home, _PRUNE_SECONDS)
