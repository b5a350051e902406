"""Facts from gossip: what a worker says becomes a fact, or nothing; it never raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.ipc.messages import (
    Fact,
    Finished,
    HandlerFailed,
    ItemFailure,
    Logged,
    NotTheSame,
    Ready,
    RetryAction,
    from_message,
)
from runner.spec.failures import OnError

FACTS: list[tuple[dict[str, Any], Fact]] = [
    ({"kind": "ready"}, Ready("neo")),
    ({"kind": "finished"}, Finished("neo")),
    ({"kind": "handler_failed", "error": "OSError"}, HandlerFailed("neo", "OSError")),
    ({"kind": "not_the_same", "error": "then 1, now 2"}, NotTheSame("neo", "then 1, now 2")),
    (
        {"kind": "item_failed", "item": "包子", "error": "E", "traceback": "T", "action": "skip"},
        ItemFailure("neo", "包子", "E", "T", OnError.SKIP),
    ),
    (
        {"kind": "item_failed", "item": "1", "error": "E", "action": "retry"},
        ItemFailure("neo", "1", "E", action=RetryAction.RETRY),
    ),
    (
        {"kind": "logged", "level": "info", "message": "steamed", "fields": {"bun": 1}},
        Logged("neo", "info", "steamed", {"bun": 1}),
    ),
]

NONSENSE: list[dict[str, Any]] = [
    {},
    {"kind": None},
    {"kind": ["ready"]},
    {"kind": "exited", "pid": 1, "code": 0},
    {"kind": "ready", "worker": "alex"},
    {"kind": "ready", "mood": "good"},
    {"kind": "handler_failed"},
    {"kind": "handler_failed", "error": 7},
    {"kind": "item_failed", "item": "1", "error": "E", "action": "explode"},
    {"kind": "logged", "level": "shout", "message": "m"},
    {"kind": "logged", "level": ["info"], "message": "m"},
    {"kind": "logged", "level": "info", "message": "m", "fields": 3},
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(("message", "expected"), FACTS)
def test_a_message_of_a_known_kind_becomes_its_fact(message: dict[str, Any], expected: Fact) -> None:
    assert expected == from_message("neo", message)


@pytest.mark.parametrize("message", NONSENSE)
def test_what_makes_no_sense_becomes_nothing(message: dict[str, Any]) -> None:
    assert from_message("neo", message) is None


@pytest.mark.slow
@settings(deadline=None)
@given(
    kind=st.sampled_from(["ready", "finished", "handler_failed", "item_failed", "logged"]),
    fields=st.dictionaries(
        st.sampled_from(["worker", "item", "error", "traceback", "action", "level", "message", "fields"])
        | st.text(),
        json_values,
    ),
)
def test_no_message_raises_or_speaks_for_another_worker(kind: str, fields: dict[str, Any]) -> None:
    fact = from_message("neo", {**fields, "kind": kind})

    assert fact is None or fact.worker == "neo"
