"""One run in a line: whether it lives, has ended or was killed, and how much it has done.

run.db ── an end stands in it ──► what it came to
  └── none does ──► its lock ──► held ──► running
                       └── free, or none ──► `ended.json`: the record could not be kept to the end, or was damaged since
                                   └── says nothing ──► where there is a lock, killed: no heartbeat, it shows at once
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from runner.events.run import RunOutcome
from runner.facts import dataclass
from runner.record.facts import why_not_again
from runner.record.reader import Incarnation, RecordDamaged, RunView
from runner.record.schema import DATABASE, VERSION
from runner.spec.obstacles import Reached, in_the_way, obstacles_of_facts
from runner.store.discovery import is_alive
from runner.store.run_folder import RunFacts, RunFolder
from runner.store.run_lock import boot_id, is_held, read_ended

RUNNING = "running"
KILLED = "killed"
UNKNOWN = "unknown"
"""The outcome of a run of which nobody could write down what it came to."""
_NO_TOTALS: Mapping[str, Any] = {"done": None, "failed": None, "dead": None}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, as a line of its history. Times are seconds since the epoch."""

    id: str
    workflow: str
    file: str
    began: float
    ended: float | None
    """When it ended; of a killed one, when it was last heard of; None while it runs."""
    outcome: str
    exit_code: int | None
    incarnations: int
    """Of how many of its runners anything is written; 0 where its database is not there, or can't be read."""
    done: int | None
    """Items that have come to the end of their way, or jobs that passed; None of a run that has ended with nobody to
    write how many. The same of those that failed."""
    failed: int | None
    dead: int | None
    """Items kept as dead letters."""
    pid: int | None
    pid_start: int | None = None
    boot_id: str | None = None
    trouble: str | None = None
    """Why its record is incomplete."""
    resumable: float | None = None
    """As it was at which moment it can be gone on with; None where it can't be, or need not."""
    waiting: int = 0
    """Items that wait then."""
    idle: float = 0.0
    """Seconds between its incarnations."""
    broke_off: float | None = None
    """When its record broke off, which does not have its end; None of one that runs or was killed, and has no end."""

    @property
    def seconds(self) -> float:
        """How long it took, or takes up to now."""
        return max((self.ended or time.time()) - self.began - self.idle, 0.0)

    @property
    def is_good(self) -> bool:
        """Whether it is, or may still come to be, what was wanted."""
        return self.outcome in ("done", RUNNING)

    @property
    def machine_went_down(self) -> bool:
        """Whether a killed one ended with its machine, and not by itself."""
        return self.outcome == KILLED and self.boot_id not in (None, boot_id())


def summarize_run(run_folder: RunFolder) -> RunSummary | None:
    """Say what there is to say of a run in one line; None of a folder in which no run was recorded."""
    facts = run_folder.facts()
    if not (run_folder.path / DATABASE).exists():
        return _without_database(run_folder, facts)
    try:
        with RunView(run_folder.path) as view:
            return _summary(run_folder, facts, view)
    except RecordDamaged as error:
        return _told_by_folder(run_folder, facts, _state(run_folder, facts), str(error))


def _summary(run_folder: RunFolder, facts: RunFacts | None, view: RunView) -> RunSummary | None:
    known, lives = view.facts(), view.incarnations()
    if not lives:
        return _without_database(run_folder, facts)
    first, last = lives[0], lives[-1]
    outcome, ended, trouble = str(known.get("outcome") or last.outcome), last.ended, None
    exit_code, broke_off = known.get("exit_code"), None
    if ended is None:
        outcome, said = _state(run_folder, facts)
        exit_code, trouble = said.get("exit_code"), said.get("trouble")
        if outcome != RUNNING:
            ended = heard = _last_heard_of(known, view, last)
        if outcome not in (RUNNING, KILLED):
            broke_off, ended = heard, said.get("at") or heard
            trouble = trouble or "nobody could write down its end"
    elif known.get("missing"):
        trouble = f"{known['missing']:,} events came too fast for the record"
    return RunSummary(
        id=run_folder.run,
        workflow=str(known.get("workflow", "")),
        file=str(known.get("file", "")),
        began=first.began,
        ended=ended,
        outcome=outcome,
        exit_code=exit_code,
        incarnations=len(lives),
        **(_NO_TOTALS if broke_off is not None and not known.get("report") else _totals(known, view)),
        pid=last.pid,
        pid_start=last.pid_start,
        boot_id=last.boot_id,
        trouble=trouble,
        idle=_idle(lives, view),
        broke_off=broke_off,
        **(_way_on(outcome, ended, known, view) if run_folder.is_from_here() else {}),
    )


def _idle(lives: Sequence[Incarnation], view: RunView) -> float:
    """Add up the time between incarnations. Where the next has noted no end of a killed one, its last word is it."""
    ends = [life.ended or view.last_moment(life.n) or life.began for life in lives[:-1]]
    return sum(max(life.began - end, 0.0) for life, end in zip(lives[1:], ends, strict=True))


def _way_on(outcome: str, ended: float | None, known: Mapping[str, Any], view: RunView) -> dict[str, Any]:
    """Say from where a run could be gone on with: its last cut, or, of jobs, its end."""
    if outcome in (RUNNING, RunOutcome.DONE) or view.version != VERSION:
        return {}
    if outcome != KILLED and not (known.get("report") or {}).get("resumable", True):
        return {}  # it is not to be gone on with by what it came to, or there was nothing left to do
    reached = Reached() if known.get("jobs") else view.reached()
    if why_not_again(known) is not None or in_the_way(obstacles_of_facts(known.get("obstacles")), reached):
        return {}
    if known.get("jobs"):
        return {"resumable": ended}
    cut = view.last_cut()
    return {} if cut is None else {"resumable": cut.at, "waiting": cut.unfinished}


def _last_heard_of(known: Mapping[str, Any], view: RunView, life: Incarnation) -> float:
    elapsed: float = (known.get("progress") or {}).get("elapsed", 0.0)
    return max(life.began + elapsed, view.last_moment(life.n) or 0.0)


def _totals(known: Mapping[str, Any], view: RunView) -> Mapping[str, Any]:
    """Add up what became of items, or of jobs: by the report, or else by the last snapshot."""
    if known.get("jobs"):
        states = _states_of_jobs(known, view)
        failed = sum(state in ("failed", "timed_out") for state in states)
        return {"done": sum(state in ("passed", "allowed") for state in states), "failed": failed, "dead": 0}
    report = known.get("report") or known.get("progress") or {}
    stages, queues = report.get("stages", ()), report.get("queues", ())
    feeds = [stage for stage in _declared(known, view) if stage.get("to") or stage.get("targets")]
    names, passed_on = {stage["name"] for stage in feeds}, {stage.get("from") for stage in feeds}
    before = sum(queue.get("done_before", 0) for queue in queues if queue["name"] not in passed_on)
    return {
        "done": before + sum(stage["done"] for stage in stages if stage["name"] not in names),
        "failed": known.get("failed_before", 0) + sum(stage["failed"] for stage in stages),
        "dead": sum(queue["dead_lettered"] for queue in queues),
    }


def _states_of_jobs(known: Mapping[str, Any], view: RunView) -> list[str]:
    """Say what became of each job: where the record broke off, by the report beside it."""
    told = (known.get("report") or {}).get("jobs") if "outcome" not in known else None
    return [job["state"] for job in (told["jobs"] if told else view.jobs())]


def _declared(known: Mapping[str, Any], view: RunView) -> list[Mapping[str, Any]]:
    """Return the stages with what they read and write: by the report, or else by the event that began the run."""
    if known.get("report"):
        stages = known["report"]["stages"]
        return [
            {
                "name": each["name"],
                "from": each["receives"],
                "to": each["sends"],
                "targets": each.get("targets", ()),
            }
            for each in stages
        ]
    return [each for event in view.events("run.started") for each in event.fields.get("stages", ())]


def _state(run_folder: RunFolder, facts: RunFacts | None) -> tuple[str, Mapping[str, Any]]:
    """Say what a run is in whose database no end stands, and what else is known of its end."""
    held = is_held(run_folder.path)
    if held:
        return RUNNING, {}
    if (said := read_ended(run_folder.path)) is not None:
        return str(said.get("outcome") or UNKNOWN), said
    if held is not None:
        return KILLED, {}
    return (RUNNING if facts is not None and is_alive(run_folder, facts) else UNKNOWN), {}


def _without_database(run_folder: RunFolder, facts: RunFacts | None) -> RunSummary | None:
    if facts is None or (is_held(run_folder.path) is None and read_ended(run_folder.path) is None):
        return None
    outcome, said = _state(run_folder, facts)
    trouble = None if outcome in (RUNNING, KILLED) else "its database is gone"
    return _told_by_folder(run_folder, facts, (outcome, said), trouble)


def _told_by_folder(
    run_folder: RunFolder, facts: RunFacts | None, state: tuple[str, Mapping[str, Any]], trouble: str | None
) -> RunSummary:
    outcome, said = state
    began = 0.0 if facts is None else facts.at
    is_begun = outcome in (RUNNING, KILLED) and trouble is None  # and nothing has been written
    return RunSummary(
        id=run_folder.run,
        workflow="" if facts is None else facts.workflow,
        file="" if facts is None else facts.file,
        began=began,
        ended=None if outcome == RUNNING else float(said.get("at") or began),
        outcome=outcome,
        exit_code=said.get("exit_code"),
        incarnations=0,
        **dict.fromkeys(_NO_TOTALS, 0 if is_begun else None),
        pid=None if facts is None else facts.pid,
        trouble=said.get("trouble") or trouble,
    )
