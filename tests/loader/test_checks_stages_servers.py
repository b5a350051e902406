"""Stages that listen: they never end, and no two have one port."""

from __future__ import annotations

import pytest

from runner.loader.checks.stages import check_servers
from runner.spec.model import HandlerRef, StageSpec, StartMode


def server(name: str, port: int = 0, host: str = "127.0.0.1", **more: object) -> StageSpec:
    options = {"handler": "h:talk", "port": port, "host": host}
    workers = (f"{name}-1", f"{name}-2")
    return StageSpec(name, HandlerRef("serve", "serve", options), workers=workers, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([server("a", 80), server("b", 81)], []),
        ([server("a", 0), server("b", 0)], []),
        ([server("a", 80), server("b", 80, host="127.0.0.2")], []),
        ([server("a", 80), server("b", 80)], ["stage 'b' listens on port 80, as stage 'a' does"]),
        (
            [server("a", 80), server("b", 80, host="0.0.0.0")],
            ["stage 'b' listens on port 80, as stage 'a' does"],
        ),
        (
            [server("a", start=StartMode.SERIAL)],
            ["stage 'a' is a server, and its first worker never ends: no other would start"],
        ),
        ([server("a", lock="pen")], ["stage 'a' is a server and never ends: it would hold 'pen' for ever"]),
    ],
)
def test_what_servers_can_not_do(stages: list[StageSpec], expected: list[str]) -> None:
    assert expected == [diagnostic.message for diagnostic in check_servers(stages)]
