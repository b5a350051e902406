"""The garbage collector, kept out of the way of a command that is over in the blink of an eye.

    start ── defer_collection ──► imports, checks ──┬── resume_collection ──► a run: the usual collector
                                                    └── the end of the process

What imports and checks make is nearly all kept: to look through it again and again for garbage takes a tenth of
their time, and once more when Python ends.
"""

from __future__ import annotations

import atexit
import gc

_SELDOM = 200_000
"""New objects between two collections. A short command makes fewer; one that reads a huge file stays bounded."""

_usual = gc.get_threshold()


def defer_collection() -> None:
    """Collect seldom from now on, and not at all when this process ends. Only for a process that is all ours."""
    gc.set_threshold(_SELDOM, *_usual[1:])
    atexit.register(gc.freeze)


def resume_collection() -> None:
    """Make everything so far permanent, and collect as Python does: what comes now may be somebody else's code.

    Called before workers are forked, whose memory stays shared as long as no collector writes to it.
    """
    atexit.unregister(gc.freeze)
    gc.freeze()
    gc.set_threshold(*_usual)
