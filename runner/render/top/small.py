"""The live view of `mprun run`: the rows of `mprun top`, in the few lines at the bottom of a terminal. Pure.

RunState, how many lines ──► live_lines ──► lines ──► Footer (render/progress.py)
"""

from __future__ import annotations

from rich.text import Text

from runner.render.top.drawing import ASIDE, HEADING, WAITS, in_words, whole
from runner.render.top.flow_table import blocks, flow_rows, head_line, layout_for, row_line
from runner.render.top.jobs_screen import how_far, job_rows, job_table
from runner.render.top.parts import heading
from runner.render.top.view import Surface
from runner.text import visible
from runner.watch.state import RunPhase, RunState


def live_lines(state: RunState, surface: Surface, most: int, eta: str = "") -> list[Text]:
    """Return what a run does now, in at most `most` lines; the last one counts the rows that do not fit."""
    if state.has_jobs:
        return _jobs(state, surface, most)
    rows = flow_rows(blocks(state.stages(), state.queues()))
    top = [heading(state, surface, eta), *_stopping(state, surface)]
    if not rows:
        return top
    hint = state.held_back_by()
    if hint is not None and len(top) + 1 + len(rows) < most:
        top.append(Text(in_words(f"{visible(hint.while_it_runs())}.", surface.columns), ASIDE))
    room = max(most - len(top) - 1, 1)
    shown = rows if len(rows) <= room else rows[: max(room - 1, 0)]
    layout = layout_for(shown or rows, surface.columns)
    lines = [*top, head_line(layout), *(row_line(row, layout) for row in shown)]
    if len(shown) < len(rows):
        lines.append(Text(f"… and {whole(len(rows) - len(shown))} more: `mprun top` has them all", ASIDE))
    return lines


def _stopping(state: RunState, surface: Surface) -> list[Text]:
    if state.phase is not RunPhase.STOPPING or not state.stop_reason:
        return []
    return [Text(in_words(f"it stops: {state.stop_reason}", surface.columns), WAITS)]


def _jobs(state: RunState, surface: Surface, most: int) -> list[Text]:
    running = {job.name for job in state.jobs() if not job.is_over}
    rows = [row for row in job_rows(state, {}, surface.now) if row.name in running]
    left = heading(state, surface)
    top = [Text.assemble(left, "  ", (how_far(state), HEADING)), *_stopping(state, surface)]
    room = max(most - len(top), 1)
    shown = rows if len(rows) <= room else rows[: max(room - 1, 0)]
    lines = [*top, *job_table(shown, surface)[1]] if shown else top
    if len(shown) < len(rows):
        lines.append(Text(f"  and {whole(len(rows) - len(shown))} more", ASIDE))
    return lines
