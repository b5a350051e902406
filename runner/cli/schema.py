"""`mprun schema`: the JSON Schemas, as `schemas/` has them, and the pages of reference made from them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import examples, output_format
from runner.cli.output import write

if TYPE_CHECKING:
    from runner.handlers.kinds import HandlerKind

EXAMPLES = examples(
    "mprun schema > workflow.schema.json",
    "mprun schema --format markdown        every key, for reading",
    "mprun schema event",
)
_PAGE_NOTE = "Made by `mprun schema {which} --format markdown` from the schema that mprun itself checks with."

_MATCHING = """\
A program gets the same events as records, and tells them apart by their classes, which `mprun.events` has:

```python file=deaths.py
import mprun
from mprun.events import Event, RunFinished, WorkerExited, WorkerOutcome


class Deaths:
    def observe(self, event: Event) -> None:
        match event:
            case WorkerExited(worker=worker, outcome=WorkerOutcome.DIED, reason=reason):
                print(f"{worker} died: {reason}")
            case RunFinished(outcome=outcome):
                print(f"the run is {outcome}")

    def close(self) -> None:
        pass


mprun.run_file("kitchen.yaml", observers=[Deaths()])
```"""


@click.command(epilog=EXAMPLES)
@click.argument("which", type=click.Choice(["workflow", "event", "report", "top"]), default="workflow")
@output_format(["json", "markdown"])
def command(which: str, form: str) -> int:
    """Print the JSON Schema (draft 2020-12) of one kind of document; of workflow files if none is named.

    The schema of workflow files knows the handler kinds of the packages installed here.

    \b
    To have an editor check and complete a workflow, begin the file with
      # yaml-language-server: $schema=workflow.schema.json
    """
    schema = _schema(which)
    if form == "markdown":
        write(_page(which, schema))
        return 0
    if which == "workflow":
        from runner.loader.schema.published import published

        schema = published(schema)
    write(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    return 0


def _page(which: str, schema: dict[str, Any]) -> str:
    from runner.loader.schema.reference_page import TO_READ, TO_WRITE, WHICH_YAML, schema_page

    made_by = _PAGE_NOTE.format(which=which)
    if which == "workflow":
        from runner.handlers.over_death import reference_section

        page = schema_page(schema, TO_WRITE, notes=[made_by, WHICH_YAML])
        return f"{page}\n{reference_section(_kinds().values())}"
    page = schema_page(schema, TO_READ, notes=[made_by])
    return page.replace("\n## ", f"\n{_MATCHING}\n\n## ", 1) if which == "event" else page


def _schema(which: str) -> dict[str, Any]:
    match which:
        case "event":
            from runner.events.catalogue import event_schema

            return event_schema()
        case "report":
            from runner.events.report import report_schema

            return report_schema()
        case "top":
            from runner.watch.snapshot import snapshot_schema

            return snapshot_schema()
        case _:
            from runner.loader.schema.workflow import workflow_schema

            return workflow_schema(_kinds())


def _kinds() -> dict[str, HandlerKind]:
    from runner.handlers.registry import all_kinds

    return all_kinds()
