r"""What a job printed, made fit to be shown between the lines of others: whole lines of clean UTF-8. Pure.

    b"12%\r100%\nd\x1b[31mon" ─► LineCleaner.feed ─► b"100%\n"
    b"e\n"                      ─► LineCleaner.feed ─► b"d\x1b[31mone\x1b[0m\n"

Of a line that was drawn over, as progress bars are, the last state is shown. Colours stay where they are wanted;
whatever else would move the cursor, or speak to the terminal, is taken out. Works on whole chunks, at hundreds of MB/s.

What is taken out before it is shown, escape sequences and control characters, is what the masker must look through, or
the parts of a secret would only come together after it was looked for. So both are here:

    b"s3c\x1b[31mret" ─► StrippedText ─► text b"s3cret"      within(0, 6) ─► (0, 11), its place in what was printed
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

LONGEST_LINE = 64 * 1024
"""Bytes kept of a line that does not end; a longer one is shown in pieces."""

RESET = b"\x1b[0m"
_COLOUR = re.compile(rb"\x1b\[[0-9;:]*m")
_DRAWN_OVER = re.compile(rb"[^\n\r]*\r+(?=[^\n\r])")


class LineCleaner:
    """Turns chunks into whole lines. Keeps at most one unfinished line, of at most LONGEST_LINE bytes."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return the lines that `chunk` completes, each with its newline; empty if it completes none."""
        whole, newline, rest = (self._rest + chunk).rpartition(b"\n")
        self._rest = _last_state(rest)
        shown = clean(whole + newline, colors=self._colors) if newline else b""
        while len(self._rest) > LONGEST_LINE:
            piece, self._rest = _cut(self._rest)
            shown += clean(piece + b"\n", colors=self._colors)
        return shown

    def rest(self) -> bytes:
        """Return the line that has no end, with a newline; empty if there is none. It is not returned again."""
        rest, self._rest = self._rest.rstrip(b"\r"), b""
        return clean(rest + b"\n", colors=self._colors) if rest else b""


def clean(lines: bytes, *, colors: bool) -> bytes:
    """Return whole lines as UTF-8 without anything that a terminal would obey, but for colours if they are wanted."""
    if b"\x1b" in lines:
        lines = ESCAPE.sub(_keep_colour if colors else b"", lines)
    if b"\r" in lines:
        lines = _DRAWN_OVER.sub(b"", lines)
    lines = _as_utf8(lines.translate(None, CONTROLS))
    if b"\xc2" in lines:
        lines = C1.sub(b"", lines)
    return _close_colours(lines) if b"\x1b" in lines else lines


def strip_unseen(data: bytes) -> bytes:
    """Return what is left to see of `data`, also of a part that was cut anywhere; most has nothing to take out."""
    return _UNSEEN.sub(b"", data) if _HINT.search(data) is not None else data


class StrippedText:
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


def _last_state(rest: bytes) -> bytes:
    """What is left to see of a line that goes on: what follows its last return, or what that will be drawn over."""
    drawn = rest.rstrip(b"\r")
    states = drawn.split(b"\r")
    # What draws nothing that can be seen, such as a colour, leaves what stood there.
    seen = next((number for number in reversed(range(len(states))) if ESCAPE.sub(b"", states[number])), 0)
    return b"\r".join(states[seen:]) + (b"\r" if drawn != rest else b"")


def _cut(line: bytes) -> tuple[bytes, bytes]:
    end = LONGEST_LINE
    while end > LONGEST_LINE - 4 and line[end] & 0xC0 == 0x80:
        end -= 1  # not inside a character
    return line[:end], line[end:]


def _keep_colour(found: re.Match[bytes]) -> bytes:
    return found[0] if _COLOUR.fullmatch(found[0]) else b""


def _close_colours(lines: bytes) -> bytes:
    """A colour ends with its line: the next line may be another job's."""
    return b"".join(
        line[:-1] + RESET + b"\n" if b"\x1b" in line else line for line in lines.splitlines(keepends=True)
    )


def _as_utf8(text: bytes) -> bytes:
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace").encode()
    return text
