"""The main screen of a run with stages: what holds it up, what each stage and queue does, what fails. Pure.

RunState, View, Surface ──► run_screen ──► lines
"""

from __future__ import annotations

from rich.text import Text

from runner.render.top.drawing import (
    ASIDE,
    WAITS,
    in_words,
    per_second,
    rate_text,
    sparkline,
    wrapped_words,
)
from runner.render.top.flow_table import FlowBlock, blocks, flow_rows, head_line, layout_for, row_line
from runner.render.top.parts import (
    chosen_place,
    event_lines,
    failure_lines,
    filled_up,
    heading,
    last_line,
    viewport,
    why_it_ends,
)
from runner.render.top.view import NOTHING_BESIDE, Beside, Screen, Surface, View
from runner.text import cells, visible
from runner.watch.stages import WatchedStage
from runner.watch.state import RunPhase, RunState

_MOST_KINDS = 3
_MOST_EVENTS = 4


def run_screen(state: RunState, view: View, surface: Surface, beside: Beside = NOTHING_BESIDE) -> list[Text]:
    """Return the lines of the main screen."""
    top = [heading(state, surface, beside.eta), *_pace(state, surface), *why_it_ends(state, surface)]
    top += _hint(state, view, surface)
    table = table_lines(state, view, surface)
    wanted = (
        Text(f"only names with '{view.wanted}'", WAITS) if view.wanted and not view.is_typing else Text("")
    )
    above = [*top, _remark(view, wanted, beside.note, surface), table[0]]
    if surface.rows is None:
        below = _below(state, surface, _MOST_KINDS + 1, _MOST_EVENTS)
        return filled_up([*above, *table[1:], *below], last_line(view, beside.keys, surface), surface)
    room = surface.rows - len(above) - int(surface.has_keys)
    below = _fitting_below(state, surface, room - min(len(table) - 1, max(room - 2, 1)))
    chosen = chosen_place(view.chosen.get(Screen.RUN, ""), row_keys(state, view))
    shown = viewport(table[1:], chosen, max(room - len(below), 1))
    return filled_up([*above, *shown, *below], last_line(view, beside.keys, surface), surface)


def _remark(view: View, wanted: Text, note: str, surface: Surface) -> Text:
    """Say by what rows are sorted, where that is not the flow, which are left out, and where all is from."""
    sort = "" if view.order == "flow" else f"sorted by {view.order}"
    parts = [each for each in (wanted, Text(sort, ASIDE), Text(note, ASIDE)) if each.plain]
    line = Text("   ").join(parts)
    return line if line.cell_len <= surface.columns else Text(in_words(line.plain, surface.columns), ASIDE)


def row_keys(state: RunState, view: View) -> list[str]:
    """Name the rows of the table, from top to bottom."""
    return [row.key for row in flow_rows(_blocks(state, view))]


def _blocks(state: RunState, view: View) -> list[FlowBlock]:
    return blocks(state.stages(), state.queues(), order=view.order, wanted=view.wanted)


def table_lines(state: RunState, view: View, surface: Surface) -> list[Text]:
    """Return the titles and all rows of the table."""
    rows = flow_rows(_blocks(state, view), is_over=state.phase.is_over)
    layout = layout_for(rows, surface.columns)
    keys = [row.key for row in rows]
    chosen = chosen_place(view.chosen.get(Screen.RUN, ""), keys) if surface.has_keys else -1
    return [
        head_line(layout),
        *(row_line(row, layout, is_chosen=place == chosen) for place, row in enumerate(rows)),
    ]


def _fitting_below(state: RunState, surface: Surface, room: int) -> list[Text]:
    """Return what stands below the table, as much of it as there is room for: failures before what happened."""
    for kinds, events in ((_MOST_KINDS, _MOST_EVENTS), (2, 2), (2, 1), (1, 1), (2, 0), (1, 0), (0, 0)):
        lines = _below(state, surface, kinds + 1, events)
        if len(lines) <= room:
            return lines
    return []


def _below(state: RunState, surface: Surface, failures: int, events: int) -> list[Text]:
    parts = [failure_lines(state, surface, failures), event_lines(state, surface, events)]
    return [line for part in parts if part for line in (Text(""), *part)]


def ends_of_flow(stages: tuple[WatchedStage, ...]) -> list[WatchedStage]:
    """Return the stages that items leave the run by; all where none has targets."""
    last = [stage for stage in stages if not stage.targets and stage.source is not None]
    return last or [stage for stage in stages if stage.targets] or list(stages)


def _pace(state: RunState, surface: Surface) -> list[Text]:
    """Return how many items a second have left the run, over all of its time."""
    ends = ends_of_flow(state.stages())
    if not ends:
        return []
    now, mean = sum(stage.rate for stage in ends), sum(stage.mean_rate for stage in ends)
    shown = mean if state.phase.is_over else now
    words = f"{rate_text(shown)} items/s" + ("" if state.phase.is_over else f"  mean {rate_text(mean)}")
    room = surface.columns - cells(words) - 2
    spark = sparkline(items_per_second(state, ends, min(room, 60)))
    if room < 8 or not spark:
        return [Text(words) if cells(words) <= surface.columns else Text("")]
    return [Text.assemble((spark, "green"), "  ", words)]


def items_per_second(state: RunState, ends: list[WatchedStage], most: int) -> list[float]:
    """Return the rate over the whole time of the run, added up over stages."""
    added: list[float] = []
    for stage in ends:
        series = state.series(f"stage/{stage.name}/{'sent' if stage.is_producer else 'done'}")
        if series is None:
            continue
        points = [(state.began, 0.0), *series.points()]
        values = per_second([each for each in points if each[0] >= state.began], most)
        longest = max(len(values), len(added))
        added = [
            (values[n] if n < len(values) else 0.0) + (added[n] if n < len(added) else 0.0)
            for n in range(longest)
        ]
    return added


def _hint(state: RunState, view: View, surface: Surface) -> list[Text]:
    """Say which stage holds the run back, and which key mends it."""
    found = state.held_back_by()
    if found is None or state.phase is not RunPhase.RUNNING:
        return []
    sentence = f"{visible(found.while_it_runs())}."
    key = "  + gives it a worker"
    helps = surface.has_keys and not view.is_read_only and found.stage.receives is not None
    if helps and cells(sentence + key) <= surface.columns:
        sentence += key
    return [Text(line) for line in wrapped_words(sentence, surface.columns, 2)]
