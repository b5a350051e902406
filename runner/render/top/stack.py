"""The stack of a live worker in a few lines: the user's calls, each with its line of code. Pure, but for `source`.

File "/home/me/handlers.py", line 14 in fetch ──► handlers.py:14 fetch     reply = session.get(url)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>\S+)$')
_PACKAGE = f"{Path(__file__).parent.parent.parent}/"
_SHIPPED = f"{_PACKAGE}_shipped/"
_OF_EVERY_THREAD = ("_bootstrap", "_bootstrap_inner")
_WAITS = "it is in no call of the handler's: it waits in mprun itself"
_MOST = 12
"""Calls of one thread; of more, the innermost are shown."""

SourceLine = Callable[[str, int], str]
"""Returns a line of a file, or nothing where it can't be read."""


def stack_text(dump: str, source: SourceLine) -> str:
    """Return the stacks that `faulthandler` has written, without mprun's own calls; of a thread without others, one."""
    shown: list[str] = []
    for head, frames in _threads(dump):
        own = [frame for frame in frames if not _is_ours(frame[0]) and frame[2] not in _OF_EVERY_THREAD]
        lines = [_line(frame, source) for frame in own[:_MOST]] or [_WAITS]
        if len(own) > _MOST:
            lines.append(f"… and {len(own) - _MOST} more calls")
        if not own and shown:
            continue  # a helper thread of ours: nobody has asked for it
        if head and shown:
            lines.insert(0, head)
        shown += lines
    return "\n".join(shown)


def _threads(dump: str) -> list[tuple[str, list[tuple[str, int, str]]]]:
    """Return the frames of each thread, the one that was running first."""
    threads: list[tuple[str, list[tuple[str, int, str]]]] = []
    for line in dump.splitlines():
        found = _FRAME.match(line)
        if found is None:
            if line.strip():
                threads.append((line.strip(), []))
        elif threads:
            threads[-1][1].append((found["file"], int(found["line"]), found["name"]))
    with_frames = [each for each in threads if each[1]]
    return sorted(with_frames, key=lambda each: not each[0].startswith("Current"))


def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE) and not file.startswith(_SHIPPED)


def _line(frame: tuple[str, int, str], source: SourceLine) -> str:
    file, number, name = frame
    place = f"{file.rpartition('/')[2]}:{number} {name}"
    return f"{place:<28}  {source(file, number).strip()}".rstrip()
