"""Providers and their resources: passed on by name, handed over, closed whatever happens."""

from __future__ import annotations

from pathlib import Path

from runner.process.resources.base import InjectedResources, ReadyResource, ResourceProviders, descriptors_of
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import WorkerPlan, make_plan

(NEO,) = make_plan(
    WorkflowSpec("w", Path("w.yaml"), (StageSpec("chef", HandlerRef("python", "m:f"), workers=("neo",)),))
).workers


class Pantry:
    """A provider that notes what is asked of it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self._name = name
        self._log = log

    def resources_for(self, worker: WorkerPlan) -> InjectedResources:
        """One resource, with a descriptor."""
        return {self._name: ReadyResource(f"{self._name} for {worker.name}", (len(self._name),))}

    def worker_started(self, worker: WorkerPlan) -> None:
        """Note it."""
        self._log.append(f"{self._name}: {worker.name} is born")

    def close(self) -> None:
        """Nothing to give back."""


def test_a_worker_gets_the_gifts_of_all_providers() -> None:
    providers = ResourceProviders((Pantry("salt", []), Pantry("vinegar", [])))

    resources = providers.resources_for(NEO)

    assert {"salt": "salt for neo", "vinegar": "vinegar for neo"} == {
        name: resource.resolve() for name, resource in resources.items()
    }
    assert [4, 7] == descriptors_of(resources)


def test_every_provider_hears_of_a_birth() -> None:
    log: list[str] = []

    ResourceProviders((Pantry("salt", log), Pantry("vinegar", log))).worker_started(NEO)

    assert ["salt: neo is born", "vinegar: neo is born"] == log
