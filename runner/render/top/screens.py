"""The screen that somebody looks at, whichever it is, with the keys that there are on it. Pure.

RunState, View, Surface, Beside ──► screen_lines ──► lines
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text

from runner.record.summary import RunSummary
from runner.render.top.choice_screen import choice_screen, help_screen
from runner.render.top.failures_screen import failures_screen, kind_keys
from runner.render.top.jobs_screen import job_rows, jobs_screen
from runner.render.top.run_screen import row_keys, run_screen
from runner.render.top.stage_screen import stage_screen, workers_of
from runner.render.top.tap_screen import Tapped, tap_screen
from runner.render.top.view import NOTHING_BESIDE, Beside, Screen, Surface, View
from runner.watch.state import RunState

_KEYS = {
    Screen.RUN: (
        ("↑↓", "choose", False),
        ("⏎", "workers", False),
        ("f", "failures", False),
        ("t", "tap", False),
        ("+ −", "scale", True),
        ("s", "stop", True),
        ("r", "report", False),
        ("/", "filter", False),
        ("o", "sort", False),
    ),
    Screen.STAGE: (
        ("⎋", "back", False),
        ("⏎", "stack", False),
        ("k", "stop worker", True),
        ("t", "tap its output", False),
        ("l", "its log", False),
        ("+ −", "scale", True),
        ("f", "failures", False),
    ),
    Screen.FAILURES: (("↑↓", "kind", False), ("R", "put back (asks first)", True), ("⎋", "back", False)),
    Screen.TAP: (("⎋", "back", False),),
    Screen.RUNS: (("↑↓", "choose", False), ("⏎", "look at it", False)),
}
"""Keys by screen, what they do, and whether that changes the run."""
_JOB_KEYS = (
    ("↑↓", "choose", False),
    ("l", "its log", False),
    ("x", "cancel the job", True),
    ("s", "stop", True),
    ("/", "filter", False),
    ("f", "failures", False),
)


def screen_keys(state: RunState | None, view: View) -> list[tuple[str, str]]:
    """Return the keys of the screen that is shown, those that act only where that can be."""
    has_jobs = view.screen is Screen.RUN and state is not None and state.has_jobs
    keys = _JOB_KEYS if has_jobs else _KEYS.get(view.screen, ())
    may_act = not view.is_read_only and state is not None and not state.phase.is_over
    return [(key, does) for key, does, acts in keys if may_act or not acts]


def screen_lines(
    state: RunState,
    view: View,
    surface: Surface,
    beside: Beside = NOTHING_BESIDE,
    runs: Sequence[RunSummary] = (),
    tapped: Tapped | None = None,
) -> list[Text]:
    """Return the lines of the screen."""
    beside = replace(beside, keys=screen_keys(state, view))
    match view.screen:
        case Screen.HELP:
            return help_screen(view, surface)
        case Screen.RUNS:
            return choice_screen(runs, view, surface, beside)
        case Screen.TAP:
            return tap_screen(tapped or Tapped(""), state.workflow, view, surface, beside)
        case Screen.STAGE:
            return stage_screen(state, view, surface, beside)
        case Screen.FAILURES:
            return failures_screen(state, view, surface, beside)
    return (jobs_screen if state.has_jobs else run_screen)(state, view, surface, beside)


def keys_of_rows(
    state: RunState,
    view: View,
    surface: Surface,
    beside: Beside = NOTHING_BESIDE,
    runs: Sequence[RunSummary] = (),
) -> list[str]:
    """Name the rows that can be chosen on the screen, from top to bottom."""
    match view.screen:
        case Screen.RUNS:
            return [run.id for run in runs]
        case Screen.STAGE:
            return [worker.name for worker in workers_of(state, view, surface)]
        case Screen.FAILURES:
            return kind_keys(state.failures())
        case Screen.RUN if state.has_jobs:
            return [row.name for row in job_rows(state, beside.waiting, surface.now, wanted=view.wanted)]
        case Screen.RUN:
            return row_keys(state, view)
    return []
