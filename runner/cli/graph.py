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
    """
    from runner.cli.checking import checked_plan
    from runner.graph import draw

    write(draw(checked_plan(file, params, overrides), form))
    return 0
