"""Nobody waits behind a slow item while others have nothing to do: what its worker has not begun is taken back.

Also where that worker is killed at whatever it does then: each item is handled, and none but one in hand twice.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

import pytest

from runner.composition import run
from runner.events.report import Report
from runner.ledger import readers
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, RestartPolicy, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.testing.failpoints import HOOK, HOOK_VARIABLE, MARK_VARIABLE, VARIABLE

BAKERY = """
    import os, time
    from pathlib import Path
    from runner.testing.failpoints import reached

    NOTES = Path(__file__).with_name("notes.txt")

    def bake(count):
        yield from range(count)

    def note(item):
        with NOTES.open("a") as notes:
            notes.write(f"{item}\\\\n")

    class Eat:
        def __init__(self, count, tough):
            self.count, self.tough = count, tough
        def __call__(self, item):
            if item == self.tough:
                while len(set(NOTES.read_text().split()) - {str(item)}) < self.count - 1:
                    time.sleep(0.002)
                reached("alone")
            else:
                time.sleep(0.0005 * (1 + item % 3))
            note(item)

    def pass_on(item):
        time.sleep(0.0002 * (item % 5))
        return item
"""
COUNT = 120
TOUGH = 40
"""It takes until all the others are done."""
BOUND = 60.0
UNKNOWN = ("alone", "leaving", "left")
"""Where whoever has the tough item comes, and nobody else."""


def bake(
    folder: Path, *, eaters: int, tough: int | None = TOUGH, pipe: bool = False, maxsize: int = 1000
) -> tuple[Report, Counter[str]]:
    """Run it; return what became of it, and how often each item was handled."""
    (folder / "bakery.py").write_text(textwrap.dedent(BAKERY).replace("\\\\n", "\\n"), encoding="utf-8")
    (folder / "notes.txt").touch()
    names = tuple(f"eater-{number}" for number in range(1, eaters + 1))
    restart = RestartPolicy()
    stages = [
        StageSpec("baker", HandlerRef("python", "bakery:bake"), {"count": COUNT}, ("baker",), sends="q"),
        StageSpec(
            "eater",
            HandlerRef("python", "bakery:Eat"),
            {"count": COUNT, "tough": tough},
            names,
            receives="r" if pipe else "q",
            restart=restart,
        ),
    ]
    if pipe:
        cooks = ("cook-1", "cook-2", "cook-3")
        handler = HandlerRef("python", "bakery:pass_on")
        stages.append(StageSpec("cook", handler, {}, cooks, receives="q", sends="r", restart=restart))
    queues = tuple(QueueSpec(name, maxsize) for name in ("q", "r")[: 1 + pipe])
    spec = WorkflowSpec("bakery", folder / "w.yaml", tuple(stages), queues, "leased", Limits(timeout=BOUND))
    report = run(make_plan(spec))
    return report, Counter((folder / "notes.txt").read_text().split())


def each_once() -> Counter[str]:
    return Counter(str(item) for item in range(COUNT))


@pytest.mark.parametrize("eaters", [2, 3])
def test_an_item_that_takes_its_time_holds_up_none_of_those_behind_it(tmp_path: Path, eaters: int) -> None:
    report, eaten = bake(tmp_path, eaters=eaters)

    assert "done" == report.outcome, report.reason
    assert each_once() == eaten


@pytest.mark.parametrize("pipe", [False, True])
def test_however_often_items_are_taken_back_each_is_handled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: bool
) -> None:
    monkeypatch.setattr(readers, "PATIENCE", 0.0)

    report, eaten = bake(tmp_path, eaters=4, tough=None, pipe=pipe, maxsize=30)

    assert "done" == report.outcome, report.reason
    assert each_once() == eaten


@pytest.mark.slow
@pytest.mark.parametrize("action", ["SIGKILL", "SIGSEGV", "exit-3"])
@pytest.mark.parametrize(
    ("place", "nth"),
    [
        ("alone", 1),
        ("leaving", 1),
        ("left", 1),
        ("claimed", 2),
        ("claimed", 9),
        ("torn-8", 2),
        ("torn-half", 3),
        ("sending", 3),
        ("sent", 3),
    ],
)
def test_a_reader_that_is_killed_where_it_is_recalled_loses_nothing_and_repeats_one_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, nth: int, action: str
) -> None:
    monkeypatch.setattr(
        readers, "lease_size", lambda *_: 8
    )  # so that there is more behind whichever is in hand
    monkeypatch.setenv(HOOK_VARIABLE, HOOK)
    monkeypatch.setenv(VARIABLE, f"{place}:{action}:{nth}" + (":eater-1" if place not in UNKNOWN else ""))
    monkeypatch.setenv(MARK_VARIABLE, str(tmp_path / "struck"))

    report, eaten = bake(tmp_path, eaters=2)

    assert (tmp_path / "struck").exists(), "nothing was struck"
    assert "done" == report.outcome, report.reason
    assert set(each_once()) == set(eaten)
    assert sum(eaten.values()) <= COUNT + 1
