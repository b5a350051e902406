"""The sections of the page of a run of stages. Pure: a RunPage in, markup out; None where there is nothing to say."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from runner.events.report_fields import QueueLine, StageLine
from runner.events.report_view import ledger_sentence
from runner.render.page.charts import (
    SMALL,
    Bound,
    Tick,
    area_chart,
    heat_strip,
    shares_bar,
    time_histogram,
)
from runner.render.page.flow import flow_graph, plain_stages, written_back
from runner.render.page.flow_facts import FlowFacts, flow_of_report
from runner.render.page.markup import Child, Markup, element
from runner.render.page.model import KILLED, RUNNING, RunPage
from runner.render.page.svg import short_number
from runner.render.page.tables import (
    boxed,
    count,
    figure,
    folded,
    grid,
    pairs,
    prose,
    row_name,
    share,
    sheet,
    text_block,
    took,
)
from runner.text import clip
from runner.units import counted, rough_duration
from runner.watch.state import KindOfFailure
from runner.watch.workers import WatchedWorker

MOST_WORKER_ROWS = 64
MOST_SLOWEST = 10
MOST_HISTOGRAMS = 9
"""More of them are folded."""
MOST_KINDS = 50
MOST_SAMPLES = 10
LONGEST_TRACEBACK = 4000
_MOST_TICKS = 50
_FEW_QUEUES = 6
"""Where there are more, those in which hardly anything ever waited are told in a line."""


def local_time(at: float | None) -> str:
    """Write a moment by the clock of this place."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def summary_section(page: RunPage) -> Child:
    """Say what the run came to, and who ran what, where and when."""
    facts, report = page.facts, page.report
    verb = {RUNNING: "running for", KILLED: "killed after", "done": "done in"}.get(
        page.outcome, f"{page.outcome} after"
    )
    run_time = page.took or report.seconds or page.seconds
    heading = element(
        "h1",
        report.workflow or page.state.workflow or "a run",
        " ",
        element("span", f"{verb} {rough_duration(run_time)}", class_=f"state c-{page.tone}"),
    )
    known: dict[str, Child] = {
        "Run": report.run or page.state.run,
        "Command": _command(facts["argv"]) if facts.get("argv") else None,
        "Began": local_time(page.began),
        "Ended": local_time(page.state.ended)
        if page.is_over
        else f"not yet; this is of {local_time(page.state.told)}",
        "Folder": facts.get("cwd"),
        "Host": facts.get("host"),
        "Exit code": count(report.exit_code) if page.outcome not in (RUNNING, KILLED, "unknown") else None,
        "Items": _items_sentence(page),
        "Jobs": _jobs_sentence(page),
    }
    return [
        heading,
        element("p", prose(page.note), class_="note") if page.note else None,
        pairs(known),
        _cause(page),
    ]


def _command(argv: Sequence[str]) -> Markup:
    """Show what was typed: of our own name the shell has made a path, which says nothing."""
    path = PurePath(argv[0])
    is_ours = path.name == "mprun" or path.parts[-2:] == ("mprun", "__main__.py")
    return element("code", shlex.join(["mprun" if is_ours else argv[0], *argv[1:]]))


def _items_sentence(page: RunPage) -> str | None:
    if not page.report.stages or page.report.jobs is not None:
        return None
    failed = sum(stage.failed for stage in page.report.stages)
    return f"{page.done:,} done" + (f", {failed:,} failed for good" if failed else ", none failed")


def _jobs_sentence(page: RunPage) -> str | None:
    if page.report.jobs is None:
        return None
    states: dict[str, int] = {}
    for line in page.report.jobs.jobs:
        states[str(line.state)] = states.get(str(line.state), 0) + 1
    if page.report.jobs.unreached:
        states["not begun"] = page.report.jobs.unreached
    return ", ".join(f"{number:,} {state.replace('_', ' ')}" for state, number in states.items())


def _cause(page: RunPage) -> Child:
    reason, cause = page.report.reason, page.report.root_cause
    if page.outcome in ("done", RUNNING) or (reason is None and cause is None):
        return None
    lines: list[Child] = [element("p", reason, class_="c-bad")] if reason and reason != page.note else []
    if cause is not None:
        item = f", item {cause.item}" if cause.item else ""
        lines.append(element("p", f"{cause.worker} of stage {cause.stage}{item}: {cause.error}"))
        if cause.traceback:
            lines.append(folded("Traceback", text_block(clip(cause.traceback, LONGEST_TRACEBACK))))
    return element("div", lines, class_="cause") if lines else None


def bottleneck_section(page: RunPage) -> Child:
    """Say which stage held the run back."""
    said = page.state.bottleneck() or page.report.bottleneck
    return element("p", said, class_="lead") if said else None


def graph_section(page: RunPage) -> Child:
    """Draw the stages, and what went through the queues between them."""
    if not page.report.stages or page.report.jobs is not None:
        return None
    return graph_of(flow_of_report(page.report))


def graph_of(facts: FlowFacts) -> Child:
    """Draw a graph: what queues join as pictures, and name what is by itself."""
    alone = list(plain_stages(facts.stages))
    by_themselves = f"By {'itself' if len(alone) == 1 else 'themselves'}: {', '.join(alone)}"
    told = [by_themselves] if alone else []
    told += [f"{stage} writes back to {queue}" for stage, queue in sorted(written_back(facts.stages))]
    return [*map(boxed, flow_graph(facts)), *(element("p", each, class_="aside") for each in told)]


def stages_section(page: RunPage) -> Child:
    """Return the table of the stages, with how their workers spent their time."""
    lines = page.report.stages if page.report.jobs is None else ()
    if not lines:
        return None
    headings = ["Stage", "Workers", "In", "Out", "Done", "Failed", "Tried again", "Items/s", "p50", "p95"]
    headings += ["", "Busy", "Blocked", "Starved"]
    key = element(
        "p",
        element("span", "■ ", class_="c-busy"),
        "busy: in the handler   ",
        element("span", "■ ", class_="c-blocked"),
        "blocked: waiting for room, or a lock   ",
        element("span", "■ ", class_="c-starved"),
        "starved: waiting for items",
        class_="aside",
    )
    return [
        sheet(
            headings,
            map(_stage_row, lines, [page.report.seconds] * len(lines)),
            (0, 10),
            now_and_then=("Tried again",),
        ),
        key,
    ]


def _stage_row(line: StageLine, seconds: float) -> list[Child]:
    busy, blocked, starved = _shares(line, seconds)
    bar = shares_bar(
        f"{line.name}: {share(busy)} busy, {share(blocked)} blocked, {share(starved)} starved",
        [("busy", busy), ("blocked", blocked)],
    )
    failed = element("b", count(line.failed), class_="c-bad") if line.failed else "0"
    numbers = [line.workers, line.received, line.sent, line.done]
    return [
        line.name,
        *map(count, numbers),
        failed,
        count(line.retried),
        short_number(line.items_per_second),
        took(line.p50_seconds),
        took(line.p95_seconds),
        element("div", bar, class_="bar"),
        *map(share, (busy, blocked, starved)),
    ]


def _shares(line: StageLine, seconds: float) -> tuple[float, float, float]:
    whole = line.workers * seconds
    if whole <= 0:
        return (0.0, 0.0, 0.0)
    busy, blocked, starved = (
        each / whole for each in (line.busy_seconds, line.blocked_seconds, line.starved_seconds)
    )
    # Where a stage was scaled, or its workers were born again, the sums may be a little over the whole.
    over = max(busy + blocked + starved, 1.0)
    return (busy / over, blocked / over, starved / over)


def rate_section(page: RunPage) -> Child:
    """Draw how many items a second came to the end of their way, and what each stage passed on."""
    if page.report.jobs is not None or not page.report.stages:
        return None
    whole = page.run_rate()
    if not whole.values:
        return None
    mean = whole.area / page.seconds
    caption = f"of the run: {short_number(mean)}/s on average, {short_number(whole.top)}/s at most"
    charts = [figure(caption, area_chart("rate", caption, whole, page.seconds, unit=" items/s"))]
    lines = [line for line in page.report.stages if line.role != "plain"]
    if len(lines) > 1:
        charts.append(grid(_stage_rate(page, line) for line in lines))
    return charts


def _stage_rate(page: RunPage, line: StageLine) -> Markup:
    curve = page.rate(line)
    word = "sent" if line.role == "producer" else "done"
    label = f"{line.name}: {count(getattr(line, word))} {word}"
    return figure(
        [element("b", line.name), f" {count(getattr(line, word))} {word}"],
        area_chart("stage-rate", label, curve, page.seconds, unit="/s", tall=SMALL),
    )


def fill_section(page: RunPage) -> Child:
    """Draw how many items waited in each queue, with its bound."""
    queues = [queue for queue in page.report.queues if page.fill(queue.name).values]
    if not queues or page.report.jobs is not None:
        return None
    empty = [queue for queue in queues if _is_never_filled(queue)] if len(queues) > _FEW_QUEUES else []
    told = ", ".join(f"{queue.name} ({queue.peak:,} of {queue.maxsize:,})" for queue in empty)
    return [
        grid(_queue_fill(page, queue) for queue in queues if queue not in empty),
        element("p", f"Never filled by a twentieth: {told}", class_="aside") if empty else None,
    ]


def _is_never_filled(queue: QueueLine) -> bool:
    return queue.maxsize is not None and queue.peak * 20 < queue.maxsize and not queue.full_seconds


def _queue_fill(page: RunPage, queue: QueueLine) -> Markup:
    bound = None if queue.maxsize is None else Bound(queue.maxsize, f"bound {queue.maxsize:,}")
    full = queue.full_seconds / page.report.seconds if page.report.seconds > 0 else 0.0
    told = f"full {share(full)} of the time" if queue.maxsize is not None or queue.max_bytes else "no bound"
    return figure(
        [element("b", queue.name), f" {told}, at most {count(queue.peak)}"],
        area_chart(
            "fill",
            f"{queue.name}: items that wait; {told}",
            page.fill(queue.name),
            page.seconds,
            bound=bound,
            tall=SMALL,
            colour="blocked" if full >= 0.5 else "accent",
        ),
    )


def workers_section(page: RunPage) -> Child:
    """Draw a row a worker, the darker the busier, with its deaths; of many workers a row a stage."""
    found = page.state.workers()
    if not found or page.report.jobs is not None:
        return None
    rows = [_strip_row(*row) for row in worker_pictures(page)]
    deaths = sum(worker.deaths for worker in found)
    said = f"The darker, the busier. {counted(deaths, 'death')}: red; whoever took the place: black."
    return [
        boxed(element("table", [element("tr", row, data_row=True) for row in rows], class_="strips")),
        element("p", said if deaths else "The darker, the busier.", class_="aside"),
    ]


def worker_pictures(page: RunPage) -> Iterator[tuple[str, Markup, str]]:
    """Yield the name of each row with its picture, and how busy it was on the whole."""
    found = page.state.workers()
    if len(found) <= MOST_WORKER_ROWS:
        for worker in found:
            yield worker.name, _worker_strip(page, worker), _worker_busy(worker)
        return
    for line in page.report.stages:
        those = [worker for worker in found if worker.stage == line.name]
        marks = [tick for worker in those for tick in _ticks(page, worker)][:_MOST_TICKS]
        curve = page.stage_busy(line.name)
        name = f"{line.name} ×{len(those)}"
        yield name, heat_strip(name, curve, page.seconds, marks), share(line.busy)


def _worker_busy(worker: WatchedWorker) -> str:
    """Say how busy a worker was; of one that has said nothing, as its runner was killed, nobody knows."""
    return "-" if worker.ended is None and not worker.busy_seconds else share(worker.whole.busy)


def _strip_row(name: str, strip: Markup, busy: str) -> list[Markup]:
    return [
        row_name(name),
        element("td", strip, width="100%"),
        element("td", busy, class_="n"),
    ]


def _worker_strip(page: RunPage, worker: WatchedWorker) -> Markup:
    begin = page.share_at(worker.began) if worker.began is not None else 0.0
    end = page.share_at(worker.ended) if worker.ended is not None else 1.0
    curve = page.worker_busy(worker.name) or page.stage_busy(worker.stage)
    label = f"{worker.name}: busy {_worker_busy(worker)}"
    return heat_strip(label, curve, page.seconds, list(_ticks(page, worker)), (begin, max(end, begin)))


def _ticks(page: RunPage, worker: WatchedWorker) -> Iterator[Tick]:
    for ending in worker.endings:
        at = page.share_at(ending.at)
        if ending.outcome == "died":
            held = f", with {', '.join(ending.items)} in hand" if ending.items else ""
            yield Tick(
                at, f"{worker.name} died at {local_time(ending.at)}: {ending.reason}{held}", is_bad=True
            )
        if ending.generation < worker.generation:
            yield Tick(at + 0.003, f"{worker.name} was born again", is_bad=False)


def times_section(page: RunPage) -> Child:
    """Draw how long the handler of each stage took for an item."""
    known = {stage: found for stage, found in page.state.times().items() if found.items}
    lines = [line for line in page.report.stages if line.name in known]
    if not lines or page.report.jobs is not None:
        return None
    rows = [
        [
            line.name,
            count(known[line.name].items),
            *(took(known[line.name].percentile(part)) for part in (0.5, 0.95, 0.99)),
            took(known[line.name].slowest or None),
        ]
        for line in lines
    ]
    pictures = grid(
        figure(element("b", line.name), time_histogram(f"{line.name}: time of an item", known[line.name]))
        for line in lines
    )
    many = len(lines) > MOST_HISTOGRAMS
    return [
        sheet(["Stage", "Items", "p50", "p95", "p99", "Slowest"], rows),
        folded(f"{len(lines)} histograms", pictures) if many else pictures,
    ]


def slowest_section(page: RunPage) -> Child:
    """Name the slowest items, of each stage the one."""
    if page.report.jobs is not None:
        return None
    found = [(each.slowest, stage, each.slowest_item) for stage, each in page.state.times().items()]
    rows = [
        [stage, took(seconds), element("code", item) if item else "-"]
        for seconds, stage, item in sorted(found, reverse=True)[:MOST_SLOWEST]
        if seconds
    ]
    return sheet(["Stage", "Took", "Item"], rows, texts=(2,)) if rows else None


def failures_section(page: RunPage) -> Child:
    """List what failed, by kind, each with some of its items and the traceback of the first."""
    kinds = page.state.failures()
    if not kinds:
        return _first_failures(page)
    rest = kinds[MOST_KINDS:]
    left_out = (
        f"and {counted(sum(each.kind.n for each in rest), 'failure')} of {counted(len(rest), 'more kind')}"
    )
    whole = sum(each.kind.n for each in kinds)
    heading = f"{counted(whole, 'failure')} of {counted(len(kinds), 'kind')}"
    return [
        element("p", heading, class_="aside"),
        [_kind(each) for each in kinds[:MOST_KINDS]],
        element("p", left_out) if rest else None,
    ]


def _first_failures(page: RunPage) -> Child:
    """List the failures that a report has, where no record has the kinds of all."""
    found = page.report.failures
    rows: list[list[Child]] = [
        [each.stage, each.worker, element("code", each.item or "-"), element("code", clip(each.error, 300))]
        for each in found[:MOST_KINDS]
    ]
    rest = len(found) - len(rows) + page.report.more_failures
    return [
        sheet(["Stage", "Worker", "Item", "Error"], rows, (0, 1, 2), texts=(3,)) if rows else None,
        element("p", f"and {counted(rest, 'more failure')}") if rest else None,
    ]


def _kind(found: KindOfFailure) -> Markup:
    kind = found.kind
    head: list[Child] = [
        element("b", count(kind.n), class_="n c-bad"),
        " ",
        element("span", kind.stage, class_="stage"),
        " ",
        element("code", clip(kind.error.partition("\n")[0], 300)),
        element("span", f" first {local_time(kind.first)}, last {local_time(kind.last)}", class_="aside"),
    ]
    items = [element("li", element("code", sample.item)) for sample in found.samples[:MOST_SAMPLES]]
    more = kind.n - len(items)
    items += [element("li", f"and {more:,} more")] if more > 0 and items else []
    trace = text_block(clip(kind.traceback, LONGEST_TRACEBACK)) if kind.traceback else None
    return folded(head, element("ul", items) if items else None, trace)


def ledger_section(page: RunPage) -> Child:
    """Return the accounts of the queues, and whether they add up."""
    queues = page.report.queues if page.report.jobs is None else ()
    if not queues:
        return None
    headings = ["Queue", "Put", "Done", "Dropped", "Seen before", "Dead letters", "Waiting", "In hand"]
    headings += ["Most", "Bound", "Time full"]
    rows = [
        [
            queue.name,
            *map(count, (queue.put, queue.done, queue.dropped, queue.duplicates, queue.dead_lettered)),
            *map(count, (queue.waiting, queue.leased, queue.peak)),
            "none" if queue.maxsize is None else count(queue.maxsize),
            rough_duration(queue.full_seconds),
        ]
        for queue in queues
    ]
    table = sheet(headings, rows, now_and_then=("Dropped", "Seen before", "Dead letters"))
    return [table, element("p", ledger_sentence(queues), class_="aside")]
