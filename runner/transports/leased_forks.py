"""What a handler forks is not the worker: it is cut off at birth from what the worker alone may use.

    worker ── os.fork, multiprocessing ──► child: no stream · a status page of its own · of the channel, only the log

A child that comes back from the handler into the loop would else acknowledge the worker's items, and take its leases.
Programs that a handler starts have none of this anyway: no descriptor of a worker passes an `exec`.
"""

from __future__ import annotations

import os

from runner.channel import Sender
from runner.status import StatusPage
from runner.wire import WorkerWire


def disown_forks(wire: WorkerWire, status: StatusPage, sender: Sender) -> None:
    """Called once in a worker, before its handler can fork."""

    def disown() -> None:
        wire.close()
        sender.only_log()
        status.become_a_copy()

    os.register_at_fork(after_in_child=disown)
