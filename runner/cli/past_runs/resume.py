"""`mprun resume`: goes on with a run that has not come to its end, as the same run.

record ──► chosen_run ──┬── stages: the last cut ──────────► resume_stages
                        ├── jobs: what each came to ───────► resume_jobs
                        └── it is done: nothing is left
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from runner.cli.options import RunOptions, examples, output_format, values
from runner.cli.output import print_message, write
from runner.cli.past_runs.past import More, past_run
from runner.cli.past_runs.recorded import RUN_HELP, chosen_run, look_into
from runner.cli.run import how_jobs_run, how_shown
from runner.errors import ExitCode, ResumeRefused, UsageError
from runner.record.reader import RecordDamaged
from runner.text import visible

EXAMPLES = examples(
    "mprun resume latest           go on with the last run",
    "mprun resume 3f2a --check     say what would be done, and start nothing",
    "mprun resume access_log       the last run of this workflow",
    "mprun resume 3f2a --set limits.timeout=2h    with more time than it had",
)


@click.command(
    epilog=EXAMPLES,
    help="Go on with a run that was killed, stopped, or has failed: as the same run, from where it was.\n\n"
    f"{RUN_HELP} Jobs that ended well are kept, with what they hand on; the others run, with all that need them. Of"
    " stages items that were done stay done, those that waited are handed out, files of sinks are cut back to what"
    " is done, producers go on behind what they had put. What was finished in the last moment before a kill, a tenth"
    " of a second as a rule, may be handed out again. Handlers may have changed, which is said; where the file has"
    " changed in what the rest of the run stands on, that is refused with the difference, and exit code 6.\n\n"
    "It has the --param and --set that it was given; those given here come on top, and stay with it. What they change"
    " is weighed as a change of the file is.",
)
@click.argument("run")
@click.option(
    "--check", is_flag=True, help="Only say what would be done, and what has changed; start nothing."
)
@click.option(
    "--changed",
    type=click.Choice(["ok"]),
    help="Go on though what comes may not fit what is done: a producer or a job has changed, or what a handler kept is"
    " gone with the instance that has closed.",
)
@values
@output_format(["text", "json"])
@how_shown
@how_jobs_run
def command(
    run: str,
    check: bool,
    changed: str | None,
    form: str,
    params: Sequence[str],
    overrides: Sequence[str],
    **shown: Any,
) -> int:
    chosen = RunOptions(**shown)
    if form == "json" and not check:
        raise UsageError("--format json is what --check prints; --log json has the events of a run as JSON")
    if not chosen.record:
        raise UsageError("--no-record: a run is gone on with in its record")
    summary, run_folder = chosen_run(run)
    try:
        with look_into(summary, run_folder) as view:
            if summary.outcome == "done":
                print_message(f"run '{summary.id}' is done: nothing is left")
                if form == "json":
                    _print_json({"goes_on": False, "run": summary.id})
                return 0
            past = past_run(summary, view, More(params, overrides))
            facts = view.facts()
    except RecordDamaged as error:
        raise ResumeRefused(f"run '{summary.id}' can't be gone on with: {error}") from error
    if past.is_gone:
        back = f"`mprun show {past.run} --file > {shlex.quote(str(past.file))}` writes it as it was"
        raise ResumeRefused(
            visible(f"run '{past.run}' can't be gone on with: there is no '{past.file}' any more; {back}")
        )
    # The view is closed by now: a reader keeps the recorder from leaving the record as one file.
    if past.jobs:
        from runner.cli.past_runs.resume_jobs import resume_jobs

        asked = form if check else None
        return resume_jobs(past, run_folder, check=asked, changed_ok=changed is not None, chosen=chosen)
    from runner.cli.past_runs.resume_stages import StagesResumption

    refused = facts.get("reason") if facts.get("exit_code") == ExitCode.RESUME_REFUSED else None
    modules = facts.get("modules") or {}
    resumption = StagesResumption(past, run_folder, modules, refused, changed_ok=changed is not None)
    if not check:
        return resumption.run(chosen)
    found = resumption.check()
    if form == "json":
        _print_json(found.as_dict())
    else:
        write("".join(f"{visible(line)}\n" for line in found.lines()))
    return 0


def _print_json(document: Mapping[str, Any]) -> None:
    write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
