"""The end of a run in text: root cause, stages, queues, ledger, bottleneck, one last line. Drawn with rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from runner.events.report import Report
from runner.events.report_fields import Failure, QueueLine, StageLine
from runner.events.report_view import ledger_sentence
from runner.render.lines import UNFINISHED_RUNS, Emphasis, OutputLine
from runner.text import and_more, cells, colour_allowed, visible
from runner.units import counted, format_size, rough_duration, short_time

if TYPE_CHECKING:  # a run of stages ends without it
    from runner.render.job_summary import Part

Kinds = Sequence[Mapping[str, Any]]
"""Kinds of failures, as `RunView.kinds` returns them."""
MOST_KINDS_SHOWN = 6
MOST_ITEMS_SHOWN = 5
PIPE_WIDTH = 100
"""Columns where there is no terminal to ask."""
PIPE_HEIGHT = 42
_STAGE_NEEDS = {"items/s": 64, "workers": 52, "busy": 40, "retried": 70}
_QUEUE_NEEDS = {"dropped": 52, "time full": 52}
"""The columns that go first, each with the width below which it does."""
_OF_TIMES = ("p50", "p95")
"""Those that are left out where the table would be wider than the terminal, the first one first."""
_GAP = 3
_OF_WORDS = frozenset({"result"})
"""The columns that hold no numbers, beside the first."""

_ENDINGS = {
    "done": "done in",
    "failed": "failed after",
    "timeout": "timed out after",
    "interrupted": "interrupted after",
    "internal": "ended by a fault in mprun after",
    **UNFINISHED_RUNS,
}


def print_report(report: Report, stream: TextIO, kinds: Kinds = ()) -> None:
    """
    Write the end of a run to `stream`: colour on a terminal only, and no character its encoding lacks.

    `kinds` are those of its failures, the most frequent first.
    """
    _draw(lambda console: _parts(report, console.width, kinds), stream)


def print_closing(parts_for: Callable[[int, int], Sequence[Part]], stream: TextIO) -> None:
    """Write the end of a run of jobs; `parts_for(columns, rows)` says what there is to say on so much room."""
    # One row is left for the command above, and one for the prompt below.
    _draw(lambda console: [_part(each) for each in parts_for(console.width, console.height - 2)], stream)


def print_losses(report: Report, stream: TextIO) -> None:
    """Write one line on the items that failed in a run that is done all the same; to be called where some did."""
    kept, dropped = (sum(getattr(q, kind) for q in report.queues) for kind in ("dead_lettered", "dropped"))
    parts = [_letters_sentence(kept, report.run)] if kept else []
    if dropped:
        parts.append(f"{counted(dropped, 'item')} failed and {'was' if dropped == 1 else 'were'} dropped")
    stream.write(f"mprun: {'; '.join(parts)}\n")


def _letters_sentence(kept: int, run: str) -> str:
    return f"{counted(kept, 'dead letter')}: `mprun dlq show {run}` tells what is in the first"


def _draw(parts_for: Callable[[Console], Sequence[RenderableType]], stream: TextIO) -> None:
    terminal = stream.isatty()
    console = _console_for(stream, terminal)
    with console.capture() as capture:
        for part in parts_for(console):
            console.print(part, soft_wrap=isinstance(part, Text) and (bool(part.no_wrap) or not terminal))
    encoding = stream.encoding or "utf-8"
    stream.write(capture.get().encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _console_for(stream: TextIO, terminal: bool) -> Console:
    return Console(
        file=stream,
        force_terminal=terminal,
        no_color=not colour_allowed(stream),
        width=None if terminal else PIPE_WIDTH,
        height=None if terminal else PIPE_HEIGHT,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _parts(report: Report, width: int, kinds: Kinds) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if report.outcome != "done" or report.failures:
        parts += _cause(report, kinds)
    if report.stages:
        parts += [_stage_table(report.stages, width), Text("")]
    if report.queues:
        parts += [_queue_table(report.queues, width), Text(""), Text(ledger_sentence(report.queues))]
    if kept := sum(queue.dead_lettered for queue in report.queues):
        parts.append(Text(_letters_sentence(kept, report.run)))
    if report.bottleneck:
        parts.append(Text(report.bottleneck))
    parts.append(_last_line(report))
    return parts


def _cause(report: Report, kinds: Kinds) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(visible(report.reason), style="bold red")] if report.reason else []
    cause = report.root_cause
    if cause is not None:
        parts += _failure(cause)
        others = len(report.failures) + report.more_failures - 1
        if others and not kinds:
            parts.append(Text(f"  and {counted(others, 'more failure')}", style="dim"))
        elif others:
            parts += [Text(""), *(Text(line, style=style) for line, style in _kind_lines(report.run, kinds))]
    return [*parts, Text("")] if parts else parts


def _kind_lines(run: str, kinds: Kinds) -> Iterator[tuple[str, str]]:
    """Yield what failed, how often, from when to when, and on which items; with how each line is drawn."""
    yield f"{counted(sum(kind['n'] for kind in kinds), 'failure')} of {counted(len(kinds), 'kind')}:", ""
    for kind in kinds[:MOST_KINDS_SHOWN]:
        stage = f"{kind['stage']}: " if kind["stage"] else ""
        yield visible(f"  {kind['n']:,} × {stage}{kind['error'].partition(chr(10))[0]}"), ""
        names = [visible(each["item"]) for each in kind["samples"][:MOST_ITEMS_SHOWN]]
        more = " …" if kind["n"] > len(names) else ""
        items = f", items {', '.join(names)}{more}" if names else ""
        yield f"      {time_span(kind['first'], kind['last'])}{items}", "dim"
    if more := and_more(len(kinds) - MOST_KINDS_SHOWN):
        yield f"  {more}: mprun show {run} --failures", "dim"


def time_span(first: float, last: float) -> str:
    """Say from when to when something was, by the clock on the wall; the day where it began on another."""
    at, until = (datetime.fromtimestamp(each).astimezone() for each in (first, last))
    if f"{at:%H:%M:%S}" == f"{until:%H:%M:%S}" and at.date() == until.date():
        return f"{at:%H:%M:%S}"
    return (
        f"{at:%H:%M:%S} to {until:%H:%M:%S}"
        if at.date() == until.date()
        else f"{at:%m-%d %H:%M} to {until:%m-%d %H:%M}"
    )


def _failure(failure: Failure) -> list[Text]:
    lines = [f"worker:  {failure.worker} of stage {failure.stage}"]
    if failure.item is not None:
        held = "item" if failure.kind == "item" else "at stake"
        lines.append(
            f"{held + ':':<8} {failure.item}" + (f" from '{failure.queue}'" if failure.queue else "")
        )
    lines.append(f"error:   {failure.error}")
    traceback = [f"    {line}" for line in (failure.traceback or "").rstrip().splitlines()]
    return [Text(f"  {visible(line)}") for line in lines] + [
        Text(visible(line), style="dim", no_wrap=True) for line in traceback
    ]


_STYLES = {
    Emphasis.HEADING: "bold",
    Emphasis.GOOD: "bold green",
    Emphasis.WARNING: "yellow",
    Emphasis.BAD: "bold red",
    Emphasis.ASIDE: "dim",
}


def _part(part: Part) -> RenderableType:
    if isinstance(part, OutputLine):
        return Text(part.text, style=_STYLES.get(part.emphasis, ""), no_wrap=True)
    return _table(part.rows, [])


def _stage_table(stages: Sequence[StageLine], width: int) -> RenderableType:
    rows = [
        {
            "stage": stage.name,
            "workers": str(stage.workers),
            "in": _count(stage.received),
            "out": _count(stage.sent),
            "failed": _count(stage.failed),
            "retried": _count(stage.retried),
            "items/s": f"{stage.items_per_second:,.1f}",
            "busy": f"{stage.busy:.0%}",
            "p50": short_time(stage.p50_seconds),
            "p95": short_time(stage.p95_seconds),
        }
        for stage in stages
    ]
    left_out = [heading for heading, least in _STAGE_NEEDS.items() if width < least]
    left_out += [] if any(stage.retried for stage in stages) else ["retried"]
    if all(stage.p95_seconds is None for stage in stages):
        return _table(rows, [*left_out, *_OF_TIMES])
    for heading in _OF_TIMES:
        left_out += [heading] if _width(rows, left_out) > width else []
    return _table(rows, left_out)


def _width(rows: Sequence[Mapping[str, str]], left_out: Sequence[str]) -> int:
    """Return how many cells a line of the table takes."""
    headings = [heading for heading in rows[0] if heading not in left_out]
    columns = ((heading, *(visible(row[heading]) for row in rows)) for heading in headings)
    return sum(max(map(cells, column)) + _GAP for column in columns) - _GAP


def _queue_table(queues: Sequence[QueueLine], width: int) -> RenderableType:
    rows = [
        {
            "queue": queue.name,
            "put": _count(queue.put),
            "done": _count(queue.done),
            "dropped": _count(queue.dropped),
            "seen before": _count(queue.duplicates),
            "peak": _peak(queue),
            "time full": f"{queue.full_seconds:.1f}s",
        }
        for queue in queues
    ]
    left_out = [heading for heading, least in _QUEUE_NEEDS.items() if width < least]
    return _table(rows, left_out if any(queue.duplicates for queue in queues) else [*left_out, "seen before"])


def _peak(queue: QueueLine) -> str:
    items = f"{queue.peak:,}/{'no limit' if queue.maxsize is None else f'{queue.maxsize:,}'}"
    if queue.max_bytes is None:
        return items
    return f"{items}, {format_size(queue.peak_bytes)}/{format_size(queue.max_bytes)}"


def _table(rows: Sequence[Mapping[str, str]], left_out: Sequence[str]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    headings = [heading for heading in rows[0] if heading not in left_out]
    for position, heading in enumerate(headings):
        first = position == 0
        justify: Literal["left", "right"] = "left" if first or heading in _OF_WORDS else "right"
        table.add_column(heading, justify=justify, no_wrap=not first, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(row[heading])) for heading in headings))
    return table


def _last_line(report: Report) -> Text:
    text = f"{_ENDINGS[report.outcome]} {rough_duration(report.seconds)}"
    if report.outcome in UNFINISHED_RUNS:
        return Text(text, style="bold yellow")
    if report.exit_code == 0:
        return Text(text, style="bold green")
    return Text(f"{text}, exit {report.exit_code}", style="bold red")


def _count(number: int) -> str:
    return f"{number:,}"
