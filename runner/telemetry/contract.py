"""What mprun measures for others: each metric once, as data. The page docs/metrics.md is made from it. Pure.

    CONTRACT ──┬──► samples.py ──► prometheus.py, which gives no others
               └──► metrics_page() ──► docs/metrics.md

The rules, which a test holds every declaration to: names are `mprun_<of what>_<what>_<unit>`, in base units; what only
grows ends in `_total`; the sum over a label means something; a label has few values, which the file of the workflow or
the lists here bound. So there is no item, no text of an error and no worker in any, and `run` is a label of
`mprun_run_info` alone: else each run would be new series for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Final

from runner.events.job_report import JobState
from runner.events.run import RunOutcome
from runner.facts import dataclass
from runner.spec.failures import OnError
from runner.watch.event_counts import RestartReason

WORKFLOW: Final = "workflow"
"""The label that every metric has, before its own."""


class MetricType(StrEnum):
    """How a metric behaves, in the words of OpenMetrics."""

    INFO = "info"
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Action(StrEnum):
    """What became of an attempt that failed."""

    RETRIED = "retried"
    FAILED = "failed"
    SKIPPED = "skipped"
    DEAD_LETTERED = "dead_lettered"
    ROUTED = "routed"


ACTION_OF: Final[Mapping[OnError, Action]] = {
    OnError.FAIL: Action.FAILED,
    OnError.SKIP: Action.SKIPPED,
    OnError.DEAD_LETTER: Action.DEAD_LETTERED,
    OnError.ROUTE: Action.ROUTED,
}


RUNNING, STOPPING = "running", "stopping"
WAITING = "waiting"
PHASES: Final = (RUNNING, STOPPING, *(each.value for each in RunOutcome))
WORKER_STATES: Final = ("busy", "starved", "blocked")
JOB_STATES: Final = (WAITING, *(each.value for each in JobState))

TIME_BOUNDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0),
)
"""Upper bounds of the buckets of a histogram, in seconds; what took longer is in `+Inf`."""


@dataclass(frozen=True, slots=True)
class MetricDeclaration:
    """One metric: its name as a query has it, and what it means."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    """Beside `workflow`."""
    unit: str = ""
    """The base unit in its name; empty where it counts something without one."""
    words: Mapping[str, Sequence[str]] = field(default_factory=dict, compare=False)
    """The values that a label may have, where these are mprun's own."""

    @property
    def family(self) -> str:
        """The name without what its type adds to it: what OpenMetrics calls the metric family."""
        return self.name.removesuffix(
            {MetricType.COUNTER: "_total", MetricType.INFO: "_info"}.get(self.type, "")
        )

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The labels in the order in which values are given."""
        return (WORKFLOW, *self.labels)


def _gauge(
    name: str,
    help: str,
    *labels: str,
    unit: str = "",
    words: Mapping[str, Sequence[str]] | None = None,
) -> MetricDeclaration:
    return MetricDeclaration(name, MetricType.GAUGE, help, labels, unit, words or {})


def _counter(
    name: str,
    help: str,
    *labels: str,
    unit: str = "",
    words: Mapping[str, Sequence[str]] | None = None,
) -> MetricDeclaration:
    return MetricDeclaration(name, MetricType.COUNTER, help, labels, unit, words or {})


CONTRACT: Final = (
    MetricDeclaration(
        "mprun_run_info",
        MetricType.INFO,
        "What runs; the value is 1. To be joined with others by `workflow`.",
        ("run", "file", "version", "transport"),
    ),
    _gauge("mprun_run_start_time_seconds", "When the run began, since 1970.", unit="seconds"),
    _gauge(
        "mprun_run_phase",
        "How far the run is: 1 for the phase that it is in, 0 for the others.",
        "phase",
        words={"phase": PHASES},
    ),
    _gauge("mprun_stage_workers", "Workers that the stage has or will have.", "stage"),
    _gauge("mprun_stage_workers_alive", "Workers of the stage whose process lives.", "stage"),
    _counter(
        "mprun_stage_items_received_total",
        "Items that workers took from their queue; one that is tried again counts again.",
        "stage",
    ),
    _counter("mprun_stage_items_sent_total", "Items that workers put on queues.", "stage"),
    _counter("mprun_stage_items_done_total", "Items that workers acknowledged.", "stage"),
    _counter(
        "mprun_stage_attempts_failed_total",
        "Attempts that failed, by what became of the item: it was retried, or failed for good.",
        "stage",
        "action",
        words={"action": tuple(Action)},
    ),
    _counter(
        "mprun_stage_items_redelivered_total",
        "Items that were handed out again since the worker that had them died.",
        "stage",
    ),
    _counter(
        "mprun_stage_restarts_total",
        "Processes that got a successor, by how they ended: killed by a signal, left with an exit code, killed for "
        "taking too long, or finished where `restart` is `always`.",
        "stage",
        "reason",
        words={"reason": tuple(RestartReason)},
    ),
    _counter(
        "mprun_stage_worker_seconds_total",
        "Seconds that workers spent inside the handler, waiting for an item, and waiting for room.",
        "stage",
        "state",
        unit="seconds",
        words={"state": WORKER_STATES},
    ),
    MetricDeclaration(
        "mprun_item_duration_seconds",
        MetricType.HISTOGRAM,
        "How long items took the handler, those that failed too: to a sixteenth, as also the sum.",
        ("stage",),
        "seconds",
    ),
    _gauge("mprun_queue_items", "Items that wait in the queue.", "queue", unit="items"),
    _gauge(
        "mprun_queue_capacity_items",
        "Items that the queue has room for, if it is bounded.",
        "queue",
        unit="items",
    ),
    _gauge(
        "mprun_queue_bytes", "Bytes of the items in the queue, if it has `max_bytes`.", "queue", unit="bytes"
    ),
    _gauge(
        "mprun_queue_capacity_bytes",
        "Bytes that the queue has room for, if it has `max_bytes`.",
        "queue",
        unit="bytes",
    ),
    _counter("mprun_queue_put_total", "Items that were put on the queue.", "queue"),
    _counter("mprun_queue_done_total", "Items of the queue that are done.", "queue"),
    _counter("mprun_queue_dropped_total", "Items that left the queue without being done.", "queue"),
    _counter(
        "mprun_queue_dead_lettered_total", "Items of the queue that were kept as dead letters.", "queue"
    ),
    _counter(
        "mprun_queue_full_seconds_total", "Seconds in which the queue had no room.", "queue", unit="seconds"
    ),
    _gauge("mprun_jobs", "Jobs of the run that are in this state.", "state", words={"state": JOB_STATES}),
    _gauge(
        "mprun_job_duration_seconds",
        "How long a job took in this run, once it has ended, over all of its attempts.",
        "job",
        unit="seconds",
    ),
    _gauge(
        "mprun_record_cut_age_seconds",
        "How much of the run would be done once more if it were killed: seconds since the last kept cut, from which "
        "`mprun resume` goes on. Where nothing happens it grows to some 20; of a run that keeps no cuts, or is over, "
        "it is not told.",
        unit="seconds",
    ),
    _gauge(
        "mprun_record_incomplete",
        "Whether something is missing in the record of the run by now: 1, or 0, which it is with `--no-record` too.",
    ),
    _counter(
        "mprun_events_dropped_total", "Events that whoever counts them here has missed: the run was too fast."
    ),
)
"""All of them, in the order in which they are shown."""

BY_NAME: Final[Mapping[str, MetricDeclaration]] = {each.name: each for each in CONTRACT}


def metrics_page(declarations: Iterable[MetricDeclaration] = CONTRACT) -> str:
    """Return the page of reference, as Markdown."""
    declarations = tuple(declarations)
    rows = [f"| `{each.name}` | {each.type} | {_labels(each)} | {each.help} |" for each in declarations]
    words = [
        f"- `{label}` of `{each.name}`: {', '.join(f'`{word}`' for word in known)}."
        for each in declarations
        for label, known in each.words.items()
    ]
    bounds = ", ".join(f"{bound:g}" for bound in TIME_BOUNDS)
    return "\n".join(
        [
            *_HEAD,
            "| metric | type | labels | what it is |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Labels",
            "",
            *_LABELS,
            *words,
            "",
            f"The buckets of a histogram end at {bounds} seconds.",
            "",
        ]
    )


_HEAD = (
    "# mprun metrics",
    "",
    "What `mprun run --metrics` tells, in the formats of Prometheus and OpenMetrics; [watching](watching.md) says how",
    "to have it collected. Made from the declarations that mprun itself measures by: what is not here is not told.",
    "",
)
_LABELS = (
    "Every metric has the label `workflow`, the workflow's name, beside its own. No label holds an item, the text of",
    "an error or a worker; the id of the run is one of `mprun_run_info` alone, so that a workflow that runs each hour",
    "goes on with its series. The sum over a label is a number that means something. Where several runs of one",
    "workflow are told together, as by the dashboard, their numbers are added up; of cuts the oldest is told.",
    "",
)


def _labels(declaration: MetricDeclaration) -> str:
    return ", ".join(f"`{label}`" for label in declaration.labels) or "–"
