"""`mprun graph`: the plan as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from runner.cli.options import examples, output_format, values, workflow_file
from runner.cli.output import write

EXAMPLES = examples(
    "mprun graph workflows/baozi.yaml",
    "mprun graph workflows/baozi.yaml --format mermaid >> README.md",
    "mprun graph workflows/baozi.yaml --format dot | dot -Tsvg > baozi.svg",
    "mprun graph wide.yaml | less -S",
)


@click.command(epilog=EXAMPLES)
@workflow_file
@output_format(["ascii", "mermaid", "dot"])
@values
def command(file: Path, form: str, params: Sequence[str], overrides: Sequence[str]) -> int:
    """Draw the stages as boxes and the queues as arrows.

    A box shows how many workers a stage has, an arrow how many items a queue holds. In mermaid and dot,
    a queue that several stages write to or read from is a node of its own.

    Jobs are drawn by what they need: as text in waves, else with an arrow from each job to those that need it.
    """
    from runner.cli.checking import JobsChoice, checked_plan

    plan = checked_plan(file, params, overrides, choice=JobsChoice(all=True))
    if plan.jobs:
        from runner.render.graph import draw_jobs

        write(draw_jobs(plan.name, plan.jobs, form))
    else:
        from runner.render.graph import draw

        write(draw(plan, form))
    return 0
