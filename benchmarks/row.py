"""One line of the comparison: who runs what, how long, what is read off it, and what it must reach.

Row + contender + scale ──► counts ──► commands
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alternate import Command
from contenders import CONTENDERS
from goals import Goal, Metric


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of a comparison have in common."""

    maxsize: int
    folder: Path
    """Where a row may write files."""
    share: float = 1.0
    """The share of the items that are carried."""


Commands = Callable[[str, int, Setting], Command]
"""What a contender is run with for so many items."""


def carried(workload: str) -> Commands:
    """The contenders' own scripts, with a workload."""
    return lambda contender, count, setting: CONTENDERS[contender].command(workload, count, setting.maxsize)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `items` are what the base carries; others carry `shares` of it."""

    name: str
    commands: Commands
    items: int
    who: tuple[str, ...]
    metrics: tuple[Metric, ...]
    """What its cells show."""
    goals: tuple[Goal, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    shorter: int = 0
    """How many times shorter the shorter of two runs is; 0 if there is one."""
    fixed: bool = False
    """Whether the count of items is what the row is about, so that it stays in a quick run."""
    watch: bool = False
    """Whether memory and idleness are looked at meanwhile."""
    repeat: int = 1
    """How often it is run in a round."""
    once: bool = False
    """Whether it is run once in all, since it takes long and comes out alike."""
    needs: str | None = None
    """The module that its handlers can't do without."""

    def counts(self, contender: str, setting: Setting) -> tuple[int, ...]:
        """How many items a contender carries in each of its runs, the shorter first."""
        count = self.items * self.shares.get(contender, 1.0)
        many = max(1, int(count if self.fixed else count * setting.share))
        return (max(1, many // self.shorter), max(2, many)) if self.shorter else (many,)
