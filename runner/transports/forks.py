"""What a handler forks is not the worker: it is cut off at birth from what the worker alone may use.

    worker ── os.fork, multiprocessing ──► child: no stream, no queue · a status page of its own · only the log

A child that comes back from the handler into the loop would else acknowledge the worker's items, and take its leases.
Programs that a handler starts have none of this anyway: no descriptor of a worker passes an `exec`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from runner.channel import Sender
from runner.status import StatusPage


def disown_forks(let_go: Iterable[Callable[[], object]], status: StatusPage, sender: Sender) -> None:
    """Called once in a worker, before its handler can fork. `let_go` are called in each fork, for its queues."""
    steps = tuple(let_go)

    def disown() -> None:
        for step in steps:
            step()
        sender.only_log()
        status.become_a_copy()

    os.register_at_fork(after_in_child=disown)
