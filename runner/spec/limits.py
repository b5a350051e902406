"""The bounds of a run as a file writes them, and what holds where it writes nothing."""

from __future__ import annotations

from runner.facts import dataclass
from runner.spec.keys import DURATION, Shape, key

SHARE_PATTERN = r"^(100|[0-9]{1,2}(\.[0-9]+)?)%$"

LAST_CLOSE = 3600.0
"""Seconds that a `close()` at the end of a stream may take where the file says nothing: whoever works comes back."""
ASKED_CLOSE = 5.0
"""Seconds that one may take which was asked for, where the file says nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the whole run."""

    timeout: float | None = key(
        DURATION,
        "The longest the run may take; then every worker closes, within `close_timeout`, and the run exits 5. Without "
        "it, no bound.",
        default=None,
    )
    stall_timeout: float | None = key(
        DURATION,
        "The longest that nothing may move: no item put, taken or done, no worker started or ended. The run then "
        "fails, naming who holds it up, and exits 5. A worker within its stage's `timeout` counts as moving. Without "
        "it, nobody who is at work is disturbed, however long an item takes; a run in which all wait for each other "
        "ends after a minute.",
        default=None,
    )
    stop_timeout: float = key(
        DURATION,
        "How long workers may take to end once they are asked to, while a run that is stopped works off what is in its "
        "queues. After that what waits there is given up: producers that have not come to their end are ended, and "
        "every reader finishes the item in its hand and closes, within `close_timeout`.",
        default=10.0,
    )
    close_timeout: float | None = key(
        DURATION,
        "How long a worker may take to close once it is asked to end: the item in its hand, `close()` of a class, "
        "`finally` of a generator; then, how long its process may take: `atexit`, threads that it has started. What is "
        "still there after that is named in a warning, and ended. (Under `joinable`, where a killed worker may have "
        "taken along a lock that the others need, they have a moment.) A `close()` at the end of a stream, which "
        "nobody asked for, has the time that is written here too, but an hour where nothing is: it may have much to "
        "make safe. Whoever has not come back by then is killed, and the run fails.",
        default=None,
        shown=5.0,
    )
    max_errors: str = key(
        Shape(
            {
                "type": ["integer", "string"],
                "minimum": 0,
                "pattern": SHARE_PATTERN,
                "title": "an integer of at least 0, or a share such as 1%",
            },
            lambda written: written if isinstance(written, str) else str(int(written)),
        ),
        "How many items may fail in a run that still exits 0: a number for the whole run, or a share such as `1%` of "
        "the items of each queue. The stages that read a queue may fail on that share of what was put on it, so that "
        "more stages do not make the share more generous.",
        default="0",
        shown=0,
        more={"examples": [10, "1%"]},
    )

    @property
    def asked_close(self) -> float:
        """How long a worker may take to close that was asked to."""
        return ASKED_CLOSE if self.close_timeout is None else self.close_timeout

    @property
    def last_close(self) -> float:
        """How long one may take at the end of its stream."""
        return LAST_CLOSE if self.close_timeout is None else self.close_timeout
