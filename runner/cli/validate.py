"""`mprun validate`: every problem of every file, and nothing started."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.options import examples, output_format, values, workflow_files
from runner.cli.output import print_message, write
from runner.errors import ExitCode
from runner.text import colour_allowed

if TYPE_CHECKING:
    from runner.spec.model import WorkflowSpec


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
    from runner.loader.load import check
    from runner.render.diagnostics import count_line, render_diagnostics
    from runner.render.tables import width_of
    from runner.spec.diagnostics import errors_only

    checked = {file: check(file, params=params, overrides=overrides) for file in dict.fromkeys(files)}
    diagnostics = [diagnostic for one in checked.values() for diagnostic in one.diagnostics]
    write(
        render_diagnostics(diagnostics, form, colour=colour_allowed(sys.stdout), width=width_of(sys.stdout))
    )
    for file, one in checked.items():
        if one.spec is not None:
            print_message(f"{file}: {describe_spec(one.spec)}")
    if diagnostics:
        print_message(("\n" if form == "text" else "") + count_line(diagnostics))
    return ExitCode.INVALID if errors_only(diagnostics) else ExitCode.DONE


def describe_spec(spec: WorkflowSpec) -> str:
    """Say what a file that checks declares: `ok (2 stages, 5 workers, 1 queue)`, or `ok (3 jobs, 7 legs)`."""
    from runner.units import counted

    if spec.jobs:
        return f"ok ({counted(len(spec.jobs), 'job')}, {counted(sum(len(j.legs) for j in spec.jobs), 'leg')})"
    workers = sum(len(stage.workers) for stage in spec.stages)
    parts = (
        counted(len(spec.stages), "stage"),
        counted(workers, "worker"),
        counted(len(spec.queues), "queue"),
    )
    return f"ok ({', '.join(parts)})"
