"""What is run for a test: which stages there are, with which handlers, limits and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.file_tests.scenario import Scenario, scenario_of, why_unordered
from runner.loader.load import check
from runner.spec.model import HandlerRef, StageSpec

FILE = """
name: shop
limits: {max_errors: 0, timeout: 5s}
queues: {rows: {maxsize: 7}}
stages:
  tidy: {run: "shop:tidy"}
  read: {run: {jsonl: {path: rows.jsonl}}, to: rows, needs: tidy}
  clean: {run: "shop:clean", from: rows, to: good, names: [neo, egon], cwd: .}
  save: {run: {jsonl: {path: out.jsonl}}, from: good}
"""


def scenario(folder: Path, test: str, transport: str | None = None) -> Scenario:
    (folder / "shop.py").write_text("def tidy(): pass\ndef clean(row): return row\n")
    path = folder / "shop.yaml"
    path.write_text(f"{FILE}tests:\n  t: {test}\n")
    checked = check(path)
    assert [] == [each.message for each in checked.diagnostics]
    assert checked.spec is not None
    return scenario_of(checked.tests[0], checked.spec, folder, transport)


def test_a_stage_alone_stands_between_its_items_and_its_outputs(tmp_path: Path) -> None:
    found = scenario(tmp_path, "{stage: clean, items: [1, 2], expect: {outputs: []}}")

    assert {
        "clean-items": (None, "rows", "runner.handlers.doubles:give"),
        "clean": ("rows", "good", "shop:clean"),
        "clean-outputs": ("good", None, "runner.handlers.doubles:collect"),
    } == {s.name: (s.spec.receives, s.spec.sends, s.spec.handler.target) for s in found.plan.stages}
    assert {"rows": 7, "good": 10_000} == {queue.spec.name: queue.spec.maxsize for queue in found.plan.queues}
    clean = next(stage for stage in found.plan.stages if stage.name == "clean")
    assert ("skip", tmp_path) == (clean.spec.on_error.value, clean.spec.cwd)
    assert [(False, "'clean' has 2 workers")] == [(each.ordered, each.why) for each in found.outputs]


def test_a_workflow_has_doubles_for_its_ends_and_is_else_as_it_is(tmp_path: Path) -> None:
    found = scenario(
        tmp_path, "{replace: {tidy: skip, read: {items: [1]}, save: collect}, timeout: 2s, expect: {exit: 0}}"
    )

    assert {"read": ("read-1",), "clean": ("neo", "egon"), "save": ("save-1",)} == {
        stage.name: tuple(worker.name for worker in stage.workers) for stage in found.plan.stages
    }
    assert [()] == [stage.spec.needs for stage in found.plan.stages if stage.name == "read"]
    assert (2.0, "0") == (found.plan.limits.timeout, found.plan.limits.max_errors)


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        ("kill: {stage: clean, at_item: 1}", ["neo", "egon"]),
        ("kill: {stage: clean, at_item: 1, worker: 2}", ["egon"]),
        ("kill: {stage: clean, at_item: 1, worker: neo}", ["neo"]),
        ("delay: {stage: save}", ["save-1"]),
    ],
)
def test_a_fault_is_with_the_workers_that_it_is_for(tmp_path: Path, fault: str, struck: list[str]) -> None:
    found = scenario(
        tmp_path,
        f"{{replace: {{tidy: skip, read: {{items: [1]}}, save: collect}}, faults: [{fault}], expect: {{}}}}",
    )

    assert struck == [w.name for stage in found.plan.stages for w in stage.workers if w.faults]


def stage(name: str, receives: str | None, sends: str | None, count: int = 1, **more: Any) -> StageSpec:
    workers = tuple(f"{name}-{number}" for number in range(count))
    return StageSpec(
        name, HandlerRef("python", "a:b"), workers=workers, receives=receives, sends=sends, **more
    )


@pytest.mark.parametrize(
    ("stages", "why"),
    [
        ([stage("a", None, "p"), stage("b", "p", "q")], ""),
        ([stage("a", None, "p"), stage("b", "p", "q", 2, keeps_order=True)], ""),
        ([stage("a", None, "p"), stage("b", "p", "q", 2)], "'b' has 2 workers"),
        ([stage("a", None, "p", 2), stage("b", "p", "q")], "'a' has 2 workers"),
        ([stage("a", None, "q"), stage("b", None, "q")], "a and b write to 'q'"),
    ],
)
def test_the_order_is_certain_behind_lone_writers_of_lone_workers(stages: list[StageSpec], why: str) -> None:
    assert why == why_unordered("q", stages)


def test_another_transport_is_not_for_who_is_killed(tmp_path: Path) -> None:
    test = "{stage: clean, items: [1], expect: {}, faults: [%s: {stage: clean, at_item: 1}]}"

    assert ["inline", "leased"] == [
        scenario(tmp_path, test % fault, transport="inline").plan.transport for fault in ("raise", "kill")
    ]
