"""What failed: the kinds, how often each came and comes, an item of the chosen one, and how they are put back. Pure.

RunState, View, Surface ──► failures_screen ──► lines
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from runner.render.top.drawing import (
    ASIDE,
    BAD,
    HEADING,
    beside_each_other,
    in_words,
    per_second,
    sparkline,
    whole,
)
from runner.render.top.parts import chosen_place, filled_up, kind_title, last_line, viewport, wall_clock
from runner.render.top.view import NOTHING_BESIDE, Beside, Screen, Surface, View
from runner.text import cells, clip, visible
from runner.watch.state import KindOfFailure, RunState

_TITLES = ("    COUNT", "STAGE", "FIRST", "LAST", "KIND")
_MINUTE = 60.0
_MOST_FRAMES = 9


def failures_screen(
    state: RunState, view: View, surface: Surface, beside: Beside = NOTHING_BESIDE
) -> list[Text]:
    """Return the lines of the screen of failures."""
    kinds = state.failures()
    keys = kind_keys(kinds)
    chosen = chosen_place(view.chosen.get(Screen.FAILURES, ""), keys)
    top = [_title(state, surface), Text("")]
    if not kinds:
        return filled_up(
            [*top, Text("nothing has failed", "green")], last_line(view, beside.keys, surface), surface
        )
    rows = [
        _row(kind, "▸ " if place == chosen and surface.has_keys else "  ") for place, kind in enumerate(kinds)
    ]
    head, lines = beside_each_other(rows, _TITLES, "rllll", surface.columns, ("FIRST", "STAGE", "LAST"))
    of_chosen = _of_kind(state, kinds[chosen], surface)
    if surface.rows is None:
        return filled_up(
            [*top, head, *lines, Text(""), *of_chosen], last_line(view, beside.keys, surface), surface
        )
    room = surface.rows - len(top) - 1 - int(surface.has_keys)
    table = viewport(lines, chosen, max(min(len(lines), room // 2, room), 1))
    return filled_up(
        [*top, head, *table, Text(""), *of_chosen], last_line(view, beside.keys, surface), surface
    )


def kind_keys(kinds: Sequence[KindOfFailure]) -> list[str]:
    """Name the rows."""
    return [str(kind.kind.id) for kind in kinds]


def _title(state: RunState, surface: Surface) -> Text:
    stages = state.stages()
    failed = sum(stage.counts["failed"] for stage in stages)
    again = sum(stage.counts["retried"] for stage in stages)
    words = f"{whole(failed)} for good, {whole(again)} tried again"
    title = Text.assemble((f"{visible(state.workflow)} › failures", HEADING), f"   {words}")
    return title if title.cell_len <= surface.columns else Text(in_words(words, surface.columns))


def _row(kind: KindOfFailure, mark: str) -> list[Text]:
    return [
        Text(f"{mark}{whole(kind.kind.n):>7}"),
        Text(visible(kind.kind.stage)),
        Text(wall_clock(kind.kind.first)),
        Text(wall_clock(kind.kind.last)),
        Text(kind_title(kind), BAD),
    ]


def _of_kind(state: RunState, kind: KindOfFailure, surface: Surface) -> list[Text]:
    return [
        *_per_minute(kind, surface),
        *_first_item(kind, surface),
        *_like_it(kind, surface),
        *_ways_back(state, kind, surface),
    ]


def _per_minute(kind: KindOfFailure, surface: Surface) -> list[Text]:
    lead = "  per minute  "
    points = [(kind.kind.minutes.start, 0.0), *kind.kind.minutes.points()]
    values = per_second(points, min(surface.columns - len(lead), 60), _MINUTE)
    if len(values) < 2:
        return []
    return [Text.assemble(lead, (sparkline(values), BAD)), Text("")]


def _first_item(kind: KindOfFailure, surface: Surface) -> list[Text]:
    """Show the first of them, whose traceback is kept."""
    first = next(iter(kind.samples), None)
    what = "the first" if first is None else f"item {clip(visible(first.item), 60)}"
    lines = [line for line in kind.kind.traceback.rstrip().splitlines() if line.strip(" ^~")][-_MOST_FRAMES:]
    lines = lines if lines else kind.kind.error.splitlines()
    return [
        Text(in_words(f"  {what}, {wall_clock(kind.kind.first)}", surface.columns)),
        *(Text(in_words(f"    {line}", surface.columns), ASIDE) for line in map(visible, lines)),
        Text(""),
    ]


def _like_it(kind: KindOfFailure, surface: Surface) -> list[Text]:
    others = [clip(visible(sample.item), 30) for sample in kind.samples[1:]]
    if not others:
        return []
    line, shown = "  like it:", 0
    for item in others:
        longer = f"{line}  {item}" if shown else f"{line} {item}"
        if cells(longer) + len(" … and 1,000,000 more") > surface.columns:
            break
        line, shown = longer, shown + 1
    left = kind.kind.n - 1 - shown
    more = f" … and {whole(left)} more" if left > 0 else ""
    return [Text(in_words(line + more, surface.columns)), Text("")]


def _ways_back(state: RunState, kind: KindOfFailure, surface: Surface) -> list[Text]:
    if not any(sample.letter for sample in kind.samples):
        return []
    which = f"{state.run} --kind {kind.kind.id}"
    return [
        Text(in_words(f"  mprun dlq {verb} {which}", surface.columns), ASIDE) for verb in ("show", "replay")
    ]
