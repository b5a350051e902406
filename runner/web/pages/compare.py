"""The page of two runs side by side: numbers with their ratios, what the file and the params differ in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.record.comparison import ComparedRun, Comparison, NumberChange, compare_runs
from runner.record.summary import RunSummary
from runner.render.page.markup import Child, Markup, element
from runner.render.page.sections import local_time
from runner.render.page.tables import count, share, sheet, text_block, took
from runner.units import rough_duration
from runner.web.frame import link, run_path

MOST_CHOICES = 200
MUCH = 1.05
"""Times as much, or as little: a ratio beyond is coloured."""


def compare_fragments(
    runs: Sequence[RunSummary], before: ComparedRun | None, after: ComparedRun | None
) -> Mapping[str, Markup]:
    """Return the fragments of the page; without two runs only the choice of them."""
    choice = _choice(runs, before, after)
    if before is None or after is None:
        return {"compare-choice": choice, "compare": element("section", id="compare", hidden=True)}
    return {"compare-choice": choice, "compare": _compared(before, after, compare_runs(before, after))}


def _choice(runs: Sequence[RunSummary], before: ComparedRun | None, after: ComparedRun | None) -> Markup:
    shown = list(reversed(runs))[:MOST_CHOICES]

    def select(name: str, label: str, chosen: ComparedRun | None) -> Markup:
        options = [
            element(
                "option",
                f"{run.workflow} {run.id} {local_time(run.began)} {run.outcome}",
                value=run.id,
                selected=True if chosen is not None and chosen.id == run.id else None,
            )
            for run in shown
        ]
        return element("label", label, " ", element("select", options, name=name))

    form = element(
        "form",
        select("a", "before", before),
        select("b", "after", after),
        element("button", "Compare", type="submit"),
        class_="filter",
        method="get",
        action="/compare",
    )
    return element("section", element("h1", "Compare"), form, id="compare-choice")


def _compared(before: ComparedRun, after: ComparedRun, found: Comparison) -> Markup:
    sides = [
        element(
            "p",
            link(each.id, run_path(each.id)),
            f" {each.report.workflow}, {each.report.outcome}, {rough_duration(each.report.seconds)}",
        )
        for each in (before, after)
    ]
    return element(
        "section",
        element("div", sides, class_="cols"),
        element("h2", "Time"),
        element("p", _change(found.seconds, rough_duration, is_better_less=True)),
        _stages(found),
        _jobs(found),
        _kinds("New kinds of failures", found.new_kinds),
        _kinds("Kinds of failures that are gone", found.gone_kinds),
        _difference("What they were given", found.given),
        _difference("The file", found.text),
        id="compare",
    )


def _stages(found: Comparison) -> Child:
    if not found.stages:
        return None
    rows: list[list[Child]] = [
        [
            stage.name,
            _change(stage.passed, lambda n: count(int(n))),
            _change(stage.items_per_second, lambda n: f"{n:,.1f}"),
            _change(stage.busy, share),
            _change(stage.p50_seconds, took, is_better_less=True),
            _change(stage.p95_seconds, took, is_better_less=True),
            _change(stage.failed, lambda n: count(int(n)), is_better_less=True),
        ]
        for stage in found.stages
    ]
    return [
        element("h2", "Stages"),
        sheet(["Stage", "Items", "Items/s", "Busy", "p50", "p95", "Failed"], rows),
    ]


def _jobs(found: Comparison) -> Child:
    if not found.jobs:
        return None
    rows: list[list[Child]] = []
    for job in found.jobs:
        was, is_now = (state or "-" for state in job.state)
        rows.append(
            [
                job.name,
                was if was == is_now else f"{was} → {is_now}",
                _change(job.seconds, rough_duration, is_better_less=True),
            ]
        )
    return [element("h2", "Jobs"), sheet(["Job", "Result", "Took"], rows, (0, 1))]


def _change(
    change: NumberChange, show: Callable[[float], str], *, is_better_less: bool | None = None
) -> Markup:
    """Show a number as it was and as it is, with the ratio where that says something."""
    was, is_now = ("-" if each is None else show(each) for each in (change.before, change.after))
    if was == is_now:
        return element("span", was)
    ratio: Child = None
    if change.ratio is not None:
        tone = None
        if is_better_less is not None and change.ratio > MUCH:
            tone = "c-bad"
        elif is_better_less is not None and change.ratio < 1 / MUCH:
            tone = "c-busy"
        ratio = element("span", f" {change.ratio:.2f}×", class_=tone)
    return element("span", f"{was} → {is_now}", ratio)


def _kinds(heading: str, kinds: Sequence[Mapping[str, Any]]) -> Child:
    if not kinds:
        return None
    rows: list[list[Child]] = [
        [count(kind["n"]), kind["stage"] or "-", str(kind["error"]).partition("\n")[0]] for kind in kinds
    ]
    return [element("h2", heading), sheet(["Count", "Stage", "Error"], rows, (1,), texts=(2,))]


def _difference(heading: str, lines: Sequence[str]) -> Child:
    said = text_block("\n".join(lines)) if lines else element("p", "alike")
    return [element("h2", heading), said]
