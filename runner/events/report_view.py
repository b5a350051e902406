"""A report as a person sees it without a terminal: in a plain Python shell, and in a notebook's cell.

Report ──► report_text   one line what it came to, a table of stages, one of queues, the first failure
       ├─► report_html   the same, every text of a user's escaped
       └─► ledger_sentence
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from runner.events.report_fields import Failure, QueueLine, StageLine
from runner.text import columns, visible
from runner.units import rough_duration, short_time

Rows = list[list[str]]
# A report is `Any` here: it is that of the module above, which asks this one to be shown.
_GOOD, _BAD = "#1a7f37", "#cf222e"
_CELL = "padding: 0.2em 0.8em; text-align: {}; white-space: nowrap"


def report_text(report: Any) -> str:
    """Show a report as plain text of a few lines."""
    blocks = [_heading(report)]
    for rows in _tables(report):
        blocks.append("\n".join(line.rstrip() for line in columns(rows)))
    if (cause := report.root_cause) is not None:
        blocks.append("\n".join(_failure_lines(cause)))
    return "\n\n".join(blocks)


def report_html(report: Any) -> str:
    """Show a report as a piece of HTML: tables with inline styles, and no script."""
    colour = _GOOD if report.exit_code == 0 else _BAD
    parts = [
        f'<div style="margin-bottom: 0.5em"><b style="color: {colour}">{escape(_heading(report))}</b></div>'
    ]
    parts += [_html_table(rows) for rows in _tables(report)]
    if (cause := report.root_cause) is not None:
        lines = "\n".join(_failure_lines(cause))
        parts.append(f'<pre style="color: {_BAD}; margin-top: 0.5em">{escape(lines)}</pre>')
    return f"<div>{''.join(parts)}</div>"


def _heading(report: Any) -> str:
    took = rough_duration(report.seconds)
    reason = f": {report.reason}" if report.reason else ""
    return visible(f"{report.workflow or 'a run'}: {report.outcome} after {took}{reason}")


def _tables(report: Any) -> list[Rows]:
    tables: list[Rows] = []
    if report.stages:
        tables.append([_STAGE_HEADINGS, *map(_stage_row, report.stages)])
    if report.queues:
        tables.append([_QUEUE_HEADINGS, *map(_queue_row, report.queues)])
    if report.jobs is not None:
        jobs = [[visible(job.job), str(job.state), short_time(job.seconds)] for job in report.jobs.jobs]
        tables.append([["job", "state", "took"], *jobs])
    return tables


_STAGE_HEADINGS = ["stage", "workers", "in", "out", "failed", "items/s", "busy", "p50", "p95"]


def _stage_row(stage: StageLine) -> list[str]:
    counts = [f"{number:,}" for number in (stage.workers, stage.received, stage.sent, stage.failed)]
    pace = [f"{stage.items_per_second:,.1f}", f"{stage.busy:.0%}"]
    return [visible(stage.name), *counts, *pace, *map(short_time, (stage.p50_seconds, stage.p95_seconds))]


_QUEUE_HEADINGS = ["queue", "put", "done", "dropped", "dead letters", "not done", "peak"]


def _queue_row(queue: QueueLine) -> list[str]:
    left = queue.waiting + queue.leased
    numbers = (queue.put, queue.done, queue.dropped, queue.dead_lettered, left, queue.peak)
    return [visible(queue.name), *(f"{number:,}" for number in numbers)]


def _failure_lines(cause: Failure) -> list[str]:
    item = f" on {cause.item}" if cause.item else ""
    lines = [f"{cause.worker}{item}: {cause.error}", *(cause.traceback or "").rstrip().splitlines()]
    return [visible(line) for line in lines]


def _html_table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(_html_cell("th", text, place) for place, text in enumerate(rows[0]))
    body = "".join(
        f"<tr>{''.join(_html_cell('td', text, place) for place, text in enumerate(row))}</tr>"
        for row in rows[1:]
    )
    return f'<table style="margin-bottom: 0.5em"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _html_cell(tag: str, text: str, place: int) -> str:
    style = _CELL.format("right" if place else "left")
    return f'<{tag} style="{style}">{escape(text)}</{tag}>'


_KINDS = {
    "done_before": "done before",
    "done": "done",
    "dropped": "dropped",
    "duplicates": "seen before",
    "dead_lettered": "dead-lettered",
    "lost": "lost",
    "waiting": "not begun",
    "leased": "begun and not done",
}


def ledger_sentence(queues: Sequence[QueueLine]) -> str:
    """Say in one line what became of all the items, and whether it adds up."""
    sums = {kind: sum(getattr(queue, kind) for queue in queues) for kind in _KINDS}
    sums["done"] -= sums["done_before"]
    parts = [f"{count:,} {_KINDS[kind]}" for kind, count in sums.items() if count or kind == "done"]
    put = sum(queue.put for queue in queues)
    if all(queue.balanced for queue in queues):
        return f"ledger: {put:,} put = {' + '.join(parts)}"
    wrong = ", ".join(queue.name for queue in queues if not queue.balanced)
    return f"ledger: {put:,} put, but {' + '.join(parts)}: {wrong} does not add up, which is a fault in mprun"
