"""`mprun stop`: bring a run, or one of its workers, to an end."""

from __future__ import annotations

import click

from runner.cli.options import examples
from runner.cli.output import say

EXAMPLES = examples(
    "mprun stop 3f2a               as Ctrl-C: producers stop, the rest empties its queues",
    "mprun stop baozi --worker c1  SIGTERM to one worker",
)


@click.command(epilog=EXAMPLES)
@click.argument("run")
@click.option("--worker", metavar="NAME", help="End this worker only, with SIGTERM.")
def command(run: str, worker: str | None) -> int:
    """Ask a run to stop. RUN is the beginning of its id, or its workflow's name.

    The first time producers stop and the rest finishes its items; the second time everything is killed. The command
    returns at once: `mprun ps` shows how far it is.
    """
    from runner.control import ask
    from runner.whereabouts import find_live

    request = {"do": "stop"} if worker is None else {"do": "stop", "worker": worker}
    ask(find_live(run).folder, request)
    say("asked the run to stop" if worker is None else f"asked worker '{worker}' to end (SIGTERM)")
    return 0
