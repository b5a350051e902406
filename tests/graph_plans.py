"""Plans of a few stages, for tests of what is drawn of them."""

from __future__ import annotations

from pathlib import Path

from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec


def stage(
    name: str,
    receives: str | None = None,
    sends: str | None = None,
    *,
    count: int = 1,
    daemon: bool = False,
    needs: tuple[str, ...] = (),
) -> StageSpec:
    workers = tuple(f"{name}-{number}" for number in range(1, count + 1))
    handler = HandlerRef("python", "kitchen:work")
    return StageSpec(
        name, handler, workers=workers, receives=receives, sends=sends, daemon=daemon, needs=needs
    )


def plan(*stages: StageSpec, name: str = "baozi", size: int | None = 10) -> Plan:
    queues = dict.fromkeys(end for one in stages for end in (one.sends, one.receives) if end)
    return make_plan(
        WorkflowSpec(name, Path("baozi.yaml"), stages, tuple(QueueSpec(q, size) for q in queues))
    )
