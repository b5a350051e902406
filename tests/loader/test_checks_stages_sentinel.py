"""Marks that some reader, or every reader, would never see."""

from __future__ import annotations

import pytest

from runner.loader.checks.stages import check_sentinels
from runner.spec.diagnostics import UnknownPaths
from runner.spec.model import HandlerRef, StageSpec
from runner.spec.resources import QueueSpec, Sentinel

MARKED = QueueSpec("steamer", sentinel=Sentinel(None))


def stage(name: str = "eater", receives: str | None = "steamer", **more: object) -> StageSpec:
    return StageSpec(name, HandlerRef("python", "kitchen:eat"), receives=receives, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stages", "queue", "drivers", "expected"),
    [
        ([stage()], MARKED, {"eater"}, []),
        ([stage()], QueueSpec("steamer"), set(), []),
        ([stage()], MARKED, set(), [("queues", "steamer", "sentinel")]),
        ([stage(), stage("cat")], MARKED, {"cat"}, []),
        ([stage(daemon=True)], MARKED, {"eater"}, [("stages", "eater", "daemon")]),
        ([stage(daemon=True, sends="plates")], MARKED, {"eater"}, []),
        ([stage(receives="other")], MARKED, {"eater"}, []),
    ],
)
def test_a_mark_is_for_readers_that_hold_the_queue_and_live_to_see_its_end(
    stages: list[StageSpec], queue: QueueSpec, drivers: set[str], expected: list[tuple[str, ...]]
) -> None:
    found = check_sentinels(stages, [queue], lambda each: each.name in drivers)

    assert expected == [diagnostic.path for diagnostic in found]


def test_nothing_is_said_where_a_reader_may_be_missing() -> None:
    unknowns = UnknownPaths(frozenset({("stages", "cat")}))

    assert [] == check_sentinels([stage(), stage("cat")], [MARKED], lambda _: False, unknowns)
