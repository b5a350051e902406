"""The page of logs: what befell a run, what handlers said, what one of its jobs printed, 200 lines at a time. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from runner.facts import dataclass
from runner.jobs.log_pages import LogPage
from runner.record.reader import StoredEvent
from runner.render.page.markup import Child, Markup, element
from runner.render.page.tables import count
from runner.text import clip
from runner.units import format_size
from runner.web.frame import link, run_path

PER_PAGE = 200
LONGEST_LINE = 4000
KINDS = {"events": "%", "said": "worker.logged"}
"""What there is of a run of stages: the names of the events that each of them shows."""
_LEFT_OUT = frozenset({"worker", "stage", "job", "pid", "ppid", "traceback", "daemon"})
_TONES = {30: "blocked", 40: "bad", 50: "bad"}


@dataclass(frozen=True, slots=True)
class LogAsked:
    """What of the logs is asked for. `before` and `after` are numbers of events, or bytes of the log of a job."""

    of: str = "events"
    job: str | None = None
    words: str = ""
    before: int | None = None
    after: int | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> LogAsked:
        """Read what a query says; what it does not say sensibly is as usual."""
        of = query.get("of", "events")
        return cls(
            of if of in KINDS else "events",
            query.get("job") or None,
            query.get("q", "").strip(),
            _number(query.get("before")),
            _number(query.get("after")),
        )

    @property
    def is_tail(self) -> bool:
        """Whether the end is shown, and what comes."""
        return self.before is None and self.after is None

    def path(self, run: str, **other: str | int | None) -> str:
        """Return the path that asks for it, with something else in some respect."""
        asked: dict[str, str | int | None] = {
            "of": None if self.job or self.of == "events" else self.of,
            "job": self.job,
            "q": self.words or None,
        }
        return run_path(run, "log", **{**asked, **other})


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def event_log_fragments(
    run: str, name: str, asked: LogAsked, events: Sequence[StoredEvent], jobs: Sequence[str]
) -> Mapping[str, Markup]:
    """Return the fragments of a page of events."""
    lines = [element("div", _event_line(each), data_key=each.id) for each in events]
    older = len(events) == PER_PAGE or (asked.after is not None and bool(events))
    first, last = (events[0].id, events[-1].id) if events else (0, 0)
    ways = _ways(
        asked,
        run,
        older=first if older else None,
        newer=last if not asked.is_tail else None,
    )
    return {
        "log-heading": _heading(run, name, asked, jobs),
        "log-lines": _lines(
            asked, lines, "Nothing is like that." if asked.words else "Nothing was kept yet."
        ),
        "log-ways": ways,
    }


def job_log_fragments(
    run: str, name: str, asked: LogAsked, page: LogPage, jobs: Sequence[str]
) -> Mapping[str, Markup]:
    """Return the fragments of a page of what a job printed."""
    lines = [element("div", clip(line, LONGEST_LINE) or " ") for line in page.lines]
    of = f"bytes {count(page.begin)} to {count(page.end)} of {format_size(page.size)}"
    ways = _ways(
        asked,
        run,
        older=page.begin if page.begin else None,
        newer=page.end if page.end < page.size else None,
        said=of,
    )
    nothing = "No line is like that, as far as was searched." if asked.words else "It has printed nothing."
    return {
        "log-heading": _heading(run, name, asked, jobs),
        "log-lines": _lines(asked, lines, nothing),
        "log-ways": ways,
    }


def _heading(run: str, name: str, asked: LogAsked, jobs: Sequence[str]) -> Markup:
    words = {"events": "what befell it", "said": "what handlers said"}
    kinds = [
        link(said, LogAsked(of).path(run), aria_current="true" if not asked.job and asked.of == of else None)
        for of, said in words.items()
        if of != "said" or not jobs
    ]
    choice = None
    if jobs:
        options = [element("option", "events", value="")]
        options += [
            element("option", job, value=job, selected=True if job == asked.job else None) for job in jobs
        ]
        choice = element("label", "log of ", element("select", options, name="job"))
    search = element(
        "input",
        type="search",
        name="q",
        value=asked.words,
        placeholder="search",
        aria_label="Only lines with this",
    )
    of = element("input", type="hidden", name="of", value=asked.of) if asked.of != "events" else None
    form = element(
        "form",
        choice,
        search,
        of,
        element("button", "Show", type="submit"),
        element("nav", kinds, aria_label="what"),
        class_="filter",
        method="get",
        action=run_path(run, "log"),
    )
    heading = element("h1", "Log ", element("span", asked.job or name, class_="state c-muted"))
    return element("section", heading, form, id="log-heading")


def _lines(asked: LogAsked, lines: Sequence[Markup], otherwise: str) -> Markup:
    shown = element("pre", lines, class_="log", tabindex=0, data_tail=asked.is_tail or None)
    return element("section", shown if lines else element("p", otherwise), id="log-lines")


def _ways(asked: LogAsked, run: str, *, older: int | None, newer: int | None, said: str = "") -> Markup:
    ways: list[Child] = []
    if older is not None:
        ways += [link("← earlier", asked.path(run, before=older)), "  "]
    if newer is not None:
        ways += [link("later →", asked.path(run, after=newer)), "  "]
    if not asked.is_tail:
        ways.append(link("the end", asked.path(run)))
    elif ways or said:
        ways.append(element("span", "the end; goes on", class_="aside"))
    told = element("span", f"  {said}", class_="aside") if said else None
    return element("section", element("p", ways, told), id="log-ways")


def _event_line(event: StoredEvent) -> Child:
    at = time.strftime("%H:%M:%S", time.localtime(event.at))
    whose = event.worker or event.stage or str(event.fields.get("job") or "")
    told = [
        f"{key}={_value(value)}"
        for key, value in event.fields.items()
        if value not in (None, "", [], {}) and key not in _LEFT_OUT and event.name != "run.started"
    ]
    return [
        element("span", f"{at}.{int(event.at % 1 * 1000):03d} ", class_="aside"),
        element("b", event.name, class_=f"c-{_TONES[event.level]}" if event.level in _TONES else None),
        f" {whose}" if whose else "",
        f"  {clip(' '.join(told), LONGEST_LINE)}",
    ]


def _value(value: object) -> str:
    match value:
        case float():
            return f"{value:.3g}"
        case str():
            return value if " " not in value and value else repr(value)
        case list():
            return ",".join(map(str, value))
    return str(value)
