"""`mprun ps`: the runs under way here, and their workers.

.mprun/runs/* ──► ask each over its socket ──► tables, or JSON
"""

from __future__ import annotations

import json
from typing import Any

import click

from runner.cli.options import examples, output_format
from runner.cli.output import say, write

EXAMPLES = examples(
    "mprun ps                      what runs, started from this folder",
    "mprun ps 3f2a                 one run, by the beginning of its id or its workflow's name",
    "MPRUN_HOME=/srv/job/.mprun mprun ps --format json",
)


@click.command(epilog=EXAMPLES)
@click.argument("run", required=False)
@output_format(["text", "json"])
def command(run: str | None, form: str) -> int:
    """Show the runs under way that were started in this folder, with every worker and queue.

    Workers that have ended stay listed, with how they ended. RUN, the beginning of an id or a workflow's name, limits
    it to the runs that match. A run under `inline` is one process that does nothing but its work: it is not listed.
    """
    snapshots = _snapshots(run)
    if form == "json":
        write(json.dumps(snapshots, indent=2, ensure_ascii=False) + "\n")
    elif not snapshots:
        say("no run is under way here")
    else:
        write("\n\n".join(as_text(each) for each in snapshots) + "\n")
    return 0


def as_text(snapshot: dict[str, Any]) -> str:
    """Show one run as aligned tables."""
    from runner.cells import columns
    from runner.units import format_duration

    seconds = format_duration(round(snapshot["elapsed"], 1))
    heading = (
        f"{snapshot['run']}  {snapshot['workflow']}  {snapshot['phase']}  {seconds}  pid {snapshot['pid']}"
    )
    workers = [["WORKER", "STAGE", "PID", "STATE", "IN", "OUT", "FAILED", "HOW IT ENDED"]]
    shown = ("worker", "stage", "pid", "state", "received", "sent", "failed")
    workers += [
        [*("-" if w[key] is None else str(w[key]) for key in shown), _how_it_ended(w)]
        for w in snapshot["workers"]
    ]
    queues = [["QUEUE", "WAITING", "BOUND", "PUT", "DONE"]]
    queues += [
        [q["name"], str(q["waiting"]), str(q["maxsize"] or "none"), str(q["put"]), str(q["done"])]
        for q in snapshot["queues"]
    ]
    blocks = ([heading], columns(workers), columns(queues) if snapshot["queues"] else [])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _how_it_ended(worker: dict[str, Any]) -> str:
    """Say how a worker ended; if it was asked to, by which signal and how long after."""
    asked, ended = worker["asked_at"], worker["ended_at"]
    if asked is None or ended is None:
        return str(worker["ending"])
    from runner.units import format_duration

    how = worker["signal"] or f"exit code {worker['exitcode']}"
    after = format_duration(round(ended - asked, 3))
    return f"{how}, {after} after it was asked to end: {worker['ending']}"


def _snapshots(run: str | None) -> list[dict[str, Any]]:
    from runner.control import ask
    from runner.errors import UsageError
    from runner.whereabouts import find_all_live, live_records

    found = []
    for record in live_records() if run is None else find_all_live(run):
        try:
            found.append(ask(record.folder, {"do": "status"}))
        except UsageError as error:  # it has ended since, or is stopped
            say(f"mprun: {error}")
    return found
