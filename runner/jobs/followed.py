"""The output of one attempt of a job, followed in its log while it is written: chunks in, whole clean lines out.

log file ──► Tail ── chunks ──► Lines ── whole lines ──► one of the ways to show them
"""

from __future__ import annotations

from runner.jobs.printed import Lines
from runner.jobs.tail import CHUNK, Tail, size_of


class Followed:
    """One attempt's output. Attempts may share a log: each is what was written between its start and its end."""

    def __init__(self, log: str, *, first_attempt: bool, colors: bool) -> None:
        self._tail = Tail(log, 0 if first_attempt else size_of(log))
        self._lines = Lines(colors=colors)
        self._is_done = False
        self.has_more = True
        """Whether the next `lines` may find something at once."""

    @property
    def log(self) -> str:
        """The file that has it all."""
        return self._tail.path

    @property
    def is_done(self) -> bool:
        """Whether the attempt has ended and all that it printed was returned."""
        return self._is_done

    @property
    def left(self) -> int:
        """Bytes that were printed and not yet returned."""
        return self._tail.left

    def end(self) -> None:
        """The attempt is over: nothing that is written from now on is its own."""
        self._tail.end()

    def lines(self) -> bytes:
        """Return the lines that one more chunk completes; when the last was read, also one that has no end."""
        chunk = self._tail.read()
        self.has_more = len(chunk) == CHUNK
        shown = self._lines.feed(chunk) if chunk else b""
        if self._tail.is_over and not self._is_done:
            shown += self._lines.rest()
            self.close()
        return shown

    def unfinished_line(self) -> bytes:
        """Return what stands on a line that is not ended, such as a question that nobody will answer."""
        return self._lines.rest()

    def close(self) -> None:
        """Read no further."""
        self._is_done = True
        self._tail.close()
