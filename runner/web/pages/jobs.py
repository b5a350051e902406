"""The page of jobs: when each ran, what it waits for, its log, a way to cancel it. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping

from runner.render.page.document import SECTIONS, fragment_of
from runner.render.page.markup import Child, Markup, element
from runner.render.page.model import RunPage
from runner.render.page.needs_graph import tone_of
from runner.render.page.tables import boxed, count
from runner.text import clip
from runner.units import rough_duration
from runner.watch.jobs import WatchedJob
from runner.web.frame import link, run_path
from runner.web.pages.run import act

_SHOWN = ("critical-path", "gantt", "needs-graph")


def jobs_fragments(page: RunPage, *, may_act: bool) -> Mapping[str, Markup]:
    """Return the fragments of the page."""
    found = {each.id: fragment_of(each, page) for each in SECTIONS if each.name in _SHOWN}
    return {"jobs-heading": _heading(page), **found, "jobs-table": _table(page, may_act=may_act)}


def _heading(page: RunPage) -> Markup:
    jobs = page.state.jobs()
    states: dict[str, int] = {}
    for job in jobs:
        word = str(job.state).replace("_", " ")
        states[word] = states.get(word, 0) + 1
    said = ", ".join(f"{count(number)} {state}" for state, number in states.items()) or "none has begun"
    heading = element("h1", "Jobs ", element("span", said, class_="state c-muted"))
    return element("section", heading, id="jobs-heading")


def _table(page: RunPage, *, may_act: bool) -> Markup:
    headings = ("Job", "State", "For", "Attempt", "Step", "Needs", "Why", "", "")
    head = [element("th", each, class_="n" if each in ("For", "Attempt") else None) for each in headings]
    rows = [_row(page, job, may_act=may_act and not page.is_over) for job in page.state.jobs()]
    table = element("table", element("thead", element("tr", head)), element("tbody", rows))
    return element("section", element("h2", "All jobs"), boxed(table), id="jobs-table")


def _row(page: RunPage, job: WatchedJob, *, may_act: bool) -> Markup:
    run = page.state.run
    end = job.ended if job.ended is not None else page.state.ended if page.is_over else time.time()
    took = rough_duration(max((end or 0.0) - job.began, 0.0)) if job.began is not None else "-"
    cancel = None
    if may_act and not job.is_over:
        ask = f"Cancel {job.name}? Those that need it are skipped."
        cancel = act("cancel", run_path(run, "stop"), label=f"cancel {job.name}", confirm=ask, job=job.name)
    cells: list[tuple[Child, str | None]] = [
        (job.name, None),
        (str(job.state).replace("_", " "), f"c-{tone_of(job.state, 'muted')}"),
        (took, "n"),
        (str(job.attempts or "-"), "n"),
        (job.step or "", None),
        (", ".join(job.needs), "text" if job.needs else None),
        (clip(job.reason, 300), "text" if job.reason else None),
        (link("log", run_path(run, "log", job=job.name)) if job.log else None, None),
        (cancel, None),
    ]
    return element(
        "tr",
        [element("td", what, class_=class_) for what, class_ in cells],
        data_key=job.name,
        data_state=str(job.state),
    )
