"""One stage: how long its items take, what each worker is at, since when it has which item in hand. Pure.

RunState, View, Surface ──► stage_screen ──► lines
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from runner.events.item_times import ItemTimes, begin_of
from runner.render.top.drawing import (
    ASIDE,
    BAD,
    HEADING,
    WAITS,
    beside_each_other,
    in_words,
    rate_text,
    share_text,
    sparkline,
    stacked_bar,
    whole,
)
from runner.render.top.parts import chosen_place, filled_up, last_line, time_taken, viewport, wall_clock
from runner.render.top.view import NOTHING_BESIDE, Beside, Screen, Surface, View
from runner.text import clip, visible
from runner.units import short_time
from runner.watch.stages import WatchedStage
from runner.watch.state import RunState
from runner.watch.workers import WatchedWorker, WorkerCondition

_TITLES = ("WORKER", "PID", "STATE", "TIME", "BUSY", "DONE", "/S", "FOR", "IN HAND")
_RIGHT = "lrllrrrrl"
_LEAVING = ("PID", "/S", "TIME", "DONE")
_BAR = 10
LONG_FOR = 10.0
"""Times the p95 of its stage: who has an item for so long is spoken of."""
_LONG_AT_LEAST = 1.0
_MOST_COLUMNS = 40
_STYLES = {
    WorkerCondition.BUSY: "green",
    WorkerCondition.BLOCKED: WAITS,
    WorkerCondition.DIED: BAD,
    WorkerCondition.FINISHED: ASIDE,
    WorkerCondition.STOPPED: ASIDE,
}


def stage_screen(
    state: RunState, view: View, surface: Surface, beside: Beside = NOTHING_BESIDE
) -> list[Text]:
    """Return the lines of the screen of one stage."""
    stage = next((each for each in state.stages() if each.name == view.stage), None)
    workers = workers_of(state, view, surface)
    if stage is None:
        return filled_up(
            [Text(f"the run has no stage '{view.stage}'")], last_line(view, beside.keys, surface), surface
        )
    top = [_title(state, stage, surface), *_times(stage, surface), Text("")]
    head, rows = _table(workers, stage, view, surface)
    chosen = chosen_place(view.chosen.get(Screen.STAGE, ""), [worker.name for worker in workers])
    told = [*_long_ones(workers, stage, surface), *_stack(workers, chosen, view, surface)]
    told += _generations(workers, surface)
    below = [Text("")] * bool(told) + told
    if surface.rows is None:
        return filled_up([*top, head, *rows, *below], last_line(view, beside.keys, surface), surface)
    room = max(surface.rows - len(top) - 1 - int(surface.has_keys), 1)
    least = min(len(rows), max(room // 2, 3))
    shown = viewport(rows, chosen, max(room - len(below), least))
    return filled_up([*top, head, *shown, *below], last_line(view, beside.keys, surface), surface)


def workers_of(state: RunState, view: View, surface: Surface) -> list[WatchedWorker]:
    """Return the workers of the stage that is looked into."""
    return [worker for worker in state.workers(surface.now) if worker.stage == view.stage]


def _title(state: RunState, stage: WatchedStage, surface: Surface) -> Text:
    where = (
        f"{stage.source or ''} → {', '.join(stage.targets)}".strip() if stage.source or stage.targets else ""
    )
    alive = f"{stage.counts['alive']} of {stage.workers} alive"
    title = f"{visible(state.workflow)} › {visible(stage.name)}"
    line = Text.assemble((title, HEADING), f"  {alive}   {visible(where)}")
    if line.cell_len <= surface.columns:
        return line
    return Text.assemble((in_words(f"{visible(stage.name)}  {alive}", surface.columns), HEADING))


def _times(stage: WatchedStage, surface: Surface) -> list[Text]:
    """Say how long items take: in figures, and how many of each length."""
    times = stage.times
    if not times.items:
        return [Text("nothing is known yet of how long an item takes", ASIDE)] if stage.source else []
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    words = "  ".join(f"{name} {short_time(times.percentile(share))}" for share, name in shares)
    slow = f"  slowest {short_time(times.slowest)}" if times.slowest else ""
    which = f"  item {clip(times.slowest_item, 40)}" if times.slowest_item and slow else ""
    counts, least, most = histogram(times)
    scale = f"  {short_time(least)} … {short_time(most)} (handler time, log scale)"
    return [
        Text(in_words(f"per item  {words}{slow}{which}", surface.columns)),
        Text.assemble((sparkline(counts), "green"), in_words(scale, surface.columns - len(counts))),
    ]


def histogram(times: ItemTimes) -> tuple[list[int], float, float]:
    """Return how many items took how long, in steps of equal ratio, and from where to where these go."""
    first, last = min(times.counts), max(times.counts)
    per = max(math.ceil((last - first + 1) / _MOST_COLUMNS), 1)
    counts = [0] * ((last - first) // per + 1)
    for bucket, items in times.counts.items():
        counts[(bucket - first) // per] += items
    return counts, begin_of(first), begin_of(last + 1)


def _table(
    workers: Sequence[WatchedWorker], stage: WatchedStage, view: View, surface: Surface
) -> tuple[Text, list[Text]]:
    chosen = chosen_place(view.chosen.get(Screen.STAGE, ""), [worker.name for worker in workers])
    rows = [
        _row(worker, stage, surface, mark="▸ " if place == chosen and surface.has_keys else "  ")
        for place, worker in enumerate(workers)
    ]
    titles = ("  WORKER", *_TITLES[1:])
    return beside_each_other(rows, titles, _RIGHT, surface.columns, _LEAVING, gap=1)


def _row(worker: WatchedWorker, stage: WatchedStage, surface: Surface, mark: str) -> list[Text]:
    has_it_for = None if worker.since is None else max(surface.now - worker.since, 0.0)
    style = _STYLES.get(worker.condition, "")
    made = worker.sent if stage.is_producer else worker.done
    in_hand = visible(worker.item or "") + ("  !" if is_long(worker, stage, surface.now) else "")
    return [
        Text(f"{mark}{visible(worker.name)}"),
        Text(str(worker.pid) if worker.pid else "-"),
        Text(worker.condition.value, style),
        stacked_bar(worker.now.busy, worker.now.blocked, _BAR) if not worker.condition.is_over else Text(""),
        Text(share_text(worker.now.busy) if not worker.condition.is_over else ""),
        Text(whole(made)),
        Text(rate_text(worker.rate) if not worker.condition.is_over else ""),
        Text("" if has_it_for is None else _has_it_for(has_it_for)),
        Text(in_hand or (f"waits for {worker.waits_for}" if worker.waits_for else "")),
    ]


def _has_it_for(seconds: float) -> str:
    return time_taken(seconds) if seconds >= 0.1 else f"{seconds * 1000:.0f}ms"


def is_long(worker: WatchedWorker, stage: WatchedStage, now: float) -> bool:
    """Say whether a worker has had its item for much longer than items of its stage take."""
    usual = stage.times.percentile(0.95)
    if worker.since is None or usual is None:
        return False
    return now - worker.since >= max(LONG_FOR * usual, _LONG_AT_LEAST)


def _long_ones(workers: Sequence[WatchedWorker], stage: WatchedStage, surface: Surface) -> list[Text]:
    usual = stage.times.percentile(0.95)
    found = []
    for worker in workers:
        if usual and worker.since is not None and is_long(worker, stage, surface.now):
            seconds = surface.now - worker.since
            times = _roughly(seconds / usual)
            sentence = f"{worker.name} has had one item for {time_taken(seconds)}: {times} times its p95"
            found.append(Text(in_words(sentence, surface.columns), WAITS))
    return found[:3]


def _roughly(times: float) -> str:
    """Return a number to its first digit, which is all that is known of it."""
    size = 10 ** max(math.floor(math.log10(max(times, 1.0))), 0)
    return whole(math.floor(times / size) * size)


def _stack(workers: Sequence[WatchedWorker], chosen: int, view: View, surface: Surface) -> list[Text]:
    if not workers or workers[chosen].name not in view.stacks:
        return []
    lines = view.stacks[workers[chosen].name].splitlines()
    return [
        Text(in_words(f"stack of {workers[chosen].name}, the innermost call first:", surface.columns)),
        *(Text(in_words(f"  {line}", surface.columns), ASIDE) for line in lines),
    ]


def _generations(workers: Sequence[WatchedWorker], surface: Surface) -> list[Text]:
    found = []
    for worker in workers:
        if worker.endings and (worker.restarts or worker.deaths):
            last = worker.endings[-1]
            items = f", item {', '.join(last.items)}" if last.items else ""
            how = f"{last.reason or last.outcome} at {wall_clock(last.at)}{items}"
            words = f"generations  {worker.name}: {worker.generation} ({how})"
            found.append(Text(in_words(words, surface.columns), ASIDE))
    return [Text(""), *found[-3:]] if found else []
