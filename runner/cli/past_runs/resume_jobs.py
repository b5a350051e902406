"""The jobs' half of `mprun resume`: what is kept, what runs, and what has changed since, before anything starts.

record ──► take_up ──► judge_jobs ──┬── --check ──► shown
                                    ├── jobs that were begun have changed ──► refused, unless that is ok
                                    └── all others ──► run, as the next incarnation
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from runner.cli.checking import checked_spec, plan_chosen
from runner.cli.options import RunOptions
from runner.cli.output import print_message, write
from runner.cli.past_runs.kept_jobs import decision_lines, judge_jobs, past_legs
from runner.cli.past_runs.past import Past
from runner.cli.refusals import refusals_told
from runner.cli.run import Prepared, run_prepared
from runner.errors import ExitCode, ResumeRefused
from runner.facts import dataclass
from runner.jobs.requests import RequestBuilder, Secrets
from runner.jobs.resumption import (
    KeptLeg,
    LegDecision,
    PastLeg,
    RunLeg,
    changed_in,
    past_of,
    with_unrecorded,
)
from runner.jobs.selection import plain_run
from runner.loader.load import check as check_file
from runner.record.reader import RunView
from runner.record.resumption import take_up
from runner.spec.jobs.model import JobSpec
from runner.spec.model import WorkflowSpec
from runner.spec.obstacles import Reached, in_the_way, run_obstacles
from runner.spec.plan import Plan
from runner.store.run_folder import JOB_LOGS, RunFolder
from runner.text import and_more, visible
from runner.units import counted

_MOST_SHOWN = 40
"""Jobs that are told of in a refusal; `--check` shows all."""


@dataclass(frozen=True, slots=True)
class _Outlook:
    """How a run would go on."""

    run: str
    plan: Plan
    decisions: Sequence[LegDecision]
    gone: Sequence[str]
    """Jobs that it had begun, and that its file has no more."""

    @property
    def to_run(self) -> list[RunLeg]:
        return [each for each in self.decisions if isinstance(each, RunLeg)]

    @property
    def kept(self) -> list[KeptLeg]:
        return [each for each in self.decisions if isinstance(each, KeptLeg)]

    @property
    def has_changed(self) -> bool:
        return bool(self.gone or changed_in(self.decisions))

    def lines(self) -> list[str]:
        """Say of each job what becomes of it."""
        gone = [f"gone  {visible(leg)}: the file has it no more" for leg in self.gone]
        return [*gone, *decision_lines(self.decisions)]

    def as_dict(self) -> dict[str, Any]:
        """Say the same to programs."""
        to_run = [
            {"job": each.leg.id, "reason": each.reason, "changed": list(each.changed)} for each in self.to_run
        ]
        kept = [
            {"job": each.leg.id, "state": each.past.state, "seconds": each.past.seconds} for each in self.kept
        ]
        return {"goes_on": True, "run": self.run, "kept": kept, "to_run": to_run, "gone": list(self.gone)}

    def in_short(self) -> str:
        """Say how many are kept, and how many run."""
        kept, runs = len(self.kept), len(self.to_run)
        return f"{counted(kept, 'job')} kept, {runs:,} to run"


def resume_jobs(
    past: Past,
    run_folder: RunFolder,
    *,
    check: str | None,
    changed_ok: bool,
    chosen: RunOptions,
) -> int:
    """
    Go on with a run of jobs, or with `check`, which is `text` or `json`, say how it would. Return the exit code.

    One of which nothing is left to run, but that did not come to say so, is brought to its end.

    Raises:
        ResumeRefused: it is under way, its record is not enough, or jobs that it had begun have changed since.
        SpecError: the file as it is does not check.
    """
    with refusals_told(chosen):
        taken = take_up(run_folder)
        with RunView(run_folder.path) as view:
            legs = past_legs(view)
        outlook = _outlook(past, legs, run_folder, chosen)
        if check == "text":
            write("".join(f"{line}\n" for line in [*outlook.lines(), outlook.in_short()]))
        if outlook.has_changed and not changed_ok:
            raise ResumeRefused(_refusal(outlook, past))
    if check is not None:
        if check == "json":
            write(json.dumps(outlook.as_dict(), indent=2, ensure_ascii=False) + "\n")
        taken.lock.release()
        return ExitCode.DONE
    if not chosen.quiet and chosen.log != "json":
        print_message(f"mprun: run '{outlook.run}' goes on: {outlook.in_short()}")
    prepared = Prepared(outlook.plan, past_of(outlook.run, outlook.decisions, goes_on=True), taken)
    return run_prepared(lambda **_: prepared, chosen)


def _refusal(outlook: _Outlook, past: Past) -> str:
    why = f"jobs of run '{past.run}' that were begun have changed in '{past.file}' since"
    ways = (
        f"`mprun resume {past.run} --changed ok` runs these anew, `mprun run {past.file}` all; "
        f"`mprun resume {past.run} --check` shows what would be kept"
    )
    changed = changed_in(outlook.decisions)
    told = [line for line in outlook.lines() if not line.startswith("kept")]
    more = [f"… {and_more(len(told) - _MOST_SHOWN)}"] if len(told) > _MOST_SHOWN else []
    keys = [f"{visible(leg)}: {', '.join(words)} changed" for leg, words in changed.items()]
    return visible(f"{why}; {ways}") + "".join(f"\n  {line}" for line in [*keys, *told[:_MOST_SHOWN], *more])


def _outlook(past: Past, legs: Mapping[str, PastLeg], run_folder: RunFolder, chosen: RunOptions) -> _Outlook:
    warn = not chosen.quiet and chosen.log != "json"
    text = past.text_to_check
    spec = checked_spec(past.file, past.params_now, past.overrides_now, show_warnings=warn, text=text)
    now = _legs_of(spec.jobs)
    gone = [leg for leg in past.jobs if leg not in now]
    plan = plan_chosen(spec, past.choice(_wanted(past, spec, now), chosen.jobs))
    if hindrances := in_the_way(run_obstacles(plan), Reached()):
        why = f"run '{past.run}' can't be gone on with: {hindrances[0].why}"
        raise ResumeRefused(f"{why}; `mprun rerun {past.run}` begins anew")
    builder = RequestBuilder(
        plan, Secrets.gathered(plan.jobs, os.environ), run_folder.path / JOB_LOGS, run_folder.home
    )
    decisions = judge_jobs(
        plan, with_unrecorded(legs, builder.last_logged()), run_folder.home, run_folder.run
    )
    return _Outlook(past.run, plan, decisions, [leg for leg in gone if leg in legs])


def _wanted(past: Past, spec: WorkflowSpec, now: Mapping[str, str]) -> tuple[str, ...]:
    """Return the jobs that the run is about: none where it named none, so that it has what the file has now."""
    if set(past.jobs) == set(now):
        return tuple(past.jobs)
    then = check_file(past.file, params=past.params, overrides=past.overrides, text=past.text).spec
    if then is None or (not past.exact and _legs_of_plain_run(then) == set(past.jobs)):
        return ()
    left = tuple(leg for leg in past.jobs if leg in now)
    if not left:
        raise ResumeRefused(f"'{spec.path}' has none of the jobs that run '{past.run}' had")
    return left


def _legs_of_plain_run(spec: WorkflowSpec) -> set[str]:
    names = plain_run(spec.jobs, spec.default)
    return set(_legs_of([job for job in spec.jobs if job.name in names]))


def _legs_of(jobs: Sequence[JobSpec]) -> dict[str, str]:
    return {leg.id: job.name for job in jobs for leg in job.legs}
