"""What of a job's output is taken out before it is shown: escape sequences and control characters. Pure.

    b"s3c\\x1b[31mret" ─► Bared ─► text b"s3cret"      within(0, 6) ─► (0, 11), its place in what was printed

It is known in one place: what the shower takes out is what the masker must look through, or the parts of a secret
would only come together after it was looked for.
"""

from __future__ import annotations

import re
from bisect import bisect_right

# CSI … final, OSC … (BEL or ST), other strings, and two-byte escapes. A cut sequence is taken as far as it goes.
_ESCAPE = rb"\x1b(?:\[[0-?]*[ -/]*[@-~]?|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)"
CONTROLS = bytes(set(range(32)) - set(b"\t\n\x1b")) + b"\x7f"
"""The bytes that are taken out wherever they are; a return first draws over what stands before it."""
ESCAPE = re.compile(_ESCAPE)
C1 = re.compile(rb"\xc2[\x80-\x9f]")
"""The control characters that take two bytes in UTF-8."""

# A return brings nothing together: what stands before it is drawn over. The two bytes of a C1 control meet when what
# is between them has gone, and its second may be still to come. What was taken is not tried in another way (`*+`):
# the ways may be more than can be tried.
_CONTROL = rb"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]"
_UNSEEN = re.compile(rb"%b|%b+|\xc2(?:%b|%b)*+(?:[\x80-\x9f]|\Z)" % (_ESCAPE, _CONTROL, _ESCAPE, _CONTROL))
_HINT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\xc2]")


def bare(data: bytes) -> bytes:
    """Return what is left to see of `data`, also of a part that was cut anywhere; most has nothing to take out."""
    return _UNSEEN.sub(b"", data) if _HINT.search(data) is not None else data


class Bared:
    """Some data without what is not seen, that knows where each byte of it came from."""

    __slots__ = ("_begins", "_places", "text")

    def __init__(self, data: bytes) -> None:
        pieces: list[bytes] = []
        self._begins: list[int] = []
        self._places: list[int] = []
        at = length = 0
        for start, end in (*(gap.span() for gap in _UNSEEN.finditer(data)), (len(data), len(data))):
            if start > at:
                pieces.append(data[at:start])
                self._begins.append(length)
                self._places.append(at)
                length += start - at
            at = end
        self.text = b"".join(pieces)

    def within(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of `text`, which is not empty, begins and ends in the data."""
        return self._place(start), self._place(end - 1) + 1

    def _place(self, at: int) -> int:
        piece = bisect_right(self._begins, at) - 1
        return self._places[piece] + at - self._begins[piece]
