"""How far a run is, while a program waits for it: a line that changes, in a notebook's cell or on a terminal.

RunStarted · RunProgress · RunFinished ──► ProgressView ──► "prep  items 900 · load 870 · save 832   1.2s"
"""

from __future__ import annotations

import sys
import time
from typing import Any

from runner.events.base import Event
from runner.events.run import RunFinished, RunProgress, RunStarted
from runner.text import truncate, visible
from runner.units import rough_duration

_EVERY = 0.1
"""Seconds between two lines."""
_WIDTH = 100


class ProgressView:
    """An observer in the program."""

    def __init__(self) -> None:
        self._name = ""
        self._producers: set[str] = set()
        self._last = 0.0
        self._line = _NotebookLine() if in_notebook() else _TerminalLine()

    def observe(self, event: Event) -> None:
        """Show what has changed, some times a second."""
        match event:
            case RunStarted(workflow=name, stages=stages):
                self._name = name
                self._producers = {stage["name"] for stage in stages if stage["role"] == "producer"}
            case RunProgress():
                now = time.monotonic()
                if now - self._last >= _EVERY:
                    self._last = now
                    self._line.show(self._text(event))
            case RunFinished():
                self._line.show(f"{self._name}  {event.outcome} after {rough_duration(event.seconds)}")
                self._line.end()

    def close(self) -> None:
        """Nothing is left to show."""

    def _text(self, event: RunProgress) -> str:
        counts = [
            f"{stage['name']} {stage['sent'] if stage['name'] in self._producers else stage['done']:,}"
            for stage in event.stages
        ]
        return f"{self._name}  {' · '.join(counts)}   {rough_duration(event.elapsed)}"


class _TerminalLine:
    def __init__(self) -> None:
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Write over the last one; where nobody could see it change, nothing."""
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{truncate(visible(text), _WIDTH)}")
            sys.stderr.flush()

    def end(self) -> None:
        """What is printed next begins below."""
        if self._is_terminal:
            sys.stderr.write("\n")


class _NotebookLine:
    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        """Show it in the cell, in the place of the last one."""
        display: Any = sys.modules["IPython"].display
        shown = _Text(visible(text))
        if self._handle is None:
            self._handle = display.display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def end(self) -> None:
        """The last one stays."""


class _Text:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def in_notebook() -> bool:
    """Whether this program is the kernel of a notebook."""
    found = sys.modules.get("IPython")
    shell = found.get_ipython() if found is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None
