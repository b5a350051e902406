"""What passes at one place of a run, as its workers show it: some items of each second, the newest at the bottom. Pure.

what was shown, how many passed ──► tap_screen ──► lines
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.text import Text

from runner.facts import dataclass
from runner.render.top.drawing import ASIDE, HEADING, WAITS, in_words, whole
from runner.render.top.parts import filled_up, last_line, wall_clock
from runner.render.top.view import NOTHING_BESIDE, Beside, Surface, View
from runner.text import cells, pad, truncate, visible
from runner.watch.tap import ShownItem

MOST_KEPT = 200
"""Items that are kept, the newest ones: more than any terminal has rows."""


@dataclass(frozen=True, slots=True)
class Tapped:
    """What has been shown so far."""

    of: str
    """The queue or stage, with the word for which it is."""
    items: Sequence[ShownItem] = ()
    shown: int = 0
    passed: int = 0
    trouble: str = ""


def tap_screen(
    tapped: Tapped, workflow: str, view: View, surface: Surface, beside: Beside = NOTHING_BESIDE
) -> list[Text]:
    """Return the lines of the screen."""
    sampled = (
        f"shown {whole(tapped.shown)} of {whole(max(tapped.passed, tapped.shown))} that passed: a sample"
    )
    title = Text.assemble((f"{visible(workflow)} › {visible(tapped.of)}", HEADING), f"   {sampled}")
    top = [title if title.cell_len <= surface.columns else Text(in_words(sampled, surface.columns)), Text("")]
    if tapped.trouble:
        top.append(Text(in_words(tapped.trouble, surface.columns), WAITS))
    elif not tapped.items:
        top.append(Text("nothing has passed yet", ASIDE))
    room = len(tapped.items) if surface.rows is None else max(surface.rows - len(top) - 1, 1)
    shown = list(tapped.items)[-room:]
    wide = max([cells(visible(item.worker)) for item in shown], default=0)
    lines = [_item_line(item, wide, surface) for item in shown]
    return filled_up([*top, *lines], last_line(view, beside.keys, surface), surface)


def _item_line(item: ShownItem, wide: int, surface: Surface) -> Text:
    lead = f"{wall_clock(item.at)}  {pad(visible(item.worker), wide)}  "
    text = visible(json.dumps(item.item, ensure_ascii=False))
    text = text if item.whole else f"{text} …"
    room = surface.columns - cells(lead)
    if room < 8:
        return Text(truncate(text, max(surface.columns, 1)))
    return Text.assemble((lead, ASIDE), truncate(text, room))
