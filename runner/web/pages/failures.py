"""The page of failures: kinds, then the items of one, then one letter, with the way to put it back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from runner.facts import dataclass
from runner.render.page.markup import Child, Markup, element
from runner.render.page.model import RunPage
from runner.render.page.sections import local_time
from runner.render.page.tables import boxed, count, pairs, sheet, text_block
from runner.store.dead_letters import DeadLetter, DeadLetterQueue
from runner.text import clip
from runner.units import counted
from runner.watch.state import KindOfFailure
from runner.web.frame import link, run_path
from runner.web.pages.run import act

PER_PAGE = 100
LONGEST_ITEM = 160
LONGEST_TRACEBACK = 20_000


@dataclass(frozen=True, slots=True)
class FailuresAsked:
    """What of the failures is asked for."""

    kind: int | None = None
    stage: str | None = None
    """Of which stage the letters."""
    letter: int | None = None
    page: int = 0

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> FailuresAsked:
        """Read what a query says; what it does not say sensibly is as usual."""
        return cls(
            _number(query.get("kind")),
            query.get("stage"),
            _number(query.get("letter")),
            _number(query.get("page")) or 0,
        )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def failures_fragments(
    page: RunPage, asked: FailuresAsked, queues: Sequence[DeadLetterQueue], *, may_act: bool
) -> Mapping[str, Markup]:
    """Return the fragments of the page; `queues` are the dead letters of the run, by stages."""
    kinds = page.state.failures()
    chosen = next((each for each in kinds if each.kind.id == asked.kind), None)
    queue = next((each for each in queues if each.stage == asked.stage), None)
    letter = next((each for each in queue.letters if each.number == asked.letter), None) if queue else None
    return {
        "failures-heading": _heading(kinds),
        "failures-kinds": _kinds(page, kinds, asked),
        "failures-kind": _kind(chosen),
        "failures-letter": _letter(page, queue, letter, may_act=may_act),
        "failures-letters": _letters(page, queues, asked, may_act=may_act),
    }


def _heading(kinds: Sequence[KindOfFailure]) -> Markup:
    whole = sum(each.kind.n for each in kinds)
    said = f"{count(whole)} of {counted(len(kinds), 'kind')}" if whole else "none"
    heading = element("h1", "Failures ", element("span", said, class_="state c-muted"))
    return element("section", heading, id="failures-heading")


def _kinds(page: RunPage, kinds: Sequence[KindOfFailure], asked: FailuresAsked) -> Markup:
    if not kinds:
        return element("section", element("p", "Nothing has failed."), id="failures-kinds")
    run = page.state.run
    head = [element("th", each, class_="n" if each == "Count" else None) for each in _HEADINGS]
    rows = [
        element(
            "tr",
            element("td", element("b", count(each.kind.n), class_="c-bad"), class_="n"),
            element("td", each.kind.stage or "-"),
            element(
                "td",
                link(
                    clip(each.kind.error.partition("\n")[0], 300),
                    run_path(run, "failures", kind=each.kind.id),
                ),
                class_="text",
            ),
            element("td", local_time(each.kind.first)),
            element("td", local_time(each.kind.last)),
            data_key=f"kind-{each.kind.id}",
            data_count=each.kind.n,
            aria_selected="true" if each.kind.id == asked.kind else None,
        )
        for each in kinds
    ]
    table = element("table", element("thead", element("tr", head)), element("tbody", rows))
    return element("section", boxed(table), id="failures-kinds")


_HEADINGS = ("Count", "Stage", "Kind", "First", "Last")


def _kind(chosen: KindOfFailure | None) -> Markup:
    if chosen is None:
        return element("section", id="failures-kind", hidden=True)
    kind, samples = chosen.kind, chosen.samples
    rows: list[list[Child]] = [
        [
            element("code", clip(each.item, LONGEST_ITEM)),
            local_time(each.at),
            "kept as a letter" if each.letter else "",
        ]
        for each in samples[:PER_PAGE]
    ]
    rest = kind.n - len(rows)
    return element(
        "section",
        element("h2", f"{counted(kind.n, 'item')} like this"),
        text_block(clip(kind.traceback or kind.error, LONGEST_TRACEBACK)),
        sheet(["Item", "When", ""], rows, (1, 2), texts=(0,)) if rows else None,
        element("p", f"and {count(rest)} more, of which only the number is kept", class_="aside")
        if rest > 0
        else None,
        id="failures-kind",
    )


def _letters(
    page: RunPage, queues: Sequence[DeadLetterQueue], asked: FailuresAsked, *, may_act: bool
) -> Markup:
    if not queues:
        return element("section", id="failures-letters", hidden=True)
    shown = [_queue(page, queue, asked, may_act=may_act) for queue in queues]
    return element("section", element("h2", "Dead letters"), shown, id="failures-letters")


def _queue(page: RunPage, queue: DeadLetterQueue, asked: FailuresAsked, *, may_act: bool) -> Markup:
    run, left = page.state.run, queue.left
    begin = asked.page * PER_PAGE if asked.stage == queue.stage else 0
    some = queue.letters[begin : begin + PER_PAGE]
    rows = [_letter_row(run, queue, each) for each in some]
    head = [element("th", each) for each in ("Letter", "Item", "Error", "When", "")]
    said = (
        f"{counted(len(queue.letters), 'letter')} of stage {queue.stage}, {count(len(left))} left to put back"
    )
    button = None
    question = f"Put back {counted(len(left), 'letter')} of stage {queue.stage}?"
    if may_act and left:
        button = act(
            f"put back all {count(len(left))}" if len(left) > 1 else "put it back",
            run_path(run, "replay"),
            label=f"put back the letters of stage {queue.stage}",
            confirm=f"{question} A run of {page.report.file} begins.",
            stage=queue.stage,
        )
    return element(
        "div",
        element("div", element("span", said, class_="aside", data_left=len(left)), button, class_="acts"),
        boxed(element("table", element("thead", element("tr", head)), element("tbody", rows))),
        _pages(run, queue, begin),
        data_key=f"letters-{queue.stage}",
    )


def _letter_row(run: str, queue: DeadLetterQueue, letter: DeadLetter) -> Markup:
    path = run_path(run, "failures", stage=queue.stage, letter=letter.number)
    return element(
        "tr",
        element("td", link(count(letter.number), path)),
        element("td", element("code", clip(letter.item, LONGEST_ITEM)), class_="text"),
        element("td", clip(letter.error.partition("\n")[0], 200), class_="text"),
        element("td", letter.at.replace("T", " ").partition(".")[0]),
        element("td", "put back" if letter.number in queue.replayed else ""),
        data_key=f"letter-{queue.stage}-{letter.number}",
    )


def _pages(run: str, queue: DeadLetterQueue, begin: int) -> Child:
    ways: list[Child] = []
    page = begin // PER_PAGE
    if page:
        ways += [link("← earlier", run_path(run, "failures", stage=queue.stage, page=page - 1)), " "]
    if begin + PER_PAGE < len(queue.letters):
        ways += [link("later →", run_path(run, "failures", stage=queue.stage, page=page + 1))]
    return element("p", ways) if ways else None


def _letter(
    page: RunPage, queue: DeadLetterQueue | None, letter: DeadLetter | None, *, may_act: bool
) -> Markup:
    """Show one letter, with each attempt at it."""
    if queue is None or letter is None:
        return element("section", id="failures-letter", hidden=True)
    told = {key: value for key, value in asdict(letter).items() if key not in _NOT_SHOWN and value}
    attempts: Sequence[Mapping[str, Any]] = letter.attempts
    rows: list[list[Child]] = [
        [
            str(each.get("number", "")),
            str(each.get("at", "")),
            str(each.get("worker", "")),
            str(each.get("ended", "")),
        ]
        for each in attempts
    ]
    is_left = letter.number in queue.left
    button = None
    if may_act and is_left:
        button = act(
            "put it back",
            run_path(page.state.run, "replay"),
            confirm=f"Put this item back into stage {queue.stage}? A run of {page.report.file} begins.",
            stage=queue.stage,
            letter=letter.number,
        )
    was = "It was put back." if letter.number in queue.replayed else None
    return element(
        "section",
        element("h2", f"Letter {count(letter.number)} of stage {queue.stage}"),
        element("div", button, class_="acts") if button else None,
        element("p", was) if was else None,
        pairs({key.capitalize(): element("code", str(value)) for key, value in told.items()}),
        sheet(["Attempt", "When", "Worker", "How it ended"], rows, (1, 2), texts=(3,)) if rows else None,
        text_block(clip(letter.traceback, LONGEST_TRACEBACK)) if letter.traceback else None,
        id="failures-letter",
        data_letter=letter.number,
    )


_NOT_SHOWN = frozenset(
    {"frame", "index", "bulk", "attempts", "traceback", "number", "run", "workflow", "stage"}
)
