"""What a job printed, made fit to be shown between the lines of others: whole lines of clean UTF-8. Pure.

    b"12%\\r100%\\nd\\x1b[31mon" ─► Lines.feed ─► b"100%\\n"      b"e\\n" ─► Lines.feed ─► b"d\\x1b[31mone\\x1b[0m\\n"

Of a line that was drawn over, as progress bars are, the last state is shown. Colours stay where they are wanted;
whatever else would move the cursor, or speak to the terminal, is taken out. Works on whole chunks, at hundreds of MB/s.
"""

from __future__ import annotations

import re

from runner.jobs.unseen import C1, CONTROLS, ESCAPE

LONGEST_LINE = 64 * 1024
"""Bytes kept of a line that does not end; a longer one is shown in pieces."""

RESET = b"\x1b[0m"
_COLOUR = re.compile(rb"\x1b\[[0-9;:]*m")
_DRAWN_OVER = re.compile(rb"[^\n\r]*\r+(?=[^\n\r])")


class Lines:
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
