"""`mprun validate`: every problem of every file, and nothing started."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.options import examples, output_format, values, workflow_files
from runner.cli.output import colour_allowed, say, write
from runner.errors import ExitCode

if TYPE_CHECKING:
    from runner.spec import WorkflowSpec


EXAMPLES = examples(
    "mprun validate workflows/baozi.yaml",
    "mprun validate workflows/*.yaml --format github",
    "mprun validate big.yaml --param buns=7 --set queues.steamer.maxsize=5",
    "mprun validate *.yaml --format sarif > mprun.sarif",
)


@click.command(epilog=EXAMPLES)
@workflow_files
@output_format(["text", "json", "github", "sarif"])
@values
def command(files: Sequence[Path], form: str, params: Sequence[str], overrides: Sequence[str]) -> int:
    """Check workflow files and show every problem.

    Nothing is started, and no handler is imported: its signature is read from its source.

    Problems go to stdout, in every format. Counts, and one line for each file that is fine, go to stderr.
    The exit code is 3 if a file has an error; warnings alone leave it 0.
    """
    from runner.cli.problem_formats import count_line, render
    from runner.load import check
    from runner.problems import errors_only

    checked = {file: check(file, params=params, overrides=overrides) for file in dict.fromkeys(files)}
    problems = [problem for one in checked.values() for problem in one.problems]
    write(render(problems, form, colour=colour_allowed(sys.stdout)))
    for file, one in checked.items():
        if one.spec is not None:
            say(f"{file}: {summary(one.spec)}")
    if problems:
        say(("\n" if form == "text" else "") + count_line(problems))
    return ExitCode.INVALID if errors_only(problems) else ExitCode.DONE


def summary(spec: WorkflowSpec) -> str:
    """Say what a file that checks declares: `ok (2 stages, 5 workers, 1 queue)`, or `ok (3 jobs, 7 legs)`."""
    from runner.plan_labels import count

    if spec.jobs:
        return f"ok ({count(len(spec.jobs), 'job')}, {count(sum(len(j.legs) for j in spec.jobs), 'leg')})"
    workers = sum(len(stage.workers) for stage in spec.stages)
    parts = (count(len(spec.stages), "stage"), count(workers, "worker"), count(len(spec.queues), "queue"))
    return f"ok ({', '.join(parts)})"
