"""What a transport can't do is refused where it is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.loader.checks.transport import check_transport
from runner.spec.failures import RestartOn, RestartPolicy
from runner.spec.model import HandlerRef, StageSpec

_PLAIN = StageSpec("eater", HandlerRef("python", "kitchen:eat"), {}, ("eater",), receives="q")
_TIMED = replace(_PLAIN, timeout=3.0)
_SERVER = StageSpec("eater", HandlerRef("serve", "serve", {"handler": "m:f"}), {}, ("eater",))
_HEARTBEAT = replace(_PLAIN, receives=None, daemon=True)
_LIMITED = replace(_PLAIN, memory_limit=1 << 30)


@pytest.mark.parametrize(
    ("stage", "transport", "keys"),
    [
        (_PLAIN, "inline", []),
        (_TIMED, "leased", []),
        (_TIMED, "joinable", []),
        (_TIMED, "inline", ["timeout"]),
        (_LIMITED, "leased", []),
        (_LIMITED, "inline", ["memory_limit"]),
        (_SERVER, "joinable", []),
        (_SERVER, "inline", ["run"]),
        (replace(_PLAIN, daemon=True), "inline", []),
        (_HEARTBEAT, "leased", []),
        (_HEARTBEAT, "joinable", []),
        (_HEARTBEAT, "inline", ["daemon"]),
    ],
)
def test_a_key_is_refused_where_it_can_do_nothing(stage: StageSpec, transport: str, keys: list[str]) -> None:
    tried = ("run", "daemon", "timeout", "memory_limit")
    found = [diagnostic for diagnostic in check_transport([stage], transport) if diagnostic.path[-1] in tried]

    assert [("stages", "eater", key) for key in keys] == [diagnostic.path for diagnostic in found]
    assert {"transport-cannot"} >= {diagnostic.code for diagnostic in found}


@pytest.mark.parametrize(
    ("stage", "transport", "keys"),
    [
        (_PLAIN, "leased", []),
        (_PLAIN, "joinable", ["restart"]),
        (_PLAIN, "inline", ["restart"]),
        (replace(_PLAIN, receives=None, sends="q"), "joinable", ["restart"]),
        (replace(_PLAIN, receives=None), "joinable", []),
        (replace(_PLAIN, receives=None), "inline", ["restart"]),
    ],
)
def test_a_worker_at_no_queue_may_be_replaced_wherever_there_are_processes(
    stage: StageSpec, transport: str, keys: list[str]
) -> None:
    replaced = replace(stage, restart=RestartPolicy(on=RestartOn.CRASH))

    assert keys == [diagnostic.path[-1] for diagnostic in check_transport([replaced], transport)]
