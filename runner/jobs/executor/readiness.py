"""Whether something that goes on in the background is ready: a service of a job, or a job.

    taken ──► Interruption: somebody answers there before it has begun
    wait ───► None: it is ready   ·   Interruption: it is late, it has ended, the job can't go on

It is ready when all of `port`, `http`, `run` and `prints` that it is asked for hold.

A line that is to be printed is looked for in the log as that grows: each byte is read once, little is kept.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace

from runner.jobs.ansi import ESCAPE
from runner.jobs.executor.http_probe import HttpProbe, url_address
from runner.jobs.executor.ports import PortHolder, holder_at, knock, stranger_at
from runner.jobs.executor.process_group import Interruption, ProcessGroup
from runner.jobs.executor.wait import CommandWaiter, Deadline
from runner.jobs.log import CHUNK, LogWriter, Tail
from runner.jobs.requests import CommandRequest, ReadinessRequest
from runner.process.patterns import ENDLESS, EndlessPattern, bounded_matching
from runner.spec.model import JobResult
from runner.units import format_duration

_MOST_KEPT = 64 * 1024
"""Bytes in which a match may begin that ends in what is printed next."""
_CHUNKS = 16
"""Read in one look: who prints without end must not keep the caller from looking at the clock."""
_SHORTEST_PAUSE = 0.001
"""Seconds between two looks at what is printed faster than it is read, in which the clock is looked at."""


class ReadinessCheck:
    """Finds out about one of them, in one attempt."""

    def __init__(
        self,
        ready: ReadinessRequest,
        called: str,
        log: str,
        waiter: CommandWaiter,
        start: Callable[[CommandRequest, LogWriter], ProcessGroup],
    ) -> None:
        """`called` is what it is in a sentence, such as `service 'db'`; `log` the file that it prints to."""
        self._ready = ready
        self._called = called
        self._log = log
        self._waiter = waiter
        self._start = start
        self._holder: PortHolder | None = None
        """Who was last seen to listen where it should, and is none of its processes."""
        self._status = ""
        """What a GET was last answered with, where that was no good."""

    def taken(self) -> Interruption | None:
        """Say why it can't be told from another by its port: somebody answers there before it was started."""
        for host, port in self._addresses():
            peer = knock(host, port)
            if peer is not None and (peer.is_here or self._ready.port == port):
                by = holder_at(peer)
                whose = "" if by is None else f", by {by}"
                reason = f"{self._called} could not start: port {port} is taken already{whose}"
                return Interruption(JobResult.FAILED, reason)
        return None

    def wait(self, log: LogWriter, deadlines: Sequence[Deadline]) -> Interruption | None:
        """Wait until it is ready; return why the job can't go on, if it can't."""
        ready = self._ready
        late = Interruption(
            JobResult.FAILED, f"{self._called} was not ready within {format_duration(ready.timeout)}"
        )
        until = Deadline(time.monotonic() + ready.timeout, late)
        # Without a line to look for nothing is searched.
        with closing(LineSearch(self._log, ready.prints or "")) as line, suppress(EndlessPattern):
            while not self._is_ready(line, log, until):
                patience = min(ready.every, _SHORTEST_PAUSE) if line.has_more else ready.every
                cut = self._waiter.pause(patience, [until, *deadlines])
                if cut is late:
                    return replace(late, reason=f"{late.reason}{self._why_late()}")
                if cut is not None:
                    return cut
            return None
        return Interruption(JobResult.FAILED, f"`prints` of {self._called}: {ENDLESS}", for_good=True)

    def _why_late(self) -> str:
        if self._holder is not None:
            return f": port {self._holder.port} is held by {self._holder}, which is none of its processes"
        return f": GET {self._ready.http} {self._status}" if self._status else ""

    def _addresses(self) -> Iterator[tuple[str, int]]:
        if self._ready.port is not None:
            yield self._ready.host, self._ready.port
        if self._ready.http is not None and (address := url_address(self._ready.http)) is not None:
            yield address

    def _is_ready(self, line: LineSearch, log: LogWriter, until: Deadline) -> bool:
        """All that it is asked for must hold."""
        ready = self._ready
        return (
            (ready.prints is None or line.look())
            and (ready.port is None or self._listens(ready.host, ready.port))
            and (ready.http is None or self._answers(ready.http, until))
            and (ready.command is None or self._succeeds(ready.command, log, until))
        )

    def _listens(self, host: str, port: int) -> bool:
        """Whether the port answers, and it is not known to be somebody else who does."""
        peer = knock(host, port)
        self._holder = None if peer is None else stranger_at(peer)
        return peer is not None and self._holder is None

    def _answers(self, url: str, until: Deadline) -> bool:
        """Whether a GET is answered well, and not by somebody else on this machine."""
        probe = HttpProbe(url, until.until, self._waiter.is_cut_short)
        answer = probe.get()
        self._status = answer.problem
        self._holder = None if answer.peer is None else stranger_at(answer.peer)
        return not answer.problem and self._holder is None

    def _succeeds(self, command: CommandRequest, log: LogWriter, until: Deadline) -> bool:
        return self._waiter.wait_for(self._start(command, log), [until]).is_good


class LineSearch:
    """Looks for one regular expression in one log. Holds a descriptor until it is found, or to `close`."""

    def __init__(self, log: str, pattern: str) -> None:
        self._tail = Tail(log)
        self._pattern = re.compile(pattern, re.MULTILINE)
        self._kept = b""
        self._is_found = False
        self.has_more = False
        """Whether there was more to read than one look takes: the next may follow at once."""

    def look(self) -> bool:
        """
        Look at what has come since the last time. What was found once stays found.

        Raises:
            EndlessPattern: the expression can't be searched for in that.
        """
        self.has_more = False
        for _ in range(0 if self._is_found else _CHUNKS):
            chunk = self._tail.read()
            self._is_found = bool(chunk) and self._is_in(chunk)
            self.has_more = len(chunk) == CHUNK and not self._is_found
            if not self.has_more:
                break
        if self._is_found:
            self.close()
        return self._is_found

    def close(self) -> None:
        """Look no further. May be called twice."""
        self._tail.close()

    def _is_in(self, chunk: bytes) -> bool:
        printed = self._kept + chunk
        self._kept = _end_of(printed)
        # As it is and as it looks: a colour may stand in the middle of what is looked for.
        with bounded_matching():
            return any(self._pattern.search(_text(each)) for each in {printed, ESCAPE.sub(b"", printed)})


def _text(printed: bytes) -> str:
    return printed.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _end_of(printed: bytes) -> bytes:
    """The last bytes that are kept, from the beginning of a line if one begins there."""
    if len(printed) <= _MOST_KEPT:
        return printed
    first = printed.find(b"\n", len(printed) - _MOST_KEPT - 1, -1) + 1
    return printed[first or len(printed) - _MOST_KEPT :]
