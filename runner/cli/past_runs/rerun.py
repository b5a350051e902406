"""`mprun rerun`: a past run once more, with what it was given, or a part of it.

record ──► file, --param, --set, jobs ──┬── the file is as it was ──► run
                                        └── it has changed ──► refused with the difference, or run as it was then
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import RunOptions, examples
from runner.cli.past_runs.recorded import RUN_HELP, chosen_run, look_into
from runner.cli.run import how_shown, run_as_chosen
from runner.errors import RerunRefused, UsageError
from runner.spec.suggestions import did_you_mean
from runner.text import visible

if TYPE_CHECKING:
    from runner.spec.jobs import JobSpec

_ENDED_WELL = frozenset({"passed", "allowed", "skipped"})
_MASK = "***"
_MOST_LINES = 60
EXAMPLES = examples(
    "mprun rerun latest            the same again",
    "mprun rerun ci --failed       the jobs that failed, and all that need them",
    "mprun rerun ci --from build   a job, and all that need it",
    "mprun rerun 3f2a --as-then    with the file as it was then",
    "mprun rerun baozi --failed    put dead letters back, as `mprun dlq replay`",
)


@dataclass(frozen=True, slots=True)
class Past:
    """What a run was made of."""

    run: str
    file: Path
    text: str
    included: Mapping[str, str]
    params: Sequence[str]
    overrides: Sequence[str]
    jobs: Sequence[str]
    failed: Sequence[str]
    """Its jobs that did not end well."""


@click.command(
    epilog=EXAMPLES,
    help="Run a past run again, with the --param and --set that it was given, and of jobs those that it had.\n\n"
    f"{RUN_HELP} Where its file has changed since, that is refused with the difference, and exit code 6: `mprun run`"
    " runs it as it is, --as-then as it was. Handlers are always those of now.\n\n"
    "Of jobs --failed, --from and --only choose some; what these need is run with them, as with `mprun run --job`.",
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
@how_shown
def command(run: str, failed: bool, start: str | None, only: str | None, as_then: bool, **shown: Any) -> int:
    if sum((failed, start is not None, only is not None)) > 1:
        raise UsageError("--failed, --from and --only exclude one another")
    from runner.cli.checking import JobsChoice

    past = _past(run)
    if failed and not past.jobs:
        return _replay(past.run, as_then, shown)
    if (start or only) and not past.jobs:
        raise UsageError(f"run '{past.run}' has stages and no jobs: --from and --only are for those")
    text = _text_to_run(past, as_then=as_then)
    jobs = past.jobs
    if only is not None:
        jobs = [only]
    elif failed or start is not None:
        jobs = _with_followers(past, [start] if start is not None else past.failed, text)
    return run_as_chosen(
        past.file, past.params, past.overrides, RunOptions(**shown), JobsChoice(tuple(jobs)), text
    )


def _past(word: str) -> Past:
    """Read what a run was made of. Raises `UsageError` where that is not enough to run it again."""
    summary, run_folder = chosen_run(word)
    with look_into(summary, run_folder) as view:
        facts, states = view.facts(), {job["id"]: job["state"] for job in view.jobs()}
    if not facts.get("text"):
        raise UsageError(f"run '{summary.id}' can't be run again: its file is not in its record")
    if facts.get("replays_letters"):
        way = "`mprun dlq replay` puts those back that are left"
        raise UsageError(f"run '{summary.id}' has put dead letters back, and can't be run again: {way}")
    cwd = str(facts.get("cwd", ""))
    if cwd != str(Path.cwd()):
        raise UsageError(visible(f"run '{summary.id}' was started in '{cwd}'; change to that folder first"))
    given = [*(facts.get("params") or ()), *(facts.get("overrides") or ())]
    if any(_MASK in each for each in given):
        raise UsageError(f"run '{summary.id}' was given a secret by --param or --set, which was not kept")
    jobs = facts.get("jobs") or ()
    return Past(
        run=summary.id,
        file=_near(Path(str(facts["file"]))),
        text=facts["text"],
        included=facts.get("included") or {},
        params=facts.get("params") or (),
        overrides=facts.get("overrides") or (),
        jobs=jobs,
        failed=[job for job in jobs if states.get(job, "waiting") not in _ENDED_WELL],
    )


def _near(file: Path) -> Path:
    """Name a file as one would from here: what is shown of it then is as short as what was shown the first time."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def _text_to_run(past: Past, *, as_then: bool) -> str | None:
    """
    Return the text to run, None for the file as it stands.

    Raises:
        RerunRefused: it has changed, and is not to be run as it was; or what it includes has, which is not kept apart.
    """
    changed = _difference(past.text, past.file)
    included = [line for name, text in past.included.items() for line in _difference(text, Path(name))]
    if included or (changed and not as_then):
        shown = [*changed, *included]
        more = [f"… {len(shown) - _MOST_LINES} more lines"] if len(shown) > _MOST_LINES else []
        what = "what its file includes has" if included else f"'{past.file}' has"
        way = "" if included else f"`mprun rerun {past.run} --as-then` runs it as it was, "
        refused = f"run '{past.run}' can't be run again as it was: {what} changed since"
        message = f"{refused}; {way}`mprun run {past.file}` as it is"
        raise RerunRefused("\n".join(map(visible, [message, *shown[:_MOST_LINES], *more])))
    return past.text if changed else None


def _difference(text: str, file: Path) -> Sequence[str]:
    from runner.record.comparison import unified

    try:
        now = file.read_bytes().decode("utf-8", "replace").lstrip("\ufeff")
    except OSError:
        now = ""
    if now == text:
        return ()
    lines = unified(text.splitlines(), now.splitlines(), f"{file} then", f"{file} now")
    return lines or (f"the ends of lines of '{file}' have changed",)


def _with_followers(past: Past, jobs: Sequence[str], text: str | None) -> list[str]:
    """Return jobs with all that need them. Raises `UsageError` where there is none."""
    from runner.errors import SpecError
    from runner.loader.load import check

    if not jobs:
        raise UsageError(f"no job of run '{past.run}' has failed")
    checked = check(past.file, params=past.params, overrides=past.overrides, text=text)
    if checked.spec is None:
        raise SpecError(checked.diagnostics)
    legs = {leg.id: job.name for job in checked.spec.jobs for leg in job.legs}
    known = dict.fromkeys([*legs.values(), *legs])
    if (strange := next((job for job in jobs if job not in known), None)) is not None:
        raise UsageError(f"there is no job '{strange}'; {did_you_mean(strange, known)}")
    names = {legs.get(job, job) for job in jobs}
    behind = _followers(checked.spec.jobs, names) - names
    return [*jobs, *(job.name for job in checked.spec.jobs if job.name in behind)]


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
