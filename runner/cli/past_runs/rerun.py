"""`mprun rerun`: a past run once more, with what it was given, or a part of it.

record ──► file, --param, --set, jobs ──┬── the file is as it was ──► run, or a part of it, with what ended well kept
                                        └── it has changed ──► refused with the difference, or run as it was then
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import RunOptions, examples
from runner.cli.past_runs.kept_jobs import judge_jobs, past_legs
from runner.cli.past_runs.past import Past, difference, past_run
from runner.cli.past_runs.recorded import RUN_HELP, chosen_run, look_into
from runner.cli.run import Prepared, how_jobs_run, how_shown, run_as_chosen, run_prepared
from runner.errors import RerunRefused, UsageError
from runner.facts import dataclass
from runner.jobs.resumption import ENDED_WELL, WAITING, PastLeg, past_of
from runner.spec.suggestions import did_you_mean
from runner.text import visible

if TYPE_CHECKING:
    from runner.spec.jobs.model import JobSpec

_MOST_LINES = 60
EXAMPLES = examples(
    "mprun rerun latest            the same again",
    "mprun rerun ci --failed       the jobs that failed, and all that need them",
    "mprun rerun ci --from build   a job, and all that need it",
    "mprun rerun 3f2a --as-then    with the file as it was then",
    "mprun rerun baozi --failed    put dead letters back, as `mprun dlq replay`",
)


@click.command(
    epilog=EXAMPLES,
    help="Run a past run again, with the --param and --set that it was given, and of jobs those that it had.\n\n"
    f"{RUN_HELP} Where its file has changed since, that is refused with the difference, and exit code 6: `mprun run`"
    " runs it as it is, --as-then as it was. Handlers are always those of now.\n\n"
    "Of jobs --failed, --from and --only choose some. What these need is kept, with its outputs, where it ended well"
    " and neither it nor its files have changed since; else it is run with them, as with `mprun run --job`.",
)
@click.argument("run")
@click.option(
    "--failed",
    is_flag=True,
    help="Only the jobs that failed, with all that need them; of stages, the dead letters.",
)
@click.option("--from", "start", metavar="JOB", help="Only this job, and all that need it.")
@click.option("--only", metavar="JOB", help="Only this job.")
@click.option("--as-then", is_flag=True, help="Run the file as it was then, where it has changed since.")
@how_jobs_run
@how_shown
def command(run: str, failed: bool, start: str | None, only: str | None, as_then: bool, **shown: Any) -> int:
    if sum((failed, start is not None, only is not None)) > 1:
        raise UsageError("--failed, --from and --only exclude one another")
    summary, run_folder = chosen_run(run)
    with look_into(summary, run_folder) as view:
        past = past_run(summary, view)
        if not past.jobs:
            if failed:
                return _replay(past.run, as_then, shown)
            if start or only:
                raise UsageError(f"run '{past.run}' has stages and no jobs: --from and --only are for those")
        text, chosen = _text_to_run(past, as_then=as_then), RunOptions(**shown)
        if not failed and start is None and only is None:
            choice = past.choice(tuple(past.jobs), chosen.jobs)
            return run_as_chosen(past.file, past.params, past.overrides, chosen, choice, text)
        part = _Part(past, past_legs(view), start=start, only=only)
    if failed and not part.failed:
        raise UsageError(f"no job of run '{past.run}' has failed")
    prepare = partial(part.prepare, text, chosen.jobs, run_folder.home)
    return run_prepared(prepare, chosen)


def _text_to_run(past: Past, *, as_then: bool) -> str | None:
    """
    Return the text to run, None for the file as it stands.

    Raises:
        RerunRefused: it has changed, and is not to be run as it was; or what it includes has, which is not kept apart.
    """
    changed = difference(past.text, past.file)
    included = [line for name, text in past.included.items() for line in difference(text, Path(name))]
    if included or (changed and not as_then):
        shown = [*changed, *included]
        more = [f"… {len(shown) - _MOST_LINES} more lines"] if len(shown) > _MOST_LINES else []
        what = "what its file includes has" if included else f"'{past.file}' has"
        refused = f"run '{past.run}' can't be run again as it was: {what} changed since"
        ways = () if included else (f"`mprun rerun {past.run} --as-then` runs it as it was",)
        if past.is_gone:
            refused = f"run '{past.run}' can't be run again from its file: there is no '{past.file}' any more"
        else:
            ways = (*ways, f"`mprun run {past.file}` as it is")
        message = f"{refused}; {', '.join(ways)}" if ways else refused
        raise RerunRefused("\n".join(map(visible, [message, *shown[:_MOST_LINES], *more])))
    return past.text if changed else past.text_to_check


@dataclass(frozen=True, slots=True)
class _Part:
    """Some jobs of a past run, and why these: those that failed, where neither `start` nor `only` names one."""

    past: Past
    legs: Mapping[str, PastLeg]
    start: str | None
    only: str | None

    @property
    def failed(self) -> list[str]:
        """The ids of those that did not end well."""
        states = {leg: self.legs[leg].state if leg in self.legs else WAITING for leg in self.past.jobs}
        return [leg for leg, state in states.items() if state not in ENDED_WELL]

    def prepare(self, text: str | None, at_once: int | None, home: Path, *, show_warnings: bool) -> Prepared:
        """Lay out the run of these. Raises `SpecError`, and `UsageError` where there is no such job."""
        from runner.cli.checking import checked_spec, plan_chosen

        past = self.past
        spec = checked_spec(past.file, past.params, past.overrides, show_warnings=show_warnings, text=text)
        if (named := self.only or self.start) is not None:
            _require_job(named, spec.jobs)
        plan = plan_chosen(spec, past.choice(self._names(spec.jobs), at_once))
        asked = f"`--{'only' if self.only else 'from'} {named}` asks for it"
        again = {leg.id: asked for job in plan.jobs for leg in job.legs if named in (job.name, leg.id)}
        return Prepared(
            plan, past_of(past.run, judge_jobs(plan, self.legs, home, past.run, again), goes_on=False)
        )

    def _names(self, jobs: Sequence[JobSpec]) -> tuple[str, ...]:
        """Return what runs; all that it needs, which `plan_chosen` adds, is kept where that can be."""
        if self.only is not None:
            return (self.only,)
        job_of = {leg.id: job.name for job in jobs for leg in job.legs}
        if self.start is not None:
            behind = _followers(jobs, [job_of.get(self.start, self.start)])
            return tuple(job.name for job in jobs if job.name in behind)
        behind = _followers(jobs, {job_of.get(leg, leg) for leg in self.failed})
        return tuple(leg for leg in self.past.jobs if job_of.get(leg, leg) in behind)


def _require_job(name: str, jobs: Sequence[JobSpec]) -> None:
    known = dict.fromkeys([*(job.name for job in jobs), *(leg.id for job in jobs for leg in job.legs)])
    if name not in known:
        raise UsageError(f"there is no job '{name}'; {did_you_mean(name, known)}")


def _followers(jobs: Iterable[JobSpec], first: Iterable[str]) -> set[str]:
    from runner.spec.graph import reachable

    needed_by: dict[str, list[str]] = {}
    for job in jobs:
        for need in job.needs:
            needed_by.setdefault(need.job, []).append(job.name)
    return reachable(list(first), lambda name: needed_by.get(name, ()))


def _replay(run: str, as_then: bool, shown: Mapping[str, Any]) -> int:
    """Put the dead letters of a run of stages back, which is all that is known of what failed."""
    from runner.cli.dead_letters import replay

    if as_then:
        raise UsageError(
            "--as-then and --failed don't go together for a run of stages: `mprun dlq replay RUN FILE`"
        )
    given: dict[str, Any] = {"file": None, "stage": None, "params": (), "overrides": (), "trusted": False}
    code: int = click.get_current_context().invoke(replay, run=run, **given, **shown)
    return code
