"""Environment and folder of a worker are put on and taken off again, whatever was there before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from runner.composition import run
from runner.process.bootstrap import apply_environment
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import WorkerPlan, make_plan
from runner.spec.resources import QueueSpec


def plan_of(**keys: object) -> WorkerPlan:
    stage = StageSpec("s", HandlerRef("python", "kitchen:note"), workers=("s-1",))
    (worker,) = make_plan(WorkflowSpec("w", Path("w.yaml"), (stage,))).workers
    return replace(worker, **keys)  # type: ignore[arg-type]


def test_what_was_there_before_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "old")
    monkeypatch.delenv("NEW", raising=False)
    before = Path.cwd()

    saved = apply_environment(plan_of(env={"OLD": "other", "NEW": "新"}, cwd=str(tmp_path)))
    inside = (os.environ["OLD"], os.environ["NEW"], Path.cwd())
    saved.restore()

    assert ("other", "新", tmp_path) == inside
    assert ("old", None, before) == (os.environ["OLD"], os.environ.get("NEW"), Path.cwd())


def test_a_folder_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        apply_environment(plan_of(env={"NEVER": "1"}, cwd=str(tmp_path / "gone")))

    assert "NEVER" not in os.environ


def test_each_fiber_of_an_inline_run_has_its_own(tmp_path: Path) -> None:
    """Two stages take turns in one process, and neither sees the other's."""
    (tmp_path / "kitchen.py").write_text(
        "import os, pathlib\n"
        "def make():\n"
        "    for _ in range(2):\n"
        "        yield os.environ.get('WHO'), os.getcwd()\n"
        "def note(item, out):\n"
        "    with pathlib.Path(out).open('a') as file:\n"
        "        print(item, os.environ.get('WHO'), file=file)\n"
    )
    (tmp_path / "inside").mkdir()
    out = tmp_path / "out.txt"
    spec = WorkflowSpec(
        "w",
        tmp_path / "w.yaml",
        (
            StageSpec(
                "a",
                HandlerRef("python", "kitchen:make"),
                workers=("a",),
                sends="q",
                env={"WHO": "a"},
                cwd=tmp_path / "inside",
            ),
            StageSpec("b", HandlerRef("python", "kitchen:note"), {"out": str(out)}, ("b",), receives="q"),
        ),
        (),
        "inline",
        env={"WHO": "all"},
    )
    report = run(make_plan(replace(spec, queues=(QueueSpec("q"),))))

    assert (0, [f"{('a', str(tmp_path / 'inside'))} all"] * 2) == (
        report.exit_code,
        out.read_text().splitlines(),
    )
