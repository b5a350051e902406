"""The page: its sections in their order, and the shell that they stand in. One file, without script or request. Pure.

RunPage ──► fragments ──► {"run-rate": <section id="run-rate">…}      each by itself, as a dashboard sends them
                └───────► whole_page ──► <!DOCTYPE html>…
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from runner.render.page import background, jobs, sections
from runner.render.page.markup import Child, Markup, element, joined
from runner.render.page.model import RunPage
from runner.render.page.style import STYLE
from runner.render.page.svg import GENERATOR

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Section(NamedTuple):
    """One part of a page: the id of its element without the prefix, its heading, and what makes its content."""

    name: str
    heading: str
    content: Callable[[RunPage], Child]

    @property
    def id(self) -> str:
        """The id of its element."""
        return f"run-{self.name}"


SECTIONS = (
    Section("summary", "", sections.summary_section),
    Section("bottleneck", "", sections.bottleneck_section),
    Section("critical-path", "", jobs.critical_path_section),
    Section("gantt", "When each job ran", jobs.gantt_section),
    Section("needs-graph", "What needs what", jobs.needs_graph_section),
    Section("jobs", "Jobs", jobs.job_table_section),
    Section("logs", "What failed, and its last words", jobs.logs_section),
    Section("graph", "What flowed where", sections.graph_section),
    Section("stages", "Stages", sections.stages_section),
    Section("rate", "Items a second", sections.rate_section),
    Section("fill", "Items that wait in queues", sections.fill_section),
    Section("workers", "Workers", sections.workers_section),
    Section("times", "How long items took", sections.times_section),
    Section("slowest", "Slowest items", sections.slowest_section),
    Section("failures", "Failures by kind", sections.failures_section),
    Section("ledger", "Ledger", sections.ledger_section),
    Section("events", "Events", background.events_section),
    Section("setup", "What was run", background.setup_section),
    Section("lives", "Its runners", background.lives_section),
)


def fragments(page: RunPage) -> dict[str, Markup]:
    """Return each section by the id of its element. One with nothing to say is empty and hidden, and may fill later."""
    return {section.id: fragment_of(section, page) for section in SECTIONS}


def fragment_of(section: Section, page: RunPage) -> Markup:
    """Return one section; empty and hidden where it has nothing to say."""
    return _shown(section, page) or element("section", id=section.id, hidden=True)


def _shown(section: Section, page: RunPage) -> Markup | None:
    content = joined(section.content(page))
    if not content.html:
        return None
    heading = element("h2", section.heading) if section.heading else None
    return element("section", heading, content, id=section.id)


def whole_page(page: RunPage, footer: str = "") -> str:
    """Return the page as the text of a file; `footer` says when it was made, and by what."""
    title = (
        f"{page.report.workflow or page.state.workflow} {page.outcome} · {page.report.run or page.state.run}"
    )
    shown = [_shown(section, page) for section in SECTIONS]
    return shell(title, element("main", shown), element("footer", footer) if footer else None)


def shell(title: str, *body: Child, head: Child = None, policy: str = POLICY) -> str:
    """Return a document; `head` is what else belongs into its head."""
    inner = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy) if policy else None,
        element("meta", name="generator", content=GENERATOR),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(STYLE)),
        head,
    )
    return f"<!DOCTYPE html>\n{element('html', inner, element('body', *body), lang='en')}\n"


def is_page(beginning: bytes) -> bool:
    """Say by the beginning of a file whether it is a page of a run."""
    return beginning.startswith(b"<!DOCTYPE html>") and _OUR_META in beginning


_OUR_META = str(element("meta", name="generator", content=GENERATOR)).encode()
