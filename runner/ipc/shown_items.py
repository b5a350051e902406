"""How many of its items a worker shows to whoever looks on: two words of its page for each side, with a writer each.

supervisor ── let_show: so many more ──► LEAVE │ SHOWN ◄── count_shown ── worker: looks once a frame whether it may
"""

from __future__ import annotations

from enum import StrEnum

from runner.ipc.status_page import StatusPage, Word


class Side(StrEnum):
    """On which side of a worker an item is shown."""

    TAKEN = "taken"
    MADE = "made"


_LEAVE = {Side.TAKEN: Word.SHOW_TAKEN, Side.MADE: Word.SHOW_MADE}
_SHOWN = {Side.TAKEN: Word.SHOWN_TAKEN, Side.MADE: Word.SHOWN_MADE}


def let_show(page: StatusPage, side: Side, count: int) -> None:
    """Called in the supervisor: let a worker show so many more items from now on. With none nobody looks."""
    page.words[_LEAVE[side]] = page.words[_SHOWN[side]] + count if count else 0


def unshown(page: StatusPage, side: Side) -> int:
    """How many items a worker may still show."""
    return max(0, page.words[_LEAVE[side]] - page.words[_SHOWN[side]])


def count_shown(page: StatusPage, side: Side) -> None:
    """Called in the worker: count one that is shown."""
    page.words[_SHOWN[side]] += 1
