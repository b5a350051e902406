"""Keys about failures that make no sense for a stage's role, whatever the transport. Pure: stages in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runner.findings import Finding, Spoilt
from runner.spec import RestartOn, Role, StageSpec


def check_policy(
    stages: Iterable[StageSpec],
    spoilt: Spoilt = Spoilt(),  # noqa: B008 - frozen
) -> list[Finding]:
    """Return what stages ask for that no worker of theirs could make use of."""
    found = [finding for stage in stages for finding in (*_endless(stage), *_not_a_producer(stage))]
    ends = ("from", "to")
    return [
        each for each in found if all(spoilt.knows(*each.path[:2], key) for key in (*ends, str(each.path[2])))
    ]


def _endless(stage: StageSpec) -> Iterator[Finding]:
    if stage.restart is None or stage.restart.on is not RestartOn.ALWAYS or stage.receives is not None:
        return
    message = (
        f"stage '{stage.name}' reads no queue, so it has no end of a stream after which it may stay ended"
    )
    yield Finding(("stages", stage.name, "restart"), "restart-for-ever", message, help="write `crash`")


def _not_a_producer(stage: StageSpec) -> Iterator[Finding]:
    if stage.deterministic and stage.role is not Role.PRODUCER:
        message = f"'deterministic' is for producers, and stage '{stage.name}' is a {stage.role}"
        yield Finding(
            ("stages", stage.name, "deterministic"), "not-a-producer", message, "key", "leave it out"
        )
