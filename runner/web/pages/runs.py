"""The page of all runs: those that go on first, then those of the past, with what to type for a killed one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.record.summary import KILLED, RUNNING, RunSummary
from runner.render.page.curves import Curve, gains
from runner.render.page.markup import Child, Markup, element
from runner.render.page.sections import local_time
from runner.render.page.svg import fill, picture, stretched
from runner.render.page.tables import boxed, count
from runner.units import counted, rough_duration
from runner.web.frame import link, run_path
from runner.web.watched import command_for

PER_PAGE = 50
STATES: Mapping[str, Callable[[RunSummary], bool]] = {
    "all": lambda _: True,
    "live": lambda run: run.outcome == RUNNING,
    "failed": lambda run: not run.is_good,
    "killed": lambda run: run.outcome == KILLED,
}
TONES = {RUNNING: "accent", "done": "busy", "interrupted": "blocked"}
FactsOf = Callable[[RunSummary], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RunsAsked:
    """Which runs are asked for."""

    words: str = ""
    """All of these are in the name, the id or the params."""
    state: str = "all"
    page: int = 0

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> RunsAsked:
        """Read what a query says; what it does not say sensibly is as usual."""
        page = query.get("page", "0")
        return cls(
            query.get("q", "").strip(),
            query["state"] if query.get("state") in STATES else "all",
            int(page) if page.isascii() and page.isdigit() else 0,
        )

    def path(self, **other: str | int) -> str:
        """Return the path that asks for it, with something else in some respect."""
        return run_list_path(**{"q": self.words, "state": self.state, "page": self.page, **other})


def run_list_path(**query: str | int) -> str:
    """Return the path of the list."""
    from urllib.parse import urlencode

    usual = {"q": "", "state": "all", "page": 0}
    asked = urlencode({key: value for key, value in query.items() if value != usual[key]})
    return f"/?{asked}" if asked else "/"


def runs_fragments(
    asked: RunsAsked, runs: Sequence[RunSummary], facts_of: FactsOf, home: Path
) -> Mapping[str, Markup]:
    """Return the fragments of the page."""
    chosen = [run for run in reversed(runs) if STATES[asked.state](run)]
    if asked.words:
        chosen = [run for run in chosen if _has_words(asked.words, run, facts_of)]
    chosen.sort(key=lambda run: run.outcome != RUNNING)
    shown = chosen[asked.page * PER_PAGE : (asked.page + 1) * PER_PAGE]
    return {
        "runs-heading": _heading(runs, home),
        "runs-filter": _filter(asked, runs),
        "runs": element("section", _table(shown, facts_of, home, is_any=bool(runs)), id="runs"),
        "runs-pages": _pages(asked, len(chosen)),
    }


def _has_words(words: str, run: RunSummary, facts_of: FactsOf) -> bool:
    text = " ".join((run.id, run.workflow, run.outcome, *map(str, facts_of(run).get("params") or ()))).lower()
    return all(word in text for word in words.lower().split())


def _heading(runs: Sequence[RunSummary], home: Path) -> Markup:
    live = sum(run.outcome == RUNNING for run in runs)
    said = f"{count(live)} under way, {count(len(runs) - live)} of the past"
    return element(
        "section",
        element("h1", "Runs ", element("span", said, class_="state c-muted", data_live=live)),
        element("p", str(home), class_="aside"),
        id="runs-heading",
    )


def _filter(asked: RunsAsked, runs: Sequence[RunSummary]) -> Markup:
    states = [
        link(
            f"{state} {count(sum(map(belongs, runs)))}",
            asked.path(state=state, page=0),
            aria_current="true" if state == asked.state else None,
        )
        for state, belongs in STATES.items()
    ]
    field = element(
        "input",
        type="search",
        name="q",
        value=asked.words,
        placeholder="name, id or param",
        aria_label="Only runs with these words",
    )
    kept = element("input", type="hidden", name="state", value=asked.state)
    return element(
        "section",
        element(
            "form",
            field,
            kept,
            element("button", "Filter", type="submit"),
            element("nav", states, aria_label="state"),
            class_="filter",
            method="get",
            action="/",
        ),
        id="runs-filter",
    )


def _table(shown: Sequence[RunSummary], facts_of: FactsOf, home: Path, *, is_any: bool) -> Child:
    if not shown:
        return element(
            "p", "No run is like that." if is_any else "No run was started here yet: `mprun FILE`."
        )
    headings = ("Run", "State", "Items", "Failed", "Items/s", "Took", "Began", "Params")
    numbers = ("Took", "Items", "Failed")
    head = [element("th", each, class_="n" if each in numbers else None) for each in headings]
    rows = [row for run in shown for row in _rows(run, facts_of(run), home)]
    return boxed(
        element("table", element("thead", element("tr", head)), element("tbody", rows), class_="runs")
    )


def _rows(run: RunSummary, facts: Mapping[str, Any], home: Path) -> Iterable[Markup]:
    tone = TONES.get(run.outcome, "bad")
    state = element(
        "span", element("span", class_="dot", aria_hidden="true"), run.outcome, class_=f"c-{tone}"
    )
    params = [*(facts.get("params") or ()), *(facts.get("overrides") or ())]
    numbers = [
        rough_duration(run.seconds),
        *("…" if number is None else count(number) for number in (run.done, run.failed)),
    ]
    curve = facts.get("curve")
    spark = None if curve is None else _spark(f"{run.workflow}: items a second", gains(curve, None, 60))
    name: list[Child] = [
        link(run.workflow or "a run", run_path(run.id)),
        " ",
        element("code", run.id, class_="aside"),
    ]
    took, done, failed = (element("td", each, class_="n") for each in numbers)
    given = element("code", " ".join(map(str, params))) if params else ""
    cells = [
        element("td", name),
        element("td", state),
        done,
        failed,
        element("td", element("div", spark, class_="spark")),
        took,
        element("td", local_time(run.began)),
        element("td", given, class_="text"),
    ]
    yield element("tr", cells, data_key=run.id, data_outcome=run.outcome, data_done=run.done)
    command = command_for(run, facts, home)
    if run.outcome == KILLED and command is not None:
        does = "goes on with it" if run.resumable is not None else "runs it again"
        waiting = f", {counted(run.waiting, 'item')} waiting" if run.waiting else ""
        words: list[Child] = [element("code", command), f" {does}{waiting}"]
        yield element("tr", element("td", words, colspan=len(cells), class_="text"), data_key=f"{run.id}-way")


def _spark(label: str, curve: Curve) -> Markup:
    """Draw a curve as a row of bars, as high as the text beside it."""
    top = curve.top or 1.0
    bars = "".join(
        f"M{at} 20v-{20 * value / top:.1f}h1V20z" for at, value in enumerate(curve.values) if value
    )
    line = element("path", d=bars, fill_opacity=0.8, **fill("accent"))
    return picture("spark", label, 20, stretched(max(len(curve.values), 1), 20, 0, 20, line))


def _pages(asked: RunsAsked, found: int) -> Markup:
    ways: list[Child] = []
    if asked.page:
        ways += [link("← newer", asked.path(page=asked.page - 1)), " "]
    if found > (asked.page + 1) * PER_PAGE:
        ways += [link("older →", asked.path(page=asked.page + 1))]
    return element("section", element("p", ways) if ways else None, id="runs-pages", hidden=not ways or None)
