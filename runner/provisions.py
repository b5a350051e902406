"""What a run opens once, before its workers, and hands to those that name it: sockets, pipes, shared objects, locks.

    supervisor: Provider ── Gift: descriptors and plain data ──► worker: unwrap ──► the handler's parameter
                   └─ keeps it open until the run ends; a worker's death costs the others nothing

A provider is one kind of such things. It decides who is given what; transports and workers only pass gifts on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from runner.plan import WorkerPlan


class Gift(Protocol):
    """One worker's share of one thing. Pickles while multiprocessing spawns a process."""

    @property
    def descriptors(self) -> Sequence[int]:
        """What a forked worker must not close."""

    def unwrap(self) -> object:
        """Called in the worker, once, and only if its handler asks: return what the handler gets."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A gift that is there already: whoever asks for it gets the same thing."""

    thing: object
    descriptors: tuple[int, ...] = ()

    def unwrap(self) -> object:
        """Return it."""
        return self.thing


Gifts = Mapping[str, Gift]
"""By the name of the parameter that they are for."""


def no_gifts() -> Gifts:
    """What a worker has where the file declares nothing."""
    return {}


class Provider(Protocol):
    """Keeps the things of one kind, in the supervisor, for as long as the run lasts."""

    def gifts(self, worker: WorkerPlan) -> Gifts:
        """Return what a worker is about to be born with."""

    def handed_over(self, worker: WorkerPlan) -> None:
        """The worker has been born and has its gifts: let go of what is now its own alone."""

    def close(self) -> None:
        """Give everything back. Also called when no worker was born."""


@dataclass(frozen=True, slots=True)
class Provisions:
    """All providers of a run as one."""

    providers: tuple[Provider, ...] = ()

    def gifts(self, worker: WorkerPlan) -> Gifts:
        """Return what a worker is born with, by name; the check of the file has seen to it that names differ."""
        return {name: gift for each in self.providers for name, gift in each.gifts(worker).items()}

    def handed_over(self, worker: WorkerPlan) -> None:
        """Tell every provider that a worker has been born."""
        for each in self.providers:
            each.handed_over(worker)


NO_PROVISIONS = Provisions()


def descriptors_of(gifts: Gifts) -> list[int]:
    """Return every descriptor that a forked worker must keep open for its gifts."""
    return [descriptor for gift in gifts.values() for descriptor in gift.descriptors]
