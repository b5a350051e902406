"""The commands for runs under way: `mprun ps` shows them, `mprun stop` ends them, `mprun scale` changes their workers.

RUN ──► its folder under .mprun/runs ──► a request over its socket ──► tables, JSON, or a line
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from runner.cli.options import examples, output_format
from runner.cli.output import print_message, write
from runner.cli.past_runs.recorded import way_on
from runner.errors import UsageError
from runner.record.summary import summarize_run
from runner.render.tables import table, width_of
from runner.store.control_socket import ask
from runner.store.discovery import (
    end_left_by_killed,
    find_all_running,
    find_running,
    killed_folders,
    left_of,
    running_folders,
)
from runner.store.run_folder import RunFolder, home, matching
from runner.units import counted, format_duration, progress_label

KILLED = "killed"
"""The phase of a run whose runner is gone and has not ended it."""
PS_EXAMPLES = examples(
    "mprun ps                      what runs, started from this folder",
    "mprun ps 3f2a                 one run, by its id or its workflow's name",
    "MPRUN_HOME=/srv/job/.mprun mprun ps --format json",
)


@click.command(epilog=PS_EXAMPLES)
@click.argument("run", required=False)
@output_format(["text", "json"])
def ps(run: str | None, form: str) -> int:
    """Show the runs under way that were started in this folder, with every worker and queue.

    Of a run with jobs it shows every job. Workers that have ended stay listed, with how they ended. RUN, the beginning
    of an id or a workflow's name, limits it to the runs that match. A run under `inline` is one process that does
    nothing but its work: it is not listed. A run whose runner was killed is shown as such, with what was known of it
    last, until its workflow runs anew.
    """
    snapshots = _snapshots(run)
    if form == "json":
        write(json.dumps(snapshots, indent=2, ensure_ascii=False) + "\n")
    elif not snapshots:
        print_message("no run is under way here")
    else:
        width = width_of(sys.stdout)
        write("\n\n".join(run_as_text(each, width) for each in snapshots) + "\n")
    return 0


STOP_EXAMPLES = examples(
    "mprun stop 3f2a               as Ctrl-C: producers stop, queues are emptied",
    "mprun stop baozi --worker c1  end one worker; others go on with its items",
    "mprun stop ci --job test      cancel one job; those that need it are skipped",
)


@click.command(epilog=STOP_EXAMPLES)
@click.argument("run")
@click.option("--worker", metavar="NAME", help="End this worker only, the second time by SIGKILL.")
@click.option("--job", metavar="NAME", help="Cancel this job, or one leg of it, only.")
def stop(run: str, worker: str | None, job: str | None) -> int:
    """Ask a run to stop. RUN is the beginning of its id, or its workflow's name.

    The first time producers stop and the rest finishes its items; the second time everything is killed. The command
    returns at once: `mprun ps` shows how far it is. The run exits with 143, as after a SIGTERM.

    With --worker only that one ends, and nobody takes its place. A consumer or pipe worker finishes the item in its
    hand and closes, within limits.close_timeout; the others that read its queue go on with its items. The last of
    them can't be stopped so, nor one of a sharded stage. Other workers get SIGTERM. The work of a producer is cut
    short: the run works off what is in its queues and exits with 1, unless the stage is daemonic. To a stage without
    queues it is an end like any other. A worker that is killed instead is replaced, where `restart` says so. Under
    `joinable` only a worker without queues can be stopped.

    With --job that job is cancelled, its clean-up is run, and the run exits with 1.
    """
    if worker is not None and job is not None:
        raise UsageError("--worker and --job don't go together: a run has stages or jobs")
    chosen = {key: value for key, value in (("worker", worker), ("job", job)) if value is not None}
    if not chosen and (ended := _end_left_by(run)):
        which = "process" if len(ended) == 1 else "processes"
        print_message(f"ended {which} {', '.join(map(str, ended))}, which a killed run had left")
        return 0
    answer = ask(find_running(run).path, {"do": "stop", **chosen})
    if job is not None:
        print_message(f"cancelled {', '.join(answer['cancelled'])}")
    elif worker is not None:
        by = f" ({answer['signal']})" if answer["signal"] else ""
        print_message(f"asked worker '{worker}' to end{by}")
    else:
        print_message("asked the run to stop")
    return 0


def _end_left_by(run: str) -> list[int]:
    """End what is left of the one killed run that `run` means, if that is what it means, and anything is."""
    killed = [] if matching(run, running_folders()) else matching(run, killed_folders())
    return end_left_by_killed(run=killed[0].run) if len(killed) == 1 else []


SCALE_EXAMPLES = examples(
    "mprun scale baozi eater=4     bring the stage to four workers",
)


@click.command(epilog=SCALE_EXAMPLES)
@click.argument("run")
@click.argument("change", metavar="STAGE=COUNT")
def scale(run: str, change: str) -> int:
    """Bring a stage to COUNT workers while the run goes on. RUN is the beginning of its id, or its workflow's name.

    New workers start at once. Workers that are too many finish what they hold and end. Needs the leased transport.
    """
    stage, equals, count = change.rpartition("=")
    if not (equals and stage and count.isdecimal()):
        raise UsageError(f"expected STAGE=COUNT as in eater=4, got '{change}'")
    ask(find_running(run).path, {"do": "scale", "stage": stage, "count": int(count)})
    print_message(f"stage '{stage}' goes to {counted(int(count), 'worker')}")
    return 0


def run_as_text(snapshot: dict[str, Any], width: int | None = None) -> str:
    """Show one run as tables, for lines of `width` cells."""
    seconds = format_duration(round(snapshot["elapsed"], 1))
    heading = [
        f"{snapshot['run']}  {snapshot['workflow']}  {snapshot['phase']}  {seconds}  pid {snapshot['pid']}"
    ]
    if snapshot["phase"] == KILLED:
        heading += _last_words(snapshot)
    heading += _progress(snapshot)
    if snapshot.get("jobs"):
        return "\n\n".join("\n".join(block) for block in (heading, table(_job_rows(snapshot["jobs"]), width)))
    workers = [["WORKER", "STAGE", "PID", "STATE", "IN", "OUT", "FAILED", "RETRIED", "HOW IT ENDED"]]
    shown = ("worker", "stage", "pid", "state", "received", "sent", "failed", "retried")
    workers += [
        [*("-" if w[key] is None else str(w[key]) for key in shown), _how_it_ended(w)]
        for w in snapshot["workers"]
    ]
    queues = [["QUEUE", "WAITING", "BOUND", "PUT", "DONE"]]
    queues += [
        [q["name"], str(q["waiting"]), str(q["maxsize"] or "none"), str(q["put"]), str(q["done"])]
        for q in snapshot["queues"]
    ]
    blocks = (
        heading,
        table(workers, width) if snapshot["workers"] else [],
        table(queues, width) if snapshot["queues"] else [],
    )
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _progress(snapshot: dict[str, Any]) -> list[str]:
    """Tell how far each source has come that knows it. A run that was killed may be of an older mprun."""
    labels = (
        (each["name"], progress_label(each.get("read"), each.get("to_read"), snapshot["elapsed"]))
        for each in snapshot.get("stages", ())
    )
    return [f"{name} has read {label}" for name, label in labels if label]


def _job_rows(jobs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Show the jobs of a run, in the order of the file."""
    rows = [["JOB", "STATE", "FOR", "ATTEMPT", "STEP OR WHAT IT WAITS FOR"]]
    for each in jobs:
        since = "-" if each["elapsed"] is None else format_duration(round(each["elapsed"], 1))
        at = _at_work(each) or each["step"] or each.get("group") or ", ".join(each["waits_for"])
        rows.append([each["job"], each["state"], since, str(each["attempt"] or "-"), at])
    return rows


def _at_work(job: dict[str, Any]) -> str:
    """Say of a job in the background that runs whether others may use it."""
    if not job.get("background") or job["elapsed"] is None:
        return ""
    ready_after = job.get("ready_after")
    if ready_after is None:
        return f"background, not ready: {job['step']}".removesuffix(": ")
    return f"background, ready for {format_duration(round(max(job['elapsed'] - ready_after, 0.0), 1))}"


def _how_it_ended(worker: dict[str, Any]) -> str:
    """Say how a worker ended; if it was asked to, by which signal and how long after."""
    asked, ended = worker["asked_at"], worker["ended_at"]
    if asked is None or ended is None:
        return str(worker["ending"])

    how = worker["signal"] or f"exit code {worker['exitcode']}"
    after = format_duration(round(ended - asked, 3))
    return f"{how}, {after} after it was asked to end: {worker['ending']}"


def _last_words(snapshot: dict[str, Any]) -> list[str]:
    run_folder = RunFolder(snapshot["run"], home())
    left, run = left_of(run_folder), summarize_run(run_folder)
    if left:
        pids = ", ".join(map(str, left))
        still = f"process {pids} of it is" if len(left) == 1 else f"processes {pids} of it are"
        gone = f"its runner and its watchdog were killed; {still} still there; `mprun stop {snapshot['run']}` ends that"
    else:
        gone = "its runner was killed, or the machine went down: nothing of it runs any more"
    seen = datetime.fromtimestamp(snapshot["last_seen"]).strftime("%Y-%m-%d %H:%M:%S")
    known = "this was known of it" if snapshot["stages"] else "it began; nothing more is known of it"
    ways = [way_on(run)] if run is not None and not left else []
    return [gone, *ways, f"at {seen} {known}"]


def _snapshots(run: str | None) -> list[dict[str, Any]]:
    killed = killed_folders()
    if run is None:
        running = running_folders()
    else:
        killed = matching(run, killed)
        running = matching(run, running_folders()) if killed else find_all_running(run)
    found = [_killed_snapshot(run_folder) for run_folder in killed]
    for run_folder in running:
        try:
            found.append(ask(run_folder.path, {"do": "status"}))
        except UsageError as error:  # it has ended since, or is stopped
            print_message(f"mprun: {error}")
    return found


def _killed_snapshot(run_folder: RunFolder) -> dict[str, Any]:
    """Tell what was known last of a run whose runner is gone, in the form in which it would tell it itself."""
    facts, seen = run_folder.facts(), run_folder.last_seen()
    empty: dict[str, Any] = {"elapsed": 0.0, "stages": [], "workers": [], "queues": [], "jobs": []}
    snapshot, at = seen or (empty, 0.0 if facts is None else facts.at)
    known = {} if facts is None else {key: getattr(facts, key) for key in ("run", "workflow", "file", "pid")}
    workers = [
        each if each["state"] not in ("alive", "terminating") else {**each, "state": "gone"}
        for each in snapshot["workers"]
    ]
    stages = [{**each, "alive": 0} for each in snapshot["stages"]]
    told = {"phase": KILLED, "last_seen": at, "stages": stages, "workers": workers}
    return {**empty, **snapshot, **known, **told}
