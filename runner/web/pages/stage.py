"""The page of one stage: each of its workers, what it has in hand and for how long, how long items took. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from runner.events.item_times import ItemTimes
from runner.facts import dataclass
from runner.render.page.charts import shares_bar, time_histogram
from runner.render.page.markup import Child, Markup, element
from runner.render.page.model import RunPage
from runner.render.page.sections import local_time
from runner.render.page.svg import short_number
from runner.render.page.tables import boxed, count, pairs, share, sheet, text_block, took
from runner.text import clip
from runner.units import counted, rough_duration
from runner.watch.stages import WatchedStage
from runner.watch.tap import ShownItem
from runner.watch.workers import WatchedWorker, WorkerCondition
from runner.web.frame import run_path
from runner.web.pages.run import act
from runner.web.taps import TapPane

LONG = 10.0
"""Times the 95th percentile: an item that is in hand for longer is told of."""
SHORTEST = 1.0
"""Seconds that an item is in hand, at the least, to be told of."""
MOST_WORKERS = 500
LONGEST_ITEM = 120
LONGEST_TAPPED = 2000
TONES: Mapping[WorkerCondition, str] = {
    WorkerCondition.BUSY: "busy",
    WorkerCondition.BLOCKED: "blocked",
    WorkerCondition.DIED: "bad",
    WorkerCondition.TERMINATING: "blocked",
    WorkerCondition.CLOSING: "blocked",
}


@dataclass(frozen=True, slots=True)
class StageLook:
    """What the page is drawn from."""

    page: RunPage
    name: str
    now: float
    stacks: Mapping[str, str]
    """Those that somebody has asked for lately, by worker."""
    tap: TapPane | None
    """What a tap shows, if one is open."""
    may_act: bool


def stage_fragments(look: StageLook) -> Mapping[str, Markup]:
    """Return the fragments of the page."""
    page, name, now = look.page, look.name, look.now
    stage = next((each for each in page.state.stages() if each.name == name), None)
    workers = [each for each in page.state.workers(None if page.is_over else now) if each.stage == name]
    if stage is None:
        gone = element("p", f"The run has no stage '{name}'.")
        return {"stage-heading": element("section", element("h1", name), gone, id="stage-heading")}
    may_act = look.may_act and not page.is_over
    own = {worker.name for worker in workers}
    return {
        "stage-heading": _heading(page, stage),
        "stage-stuck": _stuck(stage, workers, now, is_over=page.is_over),
        "stage-workers": _workers(page, workers, now, may_act=may_act),
        "stage-stacks": _stacks({each: text for each, text in look.stacks.items() if each in own}),
        "stage-tap": _tap(page, stage, look.tap, may_act=may_act),
        "stage-times": _times(stage.times),
        "stage-endings": _endings(workers),
    }


def _heading(page: RunPage, stage: WatchedStage) -> Markup:
    said = "ended" if page.is_over else f"{count(stage.alive)} of {count(stage.workers)} alive"
    shares = stage.whole if page.is_over else stage.now
    failed = next((line.failed for line in page.report.stages if line.name == stage.name), 0)
    known: dict[str, Child] = {
        "Reads": stage.source,
        "Writes": ", ".join(stage.targets),
        "Done": f"{count(stage.passed)}, {short_number(stage.mean_rate if page.is_over else stage.rate)}/s",
        "Failed": element("b", count(failed), class_="c-bad") if failed else "none for good",
        "Workers are": f"{share(shares.busy)} busy, {share(shares.blocked)} blocked, {share(shares.starved)} starved",
    }
    heading = element("h1", stage.name, " ", element("span", said, class_="state c-muted"))
    return element("section", heading, pairs(known), id="stage-heading")


def _stuck(stage: WatchedStage, workers: Sequence[WatchedWorker], now: float, *, is_over: bool) -> Markup:
    """Name the worker that has had one item for much longer than is usual."""
    usual = stage.times.percentile(0.95) if stage.times.items else None
    held = [(now - each.since, each) for each in workers if each.since is not None and each.item is not None]
    if is_over or not held or usual is None:
        return element("section", id="stage-stuck", hidden=True)
    seconds, worker = max(held, key=lambda pair: pair[0])
    if seconds < SHORTEST or seconds < LONG * usual:
        return element("section", id="stage-stuck", hidden=True)
    times = f"{seconds / usual:,.0f} times what 95% of the items take"
    said = f"{worker.name} has had one item for {rough_duration(seconds)}: {times}."
    return element("section", element("p", said, class_="lead"), id="stage-stuck")


def _workers(page: RunPage, workers: Sequence[WatchedWorker], now: float, *, may_act: bool) -> Markup:
    headings = ("Worker", "PID", "State", "", "Busy", "Done", "Items/s", "Failed", "For", "In hand", "")
    words = (0, 2, 3, 9, 10)
    head = [element("th", each, class_=None if at in words else "n") for at, each in enumerate(headings)]
    rows = [_row(page, each, now, may_act=may_act) for each in workers[:MOST_WORKERS]]
    rest = len(workers) - len(rows)
    return element(
        "section",
        element("h2", "Workers"),
        boxed(element("table", element("thead", element("tr", head)), element("tbody", rows))),
        element("p", f"and {counted(rest, 'more worker')}", class_="aside") if rest > 0 else None,
        id="stage-workers",
    )


def _row(page: RunPage, worker: WatchedWorker, now: float, *, may_act: bool) -> Markup:
    is_over = page.is_over or worker.condition.is_over
    shares = worker.whole if is_over else worker.now
    said = f"{share(shares.busy)} busy, {share(shares.blocked)} blocked"
    bar = shares_bar(f"{worker.name}: {said}", [("busy", shares.busy), ("blocked", shares.blocked)])
    waits = f", waits for {worker.waits_for}" if worker.waits_for else ""
    held = None if worker.since is None or is_over else rough_duration(max(now - worker.since, 0.0))
    passed = worker.done if worker.received else worker.sent
    cells: list[tuple[Child, str | None]] = [
        (worker.name, None),
        (str(worker.pid or "-"), "n"),
        (f"{worker.condition.value}{waits}", f"c-{TONES.get(worker.condition, 'muted')}"),
        (element("div", bar, class_="bar"), None),
        (share(shares.busy), "n"),
        (count(passed), "n"),
        ("-" if is_over else short_number(worker.rate), "n"),
        (element("b", count(worker.failed), class_="c-bad") if worker.failed else "0", "n"),
        (held or "-", "n"),
        (element("code", clip(worker.item, LONGEST_ITEM)) if worker.item and held else "-", "text"),
        (_buttons(page, worker) if may_act and not is_over else None, None),
    ]
    return element(
        "tr",
        [element("td", what, class_=class_) for what, class_ in cells],
        data_key=worker.name,
        data_pid=worker.pid,
        data_state=worker.condition.value,
    )


def _buttons(page: RunPage, worker: WatchedWorker) -> Markup:
    run, name = page.state.run, worker.name
    stack = act("stack", run_path(run, "stack"), label=f"show the stack of {name}", worker=name)
    ask = f"End {name}? Nobody takes its place."
    stop = act("stop", run_path(run, "stop"), label=f"stop {name}", confirm=ask, worker=name)
    return element("span", stack, stop, class_="pair")


def _stacks(stacks: Mapping[str, str]) -> Markup:
    if not stacks:
        return element("section", id="stage-stacks", hidden=True)
    shown = [[element("h2", f"Stack of {worker}"), text_block(text)] for worker, text in stacks.items()]
    return element("section", shown, id="stage-stacks")


def _tap(page: RunPage, stage: WatchedStage, tap: TapPane | None, *, may_act: bool) -> Markup:
    """Show some of the items that pass, and open and close the tap."""
    path = run_path(page.state.run, "tap")
    buttons = []
    if may_act and stage.source is not None:
        buttons.append(act("what goes in", path, stage=stage.name, side="in"))
    if may_act and stage.targets:
        buttons.append(act("what comes out", path, stage=stage.name, side="out"))
    if tap is not None and may_act:
        buttons.append(act("close", path, label="close the tap", stage=stage.name, side="off"))
    if not buttons and tap is None:
        return element("section", id="stage-tap", hidden=True)
    parts: list[Child] = [element("h2", "Items that pass"), element("div", buttons, class_="acts")]
    if tap is not None:
        sampled = "" if tap.shown >= tap.passed else "; sampled"
        said = f"shown {count(tap.shown)} of {count(tap.passed)} that went {tap.side}{sampled}"
        parts += [
            element("p", said, class_="aside"),
            element("pre", map(_item, tap.items), class_="log", tabindex=0, data_tail=True),
        ]
    return element("section", parts, id="stage-tap", data_tap=tap.side if tap else None)


def _item(item: ShownItem) -> Markup:
    at = f"{local_time(item.at)[11:]} "
    text = json.dumps(item.item, ensure_ascii=False)
    return element(
        "div",
        element("span", f"{at}{item.worker} ", class_="aside"),
        clip(text, LONGEST_TAPPED),
        "" if item.whole else " (cut)",
        data_key=f"{item.at:.6f}-{item.worker}-{item.id}",
    )


def _times(times: ItemTimes) -> Markup:
    if not times.items:
        return element("section", id="stage-times", hidden=True)
    parts = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    known: dict[str, Child] = {name: took(times.percentile(part)) for part, name in parts}
    if times.slowest:
        item: Child = (
            [" item ", element("code", clip(times.slowest_item, LONGEST_ITEM))]
            if times.slowest_item
            else None
        )
        known["Slowest"] = element("span", took(times.slowest), item)
    chart = time_histogram("time of an item", times)
    return element("section", element("h2", "How long items took"), pairs(known), chart, id="stage-times")


def _endings(workers: Sequence[WatchedWorker]) -> Markup:
    """List how processes of the workers ended that had to be replaced, or that died."""
    rows: list[list[Child]] = [
        [
            worker.name,
            local_time(ending.at),
            ending.reason,
            element("code", clip(", ".join(ending.items), LONGEST_ITEM)) if ending.items else "-",
        ]
        for worker in workers
        for ending in worker.endings
        if ending.outcome == "died" or ending.generation < worker.generation
    ]
    if not rows:
        return element("section", id="stage-endings", hidden=True)
    table = sheet(["Worker", "When", "How it ended", "In hand"], rows, (0, 1), texts=(2, 3))
    return element("section", element("h2", "Workers that died"), table, id="stage-endings")
