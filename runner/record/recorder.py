"""The recorder, from the supervisor's side: what is kept of a run must not hold up its work.

    supervisor                              child, forked before any worker
    Recorder ── lines, no waiting ──► serve ──► runs/<id>/run.db
       │ backlog of up to 64 MiB        │
       ├─◄──── which cuts it has ───────┤        cuts: cuts.py, cut_writer.py
       └─◄──── what went wrong, once ───┘        a full disk, a folder that can't be written, a kill: one warning

It is not the observer process: a terminal that is stopped holds that one up. The child is in `recorder_main.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.events.base import Event
from runner.events.run import RunOutcome
from runner.exit_status import describe_status
from runner.ipc.line_sender import LineSender, is_ready
from runner.record.facts import Mask, why_not_again
from runner.spec.obstacles import Hindrance, Reached, RunObstacle, in_the_way, obstacles_of_facts
from runner.store.run_lock import RunLock, forget_ended, write_ended
from runner.transports.cut import Cut, WriterCut

if TYPE_CHECKING:
    from runner.jobs.resumption import JobNote
    from runner.record.cuts import CutSender
    from runner.record.resumption import TakenRun

MOST_BYTES = 64 * 1024 * 1024
"""Of lines that wait for the child. What comes beyond is counted, and the record says that it is incomplete."""
CLOSE_TIMEOUT = 15.0
"""Seconds that the end of a run waits for its record to be written."""
CUT_EVERY = 0.1
"""Seconds between two cuts, where none is asked for."""
_CHUNK = 64 * 1024
_INCOMPLETE = "the record of the run is incomplete"


About = tuple[Mapping[str, Any], Mask | None]
"""The facts of a run before it begins, and what takes secrets out."""


class NoRecord:
    """What a run tells its recorder. This one forgets: of a run with `--no-record`, or that a program has started."""

    trouble: str | None = None
    """After `finish`: what is missing and why; None if nothing is."""

    def begin(
        self,
        folder: Path,
        about: Callable[[], About],
        taken: TakenRun | None = None,
        *,
        every: float = CUT_EVERY,
        fsync: bool = False,
        at_once: bool = False,
    ) -> None:
        """The run has a folder that is its alone, and is about to begin. Without this nothing is kept.

        `about` returns the facts of the run, and what takes secrets out of these and of all that follows. `taken`: it
        is gone on with; its lock is the recorder's from now on. A cut is kept `every` so many seconds, or less often
        where that would cost too much; with `fsync` it outlasts the end of the machine. `at_once`: the first of them is
        written as soon as it is there; else not in the first moment, in which many runs come to their end.
        """

    def refuse(self, why: str) -> None:
        """The run has no folder, so that nothing can be kept."""

    def observe(self, event: Event) -> None:
        """Something happened. Never blocks."""

    def hindrances(self) -> Sequence[Hindrance]:
        """Why `mprun resume` could not go on with the run as it is kept by now; nothing where it simply could.

        Waits for a cut that is under way, to a bound.
        """
        return [Hindrance("there is no record of it")]

    keeps_cuts: bool = False
    """Whether cuts of the run are wanted."""

    has_cut_under_way = False
    """Whether it is not known yet what became of the last one."""

    kept: Sequence[WriterCut] = ()
    """How far producers are by the last cut that is known to be kept: another object for each."""

    @property
    def kept_at(self) -> float | None:
        """When that cut was taken, in seconds since the epoch; None where this runner has kept none."""
        return None

    def trouble_so_far(self) -> str | None:
        """Say, while the run goes on, what is missing in the record by now and why; None if nothing is known to be."""
        return self.trouble

    def cut_due(self, *, soon: bool = False) -> float:  # noqa: ARG002 - as recorders have it
        """When the next cut is wanted, by the monotonic clock; infinity for never. `soon`: somebody waits for it."""
        return math.inf

    def cut(self, cut: Cut, began: float | None = None, *, last: bool = False) -> bool:  # noqa: ARG002 - as above
        """Keep this cut instead of the one before it. Never blocks, unless it is the `last` of a run that has ended.

        Return whether all of it is on its way; where another is, or it is too much at once, it is not.

        `began` is when it was begun to be taken, by the monotonic clock. The `last` one is waited for, to a bound: what
        the end of a run does to its outputs comes after it. Of a run that has hardly begun it is not.
        """
        return False

    def note_job(self, note: JobNote) -> None:
        """Keep this of a job, so that another run can go on from there. Never blocks."""

    def note_end(self, report: Mapping[str, Any]) -> None:
        """This is what the run came to."""

    def close(self) -> None:
        """The run is over. What is left to do goes on beside the caller. Said again it does nothing."""

    def finish(self) -> None:
        """Wait until all is written, and let go of the run. Sets `trouble`. Bounds its own time, raises nothing."""

    def abandon(self) -> None:
        """There is no run after all: instead of `close` and `finish`."""


NO_RECORD = NoRecord()


class Recorder(NoRecord):
    """The supervisor's end. The fork is part of making it."""

    def __init__(self) -> None:
        """Fork the child. Call it before any worker starts. Raises OSError where there can be no further process."""
        self._socket, theirs = socket.socketpair()
        self._folder: Path | None = None
        self._lock: RunLock | None = None
        self._mask: Mask | None = None
        self._missing = 0
        self._has_events = False
        self._is_new = True
        self._cuts: CutSender | None = None
        self._heard = b""
        self._farewell = ""
        self._obstacles: Sequence[RunObstacle] = ()
        self._not_again: str | None = None
        self._has_jobs = False
        self._is_closed = False
        self._is_finished = False
        self._end: dict[str, Any] = {"outcome": "internal", "exit_code": None, "reason": None}
        parent = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            self._socket.close()
            theirs.close()
            raise
        if self.pid == 0:
            from runner.record.recorder_main import serve  # for the child alone

            self._socket.close()
            serve(theirs, parent)
        theirs.close()
        self._lines = LineSender(self._socket)

    def begin(
        self,
        folder: Path,
        about: Callable[[], About],
        taken: TakenRun | None = None,
        *,
        every: float = CUT_EVERY,
        fsync: bool = False,
        at_once: bool = False,
    ) -> None:
        """Keep the record in `folder` from now on, and take the lock of the run."""
        self._lock = None if taken is None else taken.lock
        try:
            from runner.record.cuts import CutPace, CutSender  # what it imports `leased` has

            facts, self._mask = about()
        except Exception as error:  # whatever it is, the run can do without
            self.refuse(f"{type(error).__name__}: {error}")
            return
        self._is_new = taken is None
        if taken is None:
            # Where there are no locks, or a full disk, its pid shows that it lives.
            with contextlib.suppress(OSError):
                self._lock = RunLock(folder)
        else:
            forget_ended(folder)
        self._obstacles, self._has_jobs = obstacles_of_facts(facts.get("obstacles")), bool(facts.get("jobs"))
        given = ("text", "replays_letters", "params", "overrides", "args")
        kept = {key: facts.get(key) for key in given}
        self._not_again = why_not_again(kept if self._mask is None else self._mask(kept))
        incarnation = 1 if taken is None else taken.incarnation
        self._folder = folder
        self._send(
            {"begin": {"folder": str(folder), "incarnation": incarnation, "at_once": at_once, **facts}}
        )
        self._cuts = CutSender(
            self._send, CutPace(every, fsync, at_once), None if taken is None else taken.cut
        )
        self.keeps_cuts = True

    def hindrances(self) -> Sequence[Hindrance]:
        """Ask what `mprun resume` asks, of what the child says that it has written."""
        if self._folder is None or self._cuts is None:
            return super().hindrances()
        if self._is_finished and not self._has_database(self._folder):
            return super().hindrances()
        if not self._has_jobs:
            self._settle()
        known = [] if self._not_again is None else [Hindrance(self._not_again)]
        return known + in_the_way(self._obstacles, Reached() if self._has_jobs else self._cuts.reached)

    @property
    def kept_at(self) -> float | None:
        """Ask the child's answers, as far as they have been heard."""
        return None if self._cuts is None else self._cuts.kept_at

    def trouble_so_far(self) -> str | None:
        """Say what `finish` would say, as far as it shows already; and that the last cut could not be kept."""
        if self.trouble is not None or self._folder is None:
            return self.trouble
        if self._lines.lost or not self.keeps_cuts:
            return f"{_INCOMPLETE}: {self._farewell or 'the process that keeps it is gone'}"
        if self._missing:
            return f"{_INCOMPLETE}: {self._missing_events()}"
        if self._cuts is not None and self._cuts.trouble is not None:
            return f"{_INCOMPLETE}: the last cut could not be kept: {self._cuts.trouble}"
        return None

    def _missing_events(self) -> str:
        return f"{self._missing:,} events came too fast for it"

    def _has_database(self, folder: Path) -> bool:
        from runner.record.schema import (
            DATABASE,  # and with it sqlite3, for a run that has not come to its end
        )

        return (folder / DATABASE).exists()

    def _settle(self) -> None:
        """Have the cut that is under way written now, and wait for that."""
        if self._cuts is not None and self._cuts.is_under_way and not self._is_closed:
            self._send({"settle": True})
            self._hear(until=time.monotonic() + CLOSE_TIMEOUT)

    def refuse(self, why: str) -> None:
        """Say at the end why there is no record."""
        self.trouble = f"no record of the run is kept: {why}"

    def observe(self, event: Event) -> None:
        """Send one event, or keep it, or count it as missing. After the child's death this does nothing."""
        if self._folder is None:
            return
        self._has_events = True
        if self._lines.waiting_bytes >= MOST_BYTES:
            self._lines.flush_nowait()
        if self._lines.waiting_bytes >= MOST_BYTES:
            self._missing += 1
        else:
            self._lines.enqueue(event.line() if self._mask is None else self._masked(event))
        self._lines.flush_nowait()

    def note_job(self, note: JobNote) -> None:
        """Send what is to be known of a job. What it hands on is left out where a secret is in it."""
        if self._folder is None:
            return
        known: dict[str, Any] = {"id": note.leg, "key": note.digests}
        if note.lost is not None:
            known["lost"] = note.lost
        if note.outputs is not None and (self._mask is None or self._mask(note.outputs) == note.outputs):
            known["outputs"] = note.outputs
        self._send({"job": known})

    @property
    def has_cut_under_way(self) -> bool:  # type: ignore[override]
        """Ask the child's answers, as far as they have been heard."""
        return self._cuts is not None and self._cuts.is_under_way

    def cut_due(self, *, soon: bool = False) -> float:
        """Say when the next is wanted; where one is under way, look at that moment what became of it."""
        cuts = self._cuts
        if cuts is None:
            return math.inf
        if cuts.is_under_way and (now := time.monotonic()) >= (cuts.soon if soon else cuts.due):
            self._hear()
            if cuts.is_under_way:
                cuts.look_again(now)
        return cuts.soon if soon else cuts.due

    def cut(self, cut: Cut, began: float | None = None, *, last: bool = False) -> bool:
        """Send one; where another is under way this one is left out, unless it is the last."""
        began = time.monotonic() if began is None else began
        if self._cuts is None or (self._cuts.is_under_way and not last):
            return False
        if last:
            self._send_last(self._cuts, cut, began)
            return True
        return self._cuts.cut(cut, began)

    def _send_last(self, cuts: CutSender, cut: Cut, began: float) -> None:
        """Send it whole, and wait until it is written, or can't be. Of a run that was short it is the only one."""
        deadline = time.monotonic() + CLOSE_TIMEOUT
        is_waited_for = cuts.has_begun
        if is_waited_for:
            self._hear(until=deadline)
        else:
            cuts.supersede()
        while self.keeps_cuts and not cuts.is_under_way:
            is_whole = cuts.cut(cut, began)
            if is_waited_for or not is_whole:
                self._hear(until=deadline)
            if is_whole or cuts.trouble is not None:
                return

    def _hear(self, until: float | None = None) -> None:
        """Take in what the child has said; `until`: wait so long for what becomes of the cut under way."""
        assert self._cuts is not None
        self._lines.flush_nowait()
        while True:
            try:
                chunk = self._socket.recv(_CHUNK)
            except BlockingIOError:
                if until is None or not self._cuts.is_under_way or not self._child_speaks(until):
                    return
                continue
            except OSError:  # reset: it died with lines unread
                chunk = b""
            self._listen(chunk)
            if not chunk:
                self._cuts.close()
                self.keeps_cuts = False
                return

    def _child_speaks(self, deadline: float) -> bool:
        self._lines.flush(deadline)
        return is_ready(self._socket, select.POLLIN, deadline)

    def _listen(self, chunk: bytes) -> None:
        *lines, self._heard = (self._heard + chunk).split(b"\n")
        for line in filter(None, lines):
            said = json.loads(line)
            self._farewell = said.get("farewell", self._farewell)
            if self._cuts is not None and not said.keys().isdisjoint(("committed", "failed")):
                self._cuts.heard(said)
                self.kept = self._cuts.kept

    def note_end(self, report: Mapping[str, Any]) -> None:
        """Take the report of the run, which is its end."""
        self._end = {key: report[key] for key in ("outcome", "exit_code", "reason")} | {"report": report}

    def close(self) -> None:
        """The run is over: send what is left, and its end. What the child does then goes on beside the caller."""
        if self._folder is None or self._is_closed:
            return
        self._is_closed = True
        if self._lock is not None and self._is_new and not self._has_events:
            self._lock.remove()
        if self._missing:
            self._send({"missing": self._missing})
        self._send({"end": {"at": time.time(), **self._end}})
        self._lines.flush(time.monotonic() + CLOSE_TIMEOUT)
        self._lines.end()

    def finish(self) -> None:
        """Wait until all is written; let go of the run. Sets `trouble`. Bounds its own time, and raises nothing."""
        if self._is_finished:
            return
        self._is_finished = True
        self._lines.end()
        if self._folder is None:
            self._reap(time.monotonic() + CLOSE_TIMEOUT)
            self._release(gone=False)
            return
        farewell, status = self._reap(time.monotonic() + CLOSE_TIMEOUT)
        if status != 0:
            why = farewell or self._ending(status)
            self.trouble = f"{_INCOMPLETE}: {why}"
            self._say_ended(why)
        elif self._missing:
            self.trouble = f"{_INCOMPLETE}: {self._missing_events()}"
        elif self._cuts is not None and self._cuts.trouble and self._end["outcome"] != RunOutcome.DONE:
            self.trouble = f"the run can't be gone on with from its end: {self._cuts.trouble}"
        self._release(gone=status != 0)

    def abandon(self) -> None:
        """End it at once, with nothing kept: instead of `close` and `finish`, where there is no run after all."""
        self._is_closed = self._is_finished = True
        os.kill(self.pid, signal.SIGKILL)
        self._reap(time.monotonic() + CLOSE_TIMEOUT)
        self._release(gone=self._is_new)

    def _release(self, *, gone: bool) -> None:
        """Let go of the run. `gone`: that it is free is to say nothing, as its record does not tell its end."""
        if self._lock is not None:
            if gone:
                self._lock.remove()
            self._lock.release()
            self._lock = None

    def _say_ended(self, why: str) -> None:
        """Write down the end that the record does not have; on a full disk perhaps without its numbers."""
        assert self._folder is not None
        end = self._end if self._mask is None else self._mask(self._end)
        told = {**end, "at": time.time(), "trouble": why}
        try:
            write_ended(self._folder, told)
        except OSError:
            told.pop("report", None)
            with contextlib.suppress(OSError):
                write_ended(self._folder, told)

    def _send(self, what: Mapping[str, Any]) -> None:
        shown = what if self._mask is None else self._mask(what)
        self._lines.enqueue(json.dumps(shown, default=repr).encode() + b"\n")
        self._lines.flush_nowait()

    def _masked(self, event: Event) -> bytes:
        assert self._mask is not None
        kind, at, run, level, fields = json.loads(event.line())
        return json.dumps([kind, at, run, level, self._mask(fields)]).encode() + b"\n"

    def _reap(self, deadline: float) -> tuple[str, int]:
        """Return the child's last words, and its wait status. One that is late is killed."""
        self._socket.setblocking(True)
        is_over = False
        while not is_over and is_ready(self._socket, select.POLLIN, deadline):
            try:
                more = self._socket.recv(_CHUNK)
            except OSError:  # reset: it died with lines unread
                more = b""
            self._listen(more)
            is_over = not more
        self._socket.close()
        if self._cuts is not None:
            self._cuts.close()
        if not is_over:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return self._farewell, status

    def _ending(self, status: int) -> str:
        return f"the process that keeps it {describe_status(os.waitstatus_to_exitcode(status))}"


def open_recorder() -> NoRecord:
    """Start a recorder; where there can be no further process, return one that keeps nothing and says so at the end."""
    try:
        return Recorder()
    except OSError as error:
        unable = NoRecord()
        unable.trouble = f"no record of the run is kept: {error.strerror or error}"
        return unable
