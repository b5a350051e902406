"""Where a run stands in a trace that others began, and where what it starts stands in its own. Pure.

    TRACEPARENT of the caller ──► TraceContext.below ──┬──► TRACEPARENT of commands and handlers: below the run
                                                       ├──► TRACEPARENT of a job: below that attempt of it
                                                       └──► the spans that are sent, with the same ids

Who starts a job is another process than the one that sends its span, and neither asks the other: the id of a span
follows from what it is of.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256

from runner.facts import dataclass

TRACEPARENT = "TRACEPARENT"
TRACESTATE = "TRACESTATE"
"""The variables in which a context is handed to a process."""

_FORMAT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_SAMPLED = "01"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace of a run, and the span that stands for the run in it; ids in hexadecimal digits."""

    trace: str
    span: str
    parent: str | None = None
    """The span of whoever started the run; None where nobody said that he has one."""
    flags: str = _SAMPLED
    state: str = ""
    """What vendors of tracing have to say of the parent."""

    @classmethod
    def below(cls, traceparent: str | None, tracestate: str | None = None) -> TraceContext:
        """Begin a span below the one that the caller names; what is no `traceparent` is as none: a new trace."""
        found = _FORMAT.fullmatch(traceparent or "")
        span = os.urandom(8).hex()
        if found is None or (found["version"] == "00" and found["more"]):
            return cls(os.urandom(16).hex(), span)
        return cls(found["trace"], span, found["span"], found["flags"], tracestate or "")

    @property
    def traceparent(self) -> str:
        """What processes that the run starts are told."""
        return self._told(self.span)

    def of_job(self, job: str, attempt: int) -> str:
        """Return the id of the span of an attempt of a job."""
        # 64 bits that differ where any of these does; none of them is all zeros, in practice.
        return sha256("\0".join((self.trace, self.span, job, str(attempt))).encode()).hexdigest()[:16]

    def below_job(self, job: str, attempt: int) -> str:
        """What processes that an attempt of a job starts are told."""
        return self._told(self.of_job(job, attempt))

    def _told(self, span: str) -> str:
        return f"00-{self.trace}-{span}-{self.flags}"
