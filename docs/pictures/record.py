"""Records a run on a terminal as a moving picture, an SVG that any page can show: docs/pictures/baozi.svg.

    mprun baozi.yaml ── pseudo-terminal ──► pyte: what stands on the screen ──► frames ──► SVG, each row drawn once

    python docs/pictures/record.py [FILE.svg]     the run takes six seconds, and so does the picture

Needs pyte, a terminal in Python, which the extra `test` has.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parent.parent.parent
SHOWN = "$ mprun workflows/baozi.yaml --log-level warning"
COLUMNS, ROWS = 80, 24
PACE = 0.1
"""Seconds between two looks at the screen."""
LAST = 5.0
"""Seconds for which the end stays."""
LIMIT = 60.0
WIDTH, HEIGHT, MARGIN = 8.0, 18, 14
"""Of a character, and round them."""
COLORS = {
    "default": "#d7dae0",
    "black": "#5c6370",
    "red": "#e06c75",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": "#ffffff",
}


@dataclass(frozen=True)
class Stretch:
    """Characters of one row that look alike."""

    column: int
    columns: int
    text: str
    color: str
    is_bold: bool


Row = tuple[Stretch, ...]
Frame = tuple[Row, ...]


def main() -> None:
    """Record the run of the README."""
    parser = argparse.ArgumentParser(description="Record the first workflow as a moving picture.")
    parser.add_argument("file", type=Path, nargs="?", default=ROOT / "docs" / "pictures" / "baozi.svg")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "mprun", "workflows/baozi.yaml", "--log-level", "warning"]
    asked.file.write_text(as_svg(list(recorded(command))), encoding="utf-8")


def recorded(command: list[str]) -> Iterator[tuple[float, Frame]]:
    """Run a command on a terminal; yield what stands there, each time that it has changed, and since when."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(SHOWN.encode() + b"\r\n")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    env = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "CI")}
    run = subprocess.Popen(command, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    began = time.monotonic()
    last = frame_of(screen)
    yield 0.0, last
    try:
        while chunk := _read(ours, began + LIMIT):
            stream.feed(chunk)
            now = frame_of(screen)
            if now != last:
                yield round(time.monotonic() - began, 2), now
                last = now
    finally:
        os.close(ours)
        run.terminate()
        run.wait()


def _read(terminal: int, deadline: float) -> bytes:
    """Return what is written within a moment of the first byte; nothing once nobody can write any more."""
    if not select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0]:
        sys.exit(f"the run was not over after {LIMIT:g} s")
    time.sleep(PACE)
    try:
        return os.read(terminal, 1 << 20)
    except OSError:  # so a terminal ends
        return b""


def frame_of(screen: pyte.Screen) -> Frame:
    """Return what stands on a screen."""
    return tuple(tuple(_stretches(screen, row)) for row in range(ROWS))


def _stretches(screen: pyte.Screen, row: int) -> Iterator[Stretch]:
    cells = screen.buffer[row]
    # A wide character has two cells, the second of which is empty: it is a stretch of its own, so that it fits.
    looks = [
        (c, cells[c].fg, cells[c].bold, _is_wide(screen, row, c)) for c in range(COLUMNS) if cells[c].data
    ]
    for (color, is_bold, is_wide), found in groupby(looks, key=lambda look: look[1:]):
        columns = [column for column, *_ in found]
        text = "".join(cells[column].data for column in columns).rstrip()
        if text:
            width = len(text) * (2 if is_wide else 1)
            yield Stretch(columns[0], width, text, color, is_bold)


def _is_wide(screen: pyte.Screen, row: int, column: int) -> bool:
    return column + 1 < COLUMNS and not screen.buffer[row][column + 1].data


def as_svg(frames: list[tuple[float, Frame]]) -> str:
    """Draw frames that follow one another for ever; who wants nothing to move gets the last one."""
    ends = [*(at for at, _ in frames[1:]), frames[-1][0] + LAST]
    total = ends[-1]
    rows = {
        row: number for number, row in enumerate(dict.fromkeys(row for _, f in frames for row in f if row))
    }
    width, height = COLUMNS * WIDTH + 2 * MARGIN, ROWS * HEIGHT + 2 * MARGIN
    drawn = [
        f'<svg viewBox="0 0 {width:g} {height:g}" xmlns="http://www.w3.org/2000/svg" role="img" '
        'aria-label="mprun on a terminal: chefs and eaters, and at the end a ledger">',
        "<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        "white-space:pre}.f{visibility:hidden}",
        *(_moments(n, at, end, total) for n, ((at, _), end) in enumerate(zip(frames, ends, strict=True))),
        f"@media(prefers-reduced-motion:reduce){{.f{{animation:none!important}}#f{len(frames) - 1}"
        "{visibility:visible!important}}</style><defs>",
        *(f'<g id="r{number}">{"".join(map(_text, row))}</g>' for row, number in rows.items()),
        f'</defs><rect width="{width:g}" height="{height:g}" rx="8" fill="#1c1f24"/>',
    ]
    for n, (_, frame) in enumerate(frames):
        used = (f'<use href="#r{rows[row]}" y="{y * HEIGHT}"/>' for y, row in enumerate(frame) if row)
        drawn.append(f'<g id="f{n}" class="f" transform="translate({MARGIN},{MARGIN})">{"".join(used)}</g>')
    return "\n".join([*drawn, "</svg>", ""])


def _moments(number: int, at: float, end: float, total: float) -> str:
    begins, ends = 100 * at / total, 100 * end / total
    hidden = "" if number == 0 else "0%{visibility:hidden}"
    return (
        f"@keyframes k{number}{{{hidden}{begins:.2f}%{{visibility:visible}}{ends:.2f}%{{visibility:hidden}}}}"
        f"#f{number}{{animation:k{number} {total:.2f}s steps(1) infinite}}"
    )


def _text(stretch: Stretch) -> str:
    color = COLORS.get(stretch.color, f"#{stretch.color}")
    bold = ' font-weight="bold"' if stretch.is_bold else ""
    return (
        f'<text x="{stretch.column * WIDTH:g}" y="{HEIGHT - 5}" fill="{color}"{bold} '
        f'textLength="{stretch.columns * WIDTH:g}" lengthAdjust="spacingAndGlyphs">{escape(stretch.text)}</text>'
    )


if __name__ == "__main__":
    main()
