"""What a plan declares for its workers, opened before any of them and watched while they live.

plan: locks, servers, pipes, shared ──► open_resources ──► ResourceProviders, which transports pass on to workers
                                                       └──► ResourceMonitor, which the supervisor asks

begin ──► published      failure ──► the run fails      stop_accepting ──► clients are refused      end ──► gone

Each kind is imported only where it is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import field
from typing import TYPE_CHECKING

from runner.events.bus import Publish
from runner.events.run import ManagerExited, ManagerSpawned, ServerListening
from runner.exit_status import describe_status
from runner.facts import dataclass
from runner.ipc.messages import Exited
from runner.process.resources.base import ResourceProvider, ResourceProviders
from runner.spec.plan import Plan

if TYPE_CHECKING:
    from runner.handlers.listeners import Listeners
    from runner.process.resources.shared import SharedObjects


@dataclass(slots=True)
class ResourceMonitor:
    """Watches what a run needs beside its workers: listening sockets, and the manager process of shared objects."""

    listeners: Listeners | None = None
    manager: SharedObjects | None = None
    _manager_reported: bool = field(default=False, init=False)
    """That it is gone."""

    def begin(self, publish: Publish) -> None:
        """Publish what there is. Called once, after `run.started` and before any worker."""
        for where in self.listeners.listening() if self.listeners is not None else ():
            publish(ServerListening(stage=where.stage, host=where.host, port=where.port))
        if self.manager is not None:
            publish(ManagerSpawned(pid=self.manager.pid, ppid=os.getpid(), objects=list(self.manager.names)))

    def failure(self, publish: Publish, *, suspected: bool = False) -> str | None:
        """
        Say what is broken so that the run can't go on, once; None while all is well.

        A process that dies closes its sockets a moment before it is dead, so whoever talked to it may die first: where
        that is `suspected`, look for what comes before.
        """
        if self.manager is None or self._manager_reported:
            return None
        ended = self.manager.exited_if_unreachable() if suspected else self.manager.exited_nowait()
        if ended is not None:
            reason = f"{_name_of(ended.pid)} {describe_status(ended.code)}; what they held is gone"
            self._report_exit(publish, ended, reason)
            return reason
        if self.manager.is_stopped():
            reason = (
                f"{_name_of(self.manager.pid)} was stopped by a signal, and whoever uses them waits for it"
            )
            self._report_exit(publish, self.manager.end(), reason)
            return reason
        return None

    def stop_accepting(self) -> None:
        """Nobody new is to be served: close the sockets, which the workers close in their own time."""
        if self.listeners is not None:
            self.listeners.close()

    def end(self, publish: Publish) -> None:
        """No worker is left: end what was kept up for them."""
        if self.manager is not None and not self._manager_reported:
            self._report_exit(publish, self.manager.end(), "nobody needs it any more")

    def _report_exit(self, publish: Publish, ended: Exited, reason: str) -> None:
        self._manager_reported = True
        publish(
            ManagerExited(pid=ended.pid, exitcode=ended.exitcode, signal=ended.signal_name, reason=reason)
        )


def _name_of(pid: int) -> str:
    return f"the process of the shared objects (pid {pid})"


NO_RESOURCES = ResourceMonitor()


@dataclass(frozen=True, slots=True)
class OpenResources:
    """What the workers get, and what watches over it."""

    providers: ResourceProviders
    monitor: ResourceMonitor


@contextmanager
def open_resources(plan: Plan) -> Iterator[OpenResources]:
    """
    Open everything; close it at the end, or as soon as one thing can't be had.

    Raises:
        StartFailed: the system refuses one of them, such as a port that is taken.
    """
    monitor = ResourceMonitor()
    with ExitStack() as opened:
        providers: list[ResourceProvider] = []
        for provider in _open_each(plan, monitor):
            opened.callback(provider.close)
            providers.append(provider)
        yield OpenResources(ResourceProviders(tuple(providers)), monitor)


def _open_each(plan: Plan, monitor: ResourceMonitor) -> Iterator[ResourceProvider]:
    """Open one thing after the other, each when the one before is in safe hands; note what is to be watched."""
    if plan.locks and plan.transport != "inline":  # where workers are fibers, their transport has the locks
        from runner.process.resources.locks import LockProvider

        yield LockProvider(plan.locks)
    if any(worker.handler.kind != "python" for worker in plan.workers):
        from runner.handlers.listeners import Listeners

        monitor.listeners = Listeners(plan)
        yield monitor.listeners
    if plan.pipes:
        from runner.process.resources.pipes import Pipes

        yield Pipes(plan)
    if plan.shared:
        from runner.process.resources.shared import LocalObjects, SharedObjects

        if plan.transport == "inline":
            yield LocalObjects(plan)
        else:
            monitor.manager = SharedObjects(plan)
            yield monitor.manager
