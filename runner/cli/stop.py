"""`mprun stop`: bring a run, or one of its workers, to an end."""

from __future__ import annotations

import click

from runner.cli.options import examples
from runner.cli.output import say

EXAMPLES = examples(
    "mprun stop 3f2a               as Ctrl-C: producers stop, the rest empties its queues",
    "mprun stop baozi --worker c1  end one worker; the others go on with its items",
)


@click.command(epilog=EXAMPLES)
@click.argument("run")
@click.option("--worker", metavar="NAME", help="End this worker only: SIGTERM, the second time SIGKILL.")
def command(run: str, worker: str | None) -> int:
    """Ask a run to stop. RUN is the beginning of its id, or its workflow's name.

    The first time producers stop and the rest finishes its items; the second time everything is killed. The command
    returns at once: `mprun ps` shows how far it is. The run exits with 143, as after a SIGTERM.

    With --worker only that one ends, and nobody takes its place. The items of a consumer or pipe worker go to the
    others that read its queue; the last of them can't be stopped so, nor one of a sharded stage. The work of a
    producer is cut short: the run works off what is in its queues and exits with 1, unless the stage is daemonic. To
    a stage without queues it is an end like any other. A worker that is killed instead is replaced, where `restart`
    says so. Under `joinable` only a worker without queues can be stopped.
    """
    from runner.control import ask
    from runner.whereabouts import find_live

    request = {"do": "stop"} if worker is None else {"do": "stop", "worker": worker}
    answer = ask(find_live(run).folder, request)
    say("asked the run to stop" if worker is None else f"asked worker '{worker}' to end ({answer['signal']})")
    return 0
