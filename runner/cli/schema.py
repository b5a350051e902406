"""`mprun schema`: the JSON Schemas, as `schemas/` has them, and the pages of reference made from them."""

from __future__ import annotations

import json
from typing import Any

import click

from runner.cli.options import examples, output_format
from runner.cli.output import write

EXAMPLES = examples(
    "mprun schema > workflow.schema.json",
    "mprun schema --format markdown        every key, for reading",
    "mprun schema event",
)
_PAGE_NOTE = "Made by `mprun schema {which} --format markdown` from the schema that mprun itself checks with."


@click.command(epilog=EXAMPLES)
@click.argument("which", type=click.Choice(["workflow", "event", "report"]), default="workflow")
@output_format(["json", "markdown"])
def command(which: str, form: str) -> int:
    """Print the JSON Schema (draft 2020-12) of one kind of document; of workflow files if none is named.

    The schema of workflow files knows the handler kinds of the packages installed here.

    \b
    To have an editor check and complete a workflow, begin the file with
      # yaml-language-server: $schema=workflow.schema.json
    """
    schema = _schema(which)
    write(
        _page(which, schema)
        if form == "markdown"
        else json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    )
    return 0


def _page(which: str, schema: dict[str, Any]) -> str:
    from runner.schema_page import TO_READ, TO_WRITE, schema_page

    style = TO_WRITE if which == "workflow" else TO_READ
    return schema_page(schema, style, note=_PAGE_NOTE.format(which=which))


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
