"""The sockets on which stages listen: opened before any worker, shared by all workers of the stage, closed to stop.

    supervisor: bind, listen ──► worker 1: accept        one queue of connections in the kernel: a worker that is
                             └─► worker 2: accept        killed leaves those that wait to the others

The supervisor never accepts. It keeps its copy so that a successor inherits the same socket, and lets go of it when the
run is to stop: once the last worker has closed its own, whoever connects is refused instead of waiting in vain.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from runner.errors import StartFailed
from runner.facts import dataclass
from runner.handlers.kinds import LISTENER, Address, host_and_port
from runner.handlers.registry import listens_at
from runner.process.resources.base import InjectedResources, ResourceProvider, no_resources
from runner.spec.plan import Plan, StagePlan, WorkerPlan


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a stage can be reached."""

    stage: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ListenerResource:
    """A stage's listening socket, in one worker's hand. It never blocks: another worker may be quicker to accept."""

    listener: socket.socket

    @property
    def descriptors(self) -> Sequence[int]:
        """The socket's own."""
        return (self.listener.fileno(),)

    def resolve(self) -> socket.socket:
        """Return the socket."""
        return self.listener


class Listeners(ResourceProvider):
    """The listening sockets of a run, by stage."""

    def __init__(self, plan: Plan) -> None:
        """Open them all.

        Raises:
            StartFailed: a port is taken, or an address is not this machine's. Says of which stage; none is left open.
        """
        self._sockets: dict[str, socket.socket] = {}
        try:
            for stage in plan.stages:
                address = address_of(stage)
                if address is not None:
                    self._sockets[stage.name] = _listen(stage.name, address)
        except StartFailed:
            self.close()
            raise

    def resources_for(self, worker: WorkerPlan) -> InjectedResources:
        """Return the listener of the worker's stage, if that listens."""
        listener = self._sockets.get(worker.stage)
        return no_resources() if listener is None else {LISTENER: ListenerResource(listener)}

    def listening(self) -> list[Listening]:
        """Return where each stage can be reached, with the port that the system has chosen."""
        return [Listening(stage, *each.getsockname()[:2]) for stage, each in self._sockets.items()]

    def close(self) -> None:
        """Let go of every socket; the workers' own copies stay. May be called again."""
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()


def address_of(stage: StagePlan) -> Address | None:
    """Return where a stage is to listen; None if it does not, or has no worker."""
    return listens_at(stage.workers[0].handler) if stage.workers else None


def _listen(stage: str, address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(address.backlog)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartFailed(
            f"stage '{stage}' can't listen on {host_and_port(address.host, address.port)}: {_trouble(error, address)}"
        ) from error
    return listener


def _trouble(error: OSError, address: Address) -> str:
    if isinstance(error, socket.gaierror):
        return f"there is no host '{address.host}'"
    match error.errno:
        case errno.EADDRINUSE:
            return "another program uses that port; choose another, or 0 for any that is free"
        case errno.EADDRNOTAVAIL:
            return f"'{address.host}' is not an address of this machine"
        case errno.EACCES:
            return "this user may not; ports below 1024 need privileges"
    return error.strerror or str(error)
