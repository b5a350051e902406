"""What somebody looks at, and how: which screen, which row, what is asked of them. Pure data, apart from the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum

from runner.facts import dataclass
from runner.render.top.flow_table import Order


class Screen(StrEnum):
    """What is on the terminal."""

    RUN = "run"
    STAGE = "stage"
    FAILURES = "failures"
    TAP = "tap"
    HELP = "help"
    RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Effect:
    """What somebody wants to be done outside of the screen."""

    name: str
    """quit, stop, stop-worker, stop-job, scale, stacks, open, tap, replay, report, log."""
    target: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before something is done that can't be taken back."""

    text: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class View:
    """How somebody looks at a run at the moment."""

    screen: Screen = Screen.RUN
    behind: Screen = Screen.RUN
    """The screen that help goes back to."""
    chosen: Mapping[Screen, str] = field(default_factory=dict)
    """The key of the row that is chosen on each screen; the first where none is."""
    stage: str = ""
    """The one that is looked into."""
    before_tap: Screen = Screen.RUN
    """The screen that one goes back to from a tap."""
    wanted: str = ""
    """What names have to contain."""
    is_typing: bool = False
    """Whether keys go into `wanted`."""
    order: Order = Order.FLOW
    question: Question | None = None
    said: str = ""
    """What came of what was done last."""
    stacks: Mapping[str, str] = field(default_factory=dict)
    """Of workers that were asked for them."""
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class Surface:
    """What is drawn on, and when."""

    columns: int
    rows: int | None
    """None: as many as it takes, for what is printed."""
    now: float
    """Seconds since the epoch."""
    has_keys: bool = True
    """Whether the last line tells of keys, and a row is marked as chosen."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is to be shown of a run and does not follow from its events."""

    eta: str = ""
    """When it is done, in words."""
    waiting: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The jobs that have not begun, each with those that it waits for."""
    note: str = ""
    """What is to be known of where all this comes from."""
    keys: Sequence[tuple[str, str]] = ()
    """What the last line tells: keys and what they do, the one that can be spared least first."""


NOTHING_BESIDE = Beside()
