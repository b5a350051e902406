"""Which run is meant, where several are under way; and what all keys do. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from runner.record.summary import RunSummary
from runner.render.top.drawing import ASIDE, HEADING, beside_each_other, in_words, whole, wrapped_words
from runner.render.top.parts import chosen_place, filled_up, last_line, time_taken, viewport, wall_clock
from runner.render.top.view import NOTHING_BESIDE, Beside, Screen, Surface, View
from runner.text import visible

_TITLES = ("  RUN", "BEGAN", "FOR", "DONE", "FAILED", "WORKFLOW")
HELP = (
    ("↑ ↓  j k", "choose a row", False),
    ("g G  PgUp PgDn", "the first row, the last one, ten up or down", False),
    ("⏎", "look into a stage; on a worker, its stack", False),
    ("⎋", "back; on the first screen, leave", False),
    ("f", "what failed, by kinds", False),
    ("t", "what passes in the chosen queue, or what a stage makes", False),
    ("r l", "write the page of the run, WORKFLOW-ID.html; the log of a worker or job", False),
    ("/", "only rows whose name has what you type", False),
    ("o", "sort by flow, busy, rate, failed (s is for stop)", False),
    ("+ −", "one worker more or fewer for the chosen stage, at once", True),
    ("s", "stop the run, as Ctrl-C in its terminal would; asks first", True),
    ("k", "on a worker: have it end; asks first (↑ ↓ choose there)", True),
    ("R", "on a kind of failure: put its items back; asks first", True),
    ("x", "on a job: cancel it; asks first", True),
    ("? q", "this page; leave. The run goes on without top", False),
)
"""Keys, what they do, and whether that changes the run."""
_READING = (
    "The bar of a stage: █ busy, ▒ blocked by a full queue or a lock, · idle or waiting for an item, over the last "
    "seconds. OUT: items that it is done with since the beginning. /S: the same a second, now. P95: 95 of 100 items "
    "take no longer. FAIL: items that failed for good. The bar of a queue says how full it is."
)


def choice_screen(
    runs: Sequence[RunSummary], view: View, surface: Surface, beside: Beside = NOTHING_BESIDE
) -> list[Text]:
    """Return the list of runs to choose from."""
    chosen = chosen_place(view.chosen.get(Screen.RUNS, ""), [run.id for run in runs])
    shown = [_row(run, surface, place == chosen and surface.has_keys) for place, run in enumerate(runs)]
    head, lines = beside_each_other(
        shown, _TITLES, "llrrrl", surface.columns, ("BEGAN", "FAILED", "DONE", "FOR")
    )
    top = [Text("Several runs are under way: which one?", HEADING), Text(""), head]
    if surface.rows is None:
        return filled_up([*top, *lines], last_line(view, beside.keys, surface), surface)
    room = max(surface.rows - len(top) - int(surface.has_keys), 1)
    return filled_up([*top, *viewport(lines, chosen, room)], last_line(view, beside.keys, surface), surface)


def _row(run: RunSummary, surface: Surface, is_chosen: bool) -> list[Text]:
    numbers = [Text("" if number is None else whole(number)) for number in (run.done, run.failed)]
    return [
        Text(f"{'▸ ' if is_chosen else '  '}{run.id}"),
        Text(wall_clock(run.began)),
        Text(time_taken(surface.now - run.began)),
        *numbers,
        Text(visible(run.workflow)),
    ]


def help_screen(view: View, surface: Surface) -> list[Text]:
    """Return the page on keys and marks."""
    keys = [(key, does) for key, does, acts in HELP if not (acts and view.is_read_only)]
    lines = [Text("mprun top: keys", HEADING), Text("")]
    lines += [
        Text.assemble((f"  {key:<15}", HEADING), in_words(does, surface.columns - 17)) for key, does in keys
    ]
    if view.is_read_only:
        lines.append(Text("  --read-only: keys that change the run are off", ASIDE))
    lines += [Text(""), *map(Text, wrapped_words(_READING, surface.columns, 8))]
    return filled_up(lines, Text(in_words("any key: back", surface.columns), ASIDE), surface)
