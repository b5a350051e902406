"""`mprun schema`: the JSON Schemas, as `schemas/` has them."""

from __future__ import annotations

import json
from typing import Any

import click

from runner.cli.options import examples
from runner.cli.output import write

EXAMPLES = examples(
    "mprun schema > workflow.schema.json",
    "mprun schema event",
)


@click.command(epilog=EXAMPLES)
@click.argument("which", type=click.Choice(["workflow", "event", "report"]), default="workflow")
def command(which: str) -> int:
    """Print the JSON Schema (draft 2020-12) of one kind of document; of workflow files if none is named.

    The schema of workflow files knows the handler kinds of the packages installed here.

    \b
    To have an editor check and complete a workflow, begin the file with
      # yaml-language-server: $schema=workflow.schema.json
    """
    write(json.dumps(_schema(which), indent=2, ensure_ascii=False) + "\n")
    return 0


def _schema(which: str) -> dict[str, Any]:
    match which:
        case "event":
            from runner.events import event_schema

            return event_schema()
        case "report":
            from runner.report import report_schema

            return report_schema()
        case _:
            from runner.handlers.base import all_kinds
            from runner.schema import workflow_schema

            return workflow_schema(all_kinds())
