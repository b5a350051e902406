"""Pipes between two processes: each end is one worker's alone, so that the other sees it close when that one dies.

asker ── Connection ═══ supervisor opened it, kept no end ═══ Connection ── answerer
           └─ killed, or done: the system closes its end ──► EOFError at the other's `recv`
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from runner.errors import StartFailed
from runner.facts import dataclass
from runner.process.resources.base import InjectedResources, ReadyResource, ResourceProvider
from runner.spec.plan import Plan, WorkerPlan


@dataclass(frozen=True, slots=True)
class _End:
    pipe: str
    connection: Connection


class Pipes(ResourceProvider):
    """The ends that no worker has yet, by the stage that they are for. Every such stage has one worker, once."""

    def __init__(self, plan: Plan) -> None:
        """Open every pipe. Raises `StartFailed` if there is no descriptor left; none is left open then."""
        self._ends: dict[str, list[_End]] = {}
        try:
            for pipe in plan.pipes:
                for stage, connection in zip(pipe.ends, Pipe(), strict=True):
                    self._ends.setdefault(stage, []).append(_End(pipe.name, connection))
        except OSError as error:
            self.close()
            raise StartFailed(f"the pipes could not be made: {error.strerror or error}") from error

    def resources_for(self, worker: WorkerPlan) -> InjectedResources:
        """Return the ends that are the worker's."""
        ends = self._ends.get(worker.stage, ())
        return {end.pipe: ReadyResource(end.connection, (end.connection.fileno(),)) for end in ends}

    def worker_started(self, worker: WorkerPlan) -> None:
        """Close our own copies of its ends: they would keep the pipe open after its death."""
        _close(self._ends.pop(worker.stage, ()))

    def close(self) -> None:
        """Close what no worker was born to take."""
        for ends in self._ends.values():
            _close(ends)
        self._ends.clear()


def _close(ends: Sequence[_End]) -> None:
    for end in ends:
        end.connection.close()
