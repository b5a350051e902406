"""`mprun diff`: two runs of the past side by side, and whether the later one is worse.

two records ──► compare ──► params · file · a line a stage or job · kinds of failures          --fail-over: exit 1
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click

from runner.cli.options import examples, output_format
from runner.cli.output import print_message, write
from runner.cli.past_runs.recorded import RUN_HELP, chosen_run, look_into, report_of
from runner.errors import ExitCode, UsageError
from runner.record.comparison import ComparedRun, Comparison, NumberChange, compare_runs
from runner.render.tables import table, width_of
from runner.text import visible
from runner.units import short_time

EXAMPLES = examples(
    "mprun diff 3f2a 77aa                      what differs",
    "mprun diff 3f2a latest --fail-over 20%    exit 1 where it is worse",
)


@click.command(
    epilog=EXAMPLES,
    help="Lay two runs side by side: their params, file, stages or jobs, and kinds of failures.\n\n"
    f"{RUN_HELP} With --fail-over the exit code is 1 where, from A to B, the run takes so much longer for the same"
    " work, and half a second at least, a stage that lived for half a second in both passes so much fewer items a"
    " second, or takes so much longer for its slower items, or fails on so many more, or a job that took 0.1s and more"
    " takes so much longer, or has failed.",
)
@click.argument("a")
@click.argument("b")
@click.option("--fail-over", "limit", metavar="PERCENT", help="How much worse B may be, as in 20%.")
@output_format(["text", "json"])
def command(a: str, b: str, limit: str | None, form: str) -> int:
    share = None if limit is None else _share(limit)
    before, after = _compared(a), _compared(b)
    comparison = compare_runs(before, after)
    worse = [] if share is None else comparison.worsened(share)
    if form == "json":
        document = {"before": before.id, "after": after.id, **_as_dict(comparison), "worse": worse}
        write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        write("\n".join(_lines(comparison, before, after)) + "\n")
    for line in worse:
        print_message(f"mprun: {visible(line)}; --fail-over allows {limit}")
    return ExitCode.FAILED if worse else ExitCode.DONE


def _share(limit: str) -> float:
    number = limit.removesuffix("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < 1000:
        raise UsageError(f"--fail-over: expected a percentage such as 20%, got '{limit}'")
    return share


def _compared(word: str) -> ComparedRun:
    run, run_folder = chosen_run(word)
    with look_into(run, run_folder) as view:
        return ComparedRun.of(run.id, view.facts(), report_of(run, view), view.kinds())


def _lines(comparison: Comparison, before: ComparedRun, after: ComparedRun) -> list[str]:
    took = comparison.seconds
    blocks = [
        [
            f"{before.id} → {after.id}  {_shown(took, '{:.1f}s')}  {before.report.outcome} → {after.report.outcome}"
        ],
        [visible(line) for line in comparison.given],
        [visible(line) for line in comparison.text],
        _stage_table(comparison),
        _job_table(comparison),
        [f"new:  {_kind(kind)}" for kind in comparison.new_kinds]
        + [f"gone: {_kind(kind)}" for kind in comparison.gone_kinds],
    ]
    lines: list[str] = []
    for block in filter(None, blocks):
        lines += [*([""] if lines else []), *block]
    return lines


def _stage_table(comparison: Comparison) -> list[str]:
    if not comparison.stages:
        return []
    rows = [["STAGE", "ITEMS/S", "BUSY", "P50", "P95", "FAILED"]]
    rows += [
        [
            stage.name,
            _shown(stage.items_per_second, "{:,.1f}"),
            _shown(stage.busy, "{:.0%}"),
            *map(_shown_times, (stage.p50_seconds, stage.p95_seconds)),
            _shown(stage.failed, "{:,.0f}"),
        ]
        for stage in comparison.stages
    ]
    return table(rows, width_of(sys.stdout))


def _job_table(comparison: Comparison) -> list[str]:
    if not comparison.jobs:
        return []
    rows = [["JOB", "RESULT", "TOOK"]]
    for job in comparison.jobs:
        was, is_now = (state or "-" for state in job.state)
        rows.append([job.name, was if was == is_now else f"{was} → {is_now}", _shown(job.seconds, "{:.1f}s")])
    return table(rows, width_of(sys.stdout))


def _shown(change: NumberChange, form: str) -> str:
    return _both(change, lambda number: "-" if number is None else form.format(number))


def _shown_times(change: NumberChange) -> str:
    return _both(change, short_time)


def _both(change: NumberChange, show: Callable[[float | None], str]) -> str:
    """Show a number as it was and as it is, with the ratio where that says something."""
    was, is_now = show(change.before), show(change.after)
    if was == is_now:
        return was
    ratio = "" if change.ratio is None else f" ({change.ratio:.2f}×)"
    return f"{was} → {is_now}{ratio}"


def _kind(kind: Any) -> str:
    where = f" in stage {kind['stage']}" if kind["stage"] else ""
    return visible(f"{kind['n']:,}×{where}: {kind['error'].partition(chr(10))[0]}")


def _as_dict(comparison: Comparison) -> dict[str, Any]:
    told = asdict(comparison)
    for side in ("new_kinds", "gone_kinds"):
        told[side] = [{key: kind[key] for key in ("stage", "error", "n")} for kind in told[side]]
    changes: Sequence[dict[str, Any]] = [told, *told["stages"], *told["jobs"]]
    pairs = zip(changes, [comparison, *comparison.stages, *comparison.jobs], strict=True)
    for shown, source in pairs:
        for name, value in shown.items():
            change = getattr(source, name)
            if isinstance(change, NumberChange):
                value["ratio"] = change.ratio
    return told
