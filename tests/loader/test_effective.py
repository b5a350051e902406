"""What a file comes to: it means the same, and every value knows where it is from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.cli.plan import plan_as_dict
from runner.jobs.plan import plan_for
from runner.loader.effective import Effective, effective
from runner.loader.load import check
from runner.spec.source.emitter import emit
from runner.spec.source.overrides import parse_params


def without_constants(plan: Any) -> Any:
    """Leave out what conditions might ask for and do not: params that nothing refers to any more are gone."""
    if isinstance(plan, dict):
        return {key: without_constants(each) for key, each in plan.items() if key != "constants"}
    return [without_constants(each) for each in plan] if isinstance(plan, list | tuple) else plan


WORKFLOWS = sorted((Path(__file__).resolve().parent.parent.parent / "workflows").rglob("*.yaml"))


def effect(path: Path, *, params: tuple[str, ...] = (), sets: tuple[str, ...] = ()) -> Effective:
    checked = check(path, params=params, overrides=sets)
    assert checked.source is not None
    assert checked.spec is not None
    return effective(checked.source, checked.spec.params, parse_params(params)[0])


@pytest.mark.parametrize(
    "path", [path for path in WORKFLOWS if path.name != "ci.yaml"], ids=lambda path: path.stem
)
def test_a_shipped_file_has_the_same_plan_when_it_is_expanded(path: Path) -> None:
    before, after = check(path).spec, check(path, text=emit(effect(path).written)).spec
    assert before is not None
    assert after is not None

    assert without_constants(plan_as_dict(plan_for(before))) == without_constants(
        plan_as_dict(plan_for(after))
    )


def test_each_value_has_its_place_and_those_of_its_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("h.py").write_text("def read(n, m): yield n\ndef eat(item): pass\ndef sweep(a): pass\n")
    Path("more.yaml").write_text("stages:\n  eat: {run: 'h:eat', from: q}\n")
    Path("main.yaml").write_text(
        "name: m\ninclude: more.yaml\nparams:\n  n: {default: 1}\n  m: {default: [1, 2]}\n"
        "defaults: {stage: {nice: 3}, queue: {maxsize: 7}}\n"
        "stages:\n  read:\n    run: h:read\n    with: {n: '${{ params.n }}', m: '${{ params.m }}'}\n    to: q\n"
    )
    found = effect(Path("main.yaml"), params=("n=5",), sets=("stages.eat.nice=4",))
    origins = {
        ".".join(map(str, path)): (
            f"{each.place.file}:{each.place.span.line}",
            [f"{name} {at.file}:{at.span.line}" for name, at in each.params],
        )
        for path, each in found.origins.items()
    }

    assert {"read": {"n": 5, "m": [1, 2]}} == {"read": found.data["stages"]["read"]["with"]}
    assert {"q": {"maxsize": 7}} == found.data["queues"]
    assert {
        "name": ("main.yaml:1", []),
        "queues.q.maxsize": ("main.yaml:6", []),
        "stages.eat.run": ("more.yaml:2", []),
        "stages.eat.from": ("more.yaml:2", []),
        "stages.eat.nice": ("--set:1", []),
        "stages.read.run": ("main.yaml:9", []),
        "stages.read.with.n": ("main.yaml:10", ["n --param:1"]),
        "stages.read.with.m.0": ("main.yaml:10", ["m main.yaml:5"]),
        "stages.read.with.m.1": ("main.yaml:10", ["m main.yaml:5"]),
        "stages.read.to": ("main.yaml:11", []),
        "stages.read.nice": ("main.yaml:6", []),
    } == origins


def test_a_param_that_a_test_gives_another_value_stays_one(tmp_path: Path) -> None:
    (tmp_path / "h.py").write_text("def read(n, m): yield n\ndef eat(item): pass\n")
    path = tmp_path / "main.yaml"
    path.write_text(
        "name: m\nparams: {n: {default: 1}, m: {default: 2}}\nstages:\n"
        "  read: {run: 'h:read', with: {n: '${{ params.n }}', m: '${{ params.m }}'}, to: q}\n"
        "  eat: {run: 'h:eat', from: q}\n"
        "tests: {t: {params: {n: 5}, replace: {read: real, eat: collect}, expect: {outputs: {eat: [5]}}}}\n"
    )
    found = effect(path, params=("n=3",))

    assert {"n": "${{ params.n }}", "m": 2} == found.data["stages"]["read"]["with"]
    assert {"n": {"default": 3}} == found.data["params"]


def test_no_value_becomes_part_of_a_script(tmp_path: Path) -> None:
    path = tmp_path / "main.yaml"
    path.write_text(
        "name: m\nparams: {n: {default: $(id)}}\nstages: {a: {run: {command: 'echo ${{ params.n }}'}}}\n"
    )
    found = effect(path, params=("n=$(ls)",))

    assert {"command": "echo ${{ params.n }}"} == found.data["stages"]["a"]["run"]
    assert {"n": {"default": "$(ls)"}} == found.data["params"]
