"""What a run opens once, before its workers, and hands to those that name it: sockets, pipes, shared objects, locks.

    supervisor: ResourceProvider ── InjectedResource: descriptors and plain data ──► worker: resolve ──► a parameter
                   └─ keeps it open until the run ends; a worker's death costs the others nothing

A provider is one kind of such things. It decides who is given what; transports and workers only pass resources on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from runner.facts import dataclass
from runner.spec.plan import WorkerPlan


class InjectedResource(Protocol):
    """One worker's share of one thing. Pickles while multiprocessing spawns a process."""

    @property
    def descriptors(self) -> Sequence[int]:
        """What a forked worker must not close."""

    def resolve(self) -> object:
        """Called in the worker, once, and only if its handler asks: return what the handler gets."""


@dataclass(frozen=True, slots=True)
class ReadyResource:
    """A resource that is there already: whoever asks for it gets the same thing."""

    thing: object
    descriptors: tuple[int, ...] = ()

    def resolve(self) -> object:
        """Return it."""
        return self.thing


InjectedResources = Mapping[str, InjectedResource]
"""By the name of the parameter that they are for."""


def no_resources() -> InjectedResources:
    """What a worker has where the file declares nothing."""
    return {}


class ResourceProvider(ABC):
    """Keeps the things of one kind, in the supervisor, for as long as the run lasts."""

    @abstractmethod
    def resources_for(self, worker: WorkerPlan) -> InjectedResources:
        """Return what a worker that is about to start gets."""

    def worker_started(self, worker: WorkerPlan) -> None:  # noqa: B027 - most have nothing to do
        """The worker has started and has its resources: close what is now its own alone. Most are every worker's."""

    def close(self) -> None:  # noqa: B027 - some go with the run
        """Give everything back. Also called when no worker has started. Some go with the run."""


@dataclass(frozen=True, slots=True)
class ResourceProviders:
    """All providers of a run as one."""

    providers: tuple[ResourceProvider, ...] = ()

    def resources_for(self, worker: WorkerPlan) -> InjectedResources:
        """Return what a worker gets, by name; the check of the file has seen to it that names differ."""
        return {
            name: resource for each in self.providers for name, resource in each.resources_for(worker).items()
        }

    def worker_started(self, worker: WorkerPlan) -> None:
        """Tell every provider that a worker has started."""
        for each in self.providers:
            each.worker_started(worker)


NO_PROVIDERS = ResourceProviders()


def descriptors_of(resources: InjectedResources) -> list[int]:
    """Return every descriptor that a forked worker must keep open for its resources."""
    return [descriptor for resource in resources.values() for descriptor in resource.descriptors]
