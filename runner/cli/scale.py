"""`mprun scale`: more or fewer workers for a stage of a run that is under way."""

from __future__ import annotations

import click

from runner.cli.options import examples
from runner.cli.output import say
from runner.errors import UsageError

EXAMPLES = examples(
    "mprun scale baozi eater=4     bring the stage to four workers",
)


@click.command(epilog=EXAMPLES)
@click.argument("run")
@click.argument("change", metavar="STAGE=COUNT")
def command(run: str, change: str) -> int:
    """Bring a stage to COUNT workers while the run goes on. RUN is the beginning of its id, or its workflow's name.

    New workers start at once. Workers that are too many finish what they hold and end. Needs the leased transport.
    """
    from runner.control import ask
    from runner.units import counted
    from runner.whereabouts import find_live

    stage, equals, count = change.rpartition("=")
    if not (equals and stage and count.isdecimal()):
        raise UsageError(f"expected STAGE=COUNT as in eater=4, got '{change}'")
    ask(find_live(run).folder, {"do": "scale", "stage": stage, "count": int(count)})
    say(f"stage '{stage}' goes to {counted(int(count), 'worker')}")
    return 0
