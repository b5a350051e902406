"""The page of one run, as it goes on: its state, the graph with what flows now, stages with ways to change them. Pure.

RunPage ──► sections of the page after a run, some of them as of now ──► fragments
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import field

from runner.facts import dataclass
from runner.render.page.charts import shares_bar
from runner.render.page.document import SECTIONS, fragment_of
from runner.render.page.flow_facts import flow_of_now
from runner.render.page.markup import Child, Markup, element
from runner.render.page.model import RunPage
from runner.render.page.sections import graph_of
from runner.render.page.svg import short_number
from runner.render.page.tables import boxed, count, share, took
from runner.watch.stages import WatchedStage
from runner.watch.state import RunPhase
from runner.web.frame import link, run_path

QUICK_SECTIONS = frozenset({"summary", "bottleneck", "critical-path", "gantt", "needs-graph", "jobs"})
"""What is drawn each time; the rest, which shows how it went so far, once a second."""
SLOW_EVERY = 1.0
LEFT_OUT = frozenset({"graph", "stages", "jobs", "logs"})


@dataclass(slots=True)
class RunDrawing:
    """The page of a run, which keeps what it has drawn lately."""

    may_act: bool
    _drawn: dict[str, Markup] = field(default_factory=dict)
    _of: RunPage | None = None
    _at: float = 0.0

    def fragments(self, page: RunPage) -> Mapping[str, Markup]:
        """Return the fragments of the page."""
        if page is self._of and page.is_over:
            return self._drawn
        now = time.monotonic()
        is_slow_due = now - self._at >= SLOW_EVERY or page.is_over
        for section in SECTIONS:
            if section.name == "graph":
                self._drawn["run-actions"] = actions(page, may_act=self.may_act)
                self._drawn[section.id] = fragment_of(section, page) if page.is_over else live_graph(page)
                self._drawn["run-stages"] = live_stages(page, may_act=self.may_act)
            elif section.name not in LEFT_OUT and (section.name in QUICK_SECTIONS or is_slow_due):
                self._drawn[section.id] = fragment_of(section, page)
        if is_slow_due:
            self._at = now
        self._of = page
        return self._drawn


def live_graph(page: RunPage) -> Markup:
    """Draw the stages and queues with what they do now."""
    stages = () if page.state.has_jobs else page.state.stages()
    if not stages:
        return element("section", id="run-graph", hidden=True)
    failed = {line.name: line.failed for line in page.report.stages}
    drawn = graph_of(flow_of_now(stages, page.state.queues(), failed))
    return element("section", element("h2", "What flows where"), drawn, id="run-graph")


def act(
    words: str, path: str, *, label: str | None = None, confirm: str | None = None, **body: object
) -> Markup:
    """Return a button that asks the server for something."""
    return element(
        "button",
        words,
        type="button",
        aria_label=label,
        title=label,
        data_post=path,
        data_body=json.dumps(body, ensure_ascii=False),
        data_confirm=confirm,
    )


def actions(page: RunPage, *, may_act: bool) -> Markup:
    """Return what can be done with the run as a whole."""
    if page.is_over or not may_act:
        return element("section", id="run-actions", hidden=True)
    run = page.state.run
    is_stopping = page.state.phase is RunPhase.STOPPING
    words = "kill what is left" if is_stopping else "stop"
    ask = (
        "Kill all that is left of it?"
        if is_stopping
        else "Stop this run? Producers stop, and what is in the queues is worked off."
    )
    button = act(words, run_path(run, "stop"), confirm=ask)
    return element("section", element("div", button, class_="acts"), id="run-actions")


def live_stages(page: RunPage, *, may_act: bool) -> Markup:
    """Return the table of the stages: what each does now, and buttons for more workers or fewer."""
    stages = () if page.state.has_jobs else page.state.stages()
    if not stages:
        return element("section", id="run-stages", hidden=True)
    may_scale = may_act and not page.is_over and page.state.transport == "leased"
    headings = (
        "Stage",
        "Workers",
        "",
        "Out",
        "Items/s",
        "Failed",
        "p50",
        "p95",
        "",
        "Busy",
        "Blocked",
        "Starved",
    )
    words = (0, 2, 8)
    head = [element("th", each, class_=None if at in words else "n") for at, each in enumerate(headings)]
    lines = {line.name: line.failed for line in page.report.stages}
    rows = [_stage_row(page, stage, lines.get(stage.name, 0), may_scale=may_scale) for stage in stages]
    table = element("table", element("thead", element("tr", head)), element("tbody", rows), class_="stages")
    of = "over the whole run" if page.is_over else "over the last seconds"
    key: list[Child] = [
        *(element("span", "■ ", class_="c-busy"), "busy: in the handler   "),
        *(element("span", "■ ", class_="c-blocked"), "blocked: waiting for room, or a lock   "),
        *(element("span", "■ ", class_="c-starved"), f"starved: waiting for items; {of}"),
    ]
    return element(
        "section", element("h2", "Stages"), boxed(table), element("p", key, class_="aside"), id="run-stages"
    )


def _stage_row(page: RunPage, stage: WatchedStage, failed: int, *, may_scale: bool) -> Markup:
    shares = stage.whole if page.is_over else stage.now
    rate = stage.mean_rate if page.is_over else stage.rate
    said = f"{share(shares.busy)} busy, {share(shares.blocked)} blocked, {share(shares.starved)} starved"
    bar = shares_bar(f"{stage.name}: {said}", [("busy", shares.busy), ("blocked", shares.blocked)])
    alive = count(stage.alive) if page.is_over else f"{count(stage.alive)}/{count(stage.workers)}"
    cells: list[tuple[Child, bool]] = [
        (link(stage.name, run_path(page.state.run, "stage", name=stage.name)), False),
        (count(stage.workers) if page.is_over else alive, True),
        (_scale(page, stage) if may_scale and not stage.is_producer else None, False),
        (count(stage.passed), True),
        (short_number(rate), True),
        (element("b", count(failed), class_="c-bad") if failed else "0", True),
        (took(stage.times.percentile(0.5) if stage.times.items else None), True),
        (took(stage.times.percentile(0.95) if stage.times.items else None), True),
        (element("div", bar, class_="bar"), False),
        *((share(part), True) for part in (shares.busy, shares.blocked, shares.starved)),
    ]
    return element(
        "tr",
        [element("td", what, class_="n" if is_number else None) for what, is_number in cells],
        data_key=stage.name,
        data_passed=stage.passed,
        data_workers=stage.workers,
        data_alive=stage.alive,
    )


def _scale(page: RunPage, stage: WatchedStage) -> Markup:
    path, run = run_path(page.state.run, "scale"), stage.name
    fewer = act("−", path, label=f"one worker fewer for {run}", stage=run, by=-1)
    more = act("+", path, label=f"one worker more for {run}", stage=run, by=1)
    return element("span", fewer, more, class_="pair")
