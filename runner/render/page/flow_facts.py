"""What is written on the graph of a run: of the whole run, by its report, or of now, by its state. Pure.

Report ────────► flow_of_report ──┐
                                  ├──► FlowFacts ──► flow.py
stages, queues ► flow_of_now ─────┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.events.report import Report
from runner.events.report_fields import QueueLine, StageLine
from runner.facts import dataclass
from runner.render.page.svg import short_number
from runner.watch.stages import WatchedQueue, WatchedStage

FULL = 0.9
"""A queue with less room than that left holds its writers back, or is about to."""


@dataclass(frozen=True, slots=True)
class FlowStage:
    """A stage of the graph."""

    name: str
    receives: str | None
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlowBox:
    """What is written in the box of a stage, or of a job."""

    words: str
    busy: float
    """0 to 1."""
    tone: str = "starved"
    """The colour of its frame."""
    bar: str = "busy"
    """The colour of the bar that tells how busy it is."""
    room: int = 0
    """Letters that there is room for at the least: what changes all the time must not move the picture."""


@dataclass(frozen=True, slots=True)
class FlowEdge:
    """What is written on the line of a queue, or of a need."""

    words: str
    full: float
    """How full it is, or what share of the time it was full: 0 to 1."""
    story: str
    room: int = 0
    is_named: bool = True
    """Whether its name and its words stand in a gap of the line."""


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """What is written on the graph."""

    stages: Sequence[FlowStage]
    """In the order in which data flows."""
    boxes: Mapping[str, FlowBox]
    edges: Mapping[str, FlowEdge]
    chart: str = "graph"
    """Which chart it is."""
    told: str = "stages and queues, and how many items went through each"
    """What the picture tells, in words."""

    def box(self, stage: str) -> FlowBox:
        """Return what is written in a box; nothing, where nothing is known."""
        return self.boxes.get(stage, FlowBox("", 0.0))

    def edge(self, queue: str) -> FlowEdge:
        """Return what is written on a line; nothing, where nothing is known."""
        return self.edges.get(queue, FlowEdge("", 0.0, queue))


def flow_of_report(report: Report) -> FlowFacts:
    """Return the graph of a run as a whole."""
    return FlowFacts(
        [FlowStage(line.name, line.receives, line.outputs) for line in report.stages],
        {line.name: _box_of(line) for line in report.stages},
        {line.name: _edge_of(line, report.seconds) for line in report.queues},
    )


def _box_of(line: StageLine) -> FlowBox:
    """Say in a box how many workers there are and how busy they were, and whether anything failed."""
    failed = f" · {short_number(line.failed)} failed" if line.failed else ""
    words = f"×{line.workers} · {line.busy:.0%} busy{failed}"
    return FlowBox(words, line.busy, "bad" if line.failed or line.lost else "starved")


def _edge_of(line: QueueLine, seconds: float) -> FlowEdge:
    full = min(line.full_seconds / seconds, 1.0) if seconds > 0 else 0.0
    bound = "no limit" if line.maxsize is None else f"{line.maxsize:,}"
    peak = f"at most {line.peak:,} at a time, bound {bound}"
    story = f"{line.name}: {line.put:,} put, {line.done:,} done, {peak}, full {full:.0%} of the time"
    return FlowEdge(f"{line.put:,}", full, story)


def flow_of_now(
    stages: Sequence[WatchedStage], queues: Sequence[WatchedQueue], failed: Mapping[str, int]
) -> FlowFacts:
    """Return the graph of a run as it is now; `failed` says by stage how many items failed for good."""
    return FlowFacts(
        [FlowStage(stage.name, stage.source, stage.targets) for stage in stages],
        {stage.name: _box_now(stage, failed.get(stage.name, 0)) for stage in stages},
        {queue.name: _edge_now(queue) for queue in queues},
    )


def _box_now(stage: WatchedStage, failed: int) -> FlowBox:
    bad = f" · {short_number(failed)} failed" if failed else ""
    words = f"{stage.alive}/{stage.workers} · {stage.now.busy:.0%} busy{bad}"
    return FlowBox(words, stage.now.busy, "bad" if failed else "starved", room=len("10/10 · 100% busy"))


def _edge_now(queue: WatchedQueue) -> FlowEdge:
    bound = "" if queue.maxsize is None else f"/{queue.maxsize:,}"
    # What is in hand takes room as well: a queue may have none and yet be half empty.
    held = queue.size if queue.account is None else queue.size + queue.account["leased"]
    full = max(queue.fill, held / queue.maxsize if queue.maxsize else 0.0)
    story = f"{queue.name}: {queue.size:,}{bound} wait, full {queue.full_share:.0%} of the run"
    words = f"{short_number(queue.put_rate)}/s · {queue.size:,}{bound}{' full' if full >= FULL else ''}"
    return FlowEdge(words, 1.0 if full >= FULL else 0.0, story, len("12.5k/s · ") + 2 * len(bound) - 1)
