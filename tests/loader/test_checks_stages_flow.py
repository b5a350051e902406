"""Keys about the flow of items that nobody could keep are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from runner.loader.checks.stages import check_flow
from runner.spec.diagnostics import UnknownPaths
from runner.spec.model import HandlerRef, StageSpec
from runner.spec.resources import QueueSpec, WhenFull


def stage(name: str = "eater", **keys: Any) -> StageSpec:
    return StageSpec(name, HandlerRef("python", "m:f"), **keys)


@pytest.mark.parametrize(
    ("keys", "transport", "expected"),
    [
        ({"receives": "q", "shard_by": "user.id"}, "leased", []),
        ({"receives": "q", "shard_by": "user.id", "workers": ("one",)}, "leased", []),
        ({"receives": "q", "shard_by": "user.id"}, "joinable", [("transport-cannot", "shard_by")]),
        ({"receives": "q", "shard_by": "user.id"}, "inline", [("transport-cannot", "shard_by")]),
        ({"sends": "q", "shard_by": "user.id"}, "leased", [("wrong-role", "shard_by")]),
        ({"receives": "q", "sends": "r", "keeps_order": True}, "leased", []),
        ({"receives": "q", "sends": "r", "keeps_order": True}, "inline", [("transport-cannot", "order")]),
        ({"receives": "q", "keeps_order": True}, "leased", [("wrong-role", "order")]),
        ({"sends": "q", "keeps_order": True}, "joinable", [("wrong-role", "order")]),
        (
            {"receives": "q", "sends": "r", "keeps_order": True, "shard_by": "item"},
            "leased",
            [("conflicting-keys", "order")],
        ),
    ],
)
def test_a_stage_may_ask_for_what_its_role_and_transport_can_do(
    keys: dict[str, Any], transport: str, expected: list[tuple[str, str]]
) -> None:
    found = check_flow([stage(**keys)], [], transport)

    assert expected == [(diagnostic.code, diagnostic.path[2]) for diagnostic in found]


@pytest.mark.parametrize(
    ("queue", "transport", "expected"),
    [
        (QueueSpec("q", max_bytes=100), "leased", []),
        (QueueSpec("q", max_bytes=100), "joinable", ["max_bytes"]),
        (QueueSpec("q", when_full=WhenFull.DROP_OLDEST), "inline", ["when_full"]),
        (QueueSpec("q", when_full=WhenFull.BLOCK), "inline", []),
    ],
)
def test_a_queue_may_ask_for_what_its_transport_can_do(
    queue: QueueSpec, transport: str, expected: list[str]
) -> None:
    found = check_flow([], [queue], transport)

    assert [("queues", "q", key) for key in expected] == [diagnostic.path for diagnostic in found]
    assert {"transport-cannot"} >= {diagnostic.code for diagnostic in found}


def test_who_must_see_all_items_shares_its_queue_with_nobody() -> None:
    found = check_flow([stage(receives="q", shard_by="item"), stage("cat", receives="q")], [], "leased")

    assert [("shared-queue", ("stages", "eater", "shard_by"))] == [(each.code, each.path) for each in found]


def test_what_is_not_known_is_not_held_against_a_stage() -> None:
    unknowns = UnknownPaths(frozenset({("stages", "cat", "from")}))

    assert [] == check_flow(
        [stage(receives="q", shard_by="item"), stage("cat", receives="q")], [], "leased", unknowns
    )
