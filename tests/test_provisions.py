"""Providers and their gifts: passed on by name, handed over, closed whatever happens."""

from __future__ import annotations

from pathlib import Path

from runner.plan import WorkerPlan, make_plan
from runner.provisions import Gifts, Provisions, Unwrapped, descriptors_of
from runner.spec import HandlerRef, StageSpec, WorkflowSpec

(NEO,) = make_plan(
    WorkflowSpec("w", Path("w.yaml"), (StageSpec("chef", HandlerRef("python", "m:f"), workers=("neo",)),))
).workers


class Pantry:
    """A provider that notes what is asked of it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self._name = name
        self._log = log

    def gifts(self, worker: WorkerPlan) -> Gifts:
        """One gift, with a descriptor."""
        return {self._name: Unwrapped(f"{self._name} for {worker.name}", (len(self._name),))}

    def handed_over(self, worker: WorkerPlan) -> None:
        """Note it."""
        self._log.append(f"{self._name}: {worker.name} is born")

    def close(self) -> None:
        """Nothing to give back."""


def test_a_worker_gets_the_gifts_of_all_providers() -> None:
    provisions = Provisions((Pantry("salt", []), Pantry("vinegar", [])))

    gifts = provisions.gifts(NEO)

    assert {"salt": "salt for neo", "vinegar": "vinegar for neo"} == {
        name: gift.unwrap() for name, gift in gifts.items()
    }
    assert [4, 7] == descriptors_of(gifts)


def test_every_provider_hears_of_a_birth() -> None:
    log: list[str] = []

    Provisions((Pantry("salt", log), Pantry("vinegar", log))).handed_over(NEO)

    assert ["salt: neo is born", "vinegar: neo is born"] == log
