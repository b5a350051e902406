"""Taps: where somebody looks, who gets leave to show items, and what is kept for whoever asks."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.ipc.messages import ItemShown
from runner.ipc.shown_items import Side
from runner.ipc.status_page import Pulse
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor.taps import KEPT, LEASE, MOST_TAPS, TappedWorker, TapPoint, Taps, leave_for, tap_point
from runner.supervisor.workers import WorkerTable


def stage(name: str, reads: str | None = None, to: str | None = None, count: int = 1) -> StageSpec:
    workers = tuple(f"{name}-{number}" for number in range(1, count + 1))
    return StageSpec(name, HandlerRef("python", f"h:{name}"), workers=workers, receives=reads, sends=to)


def plan(*stages: StageSpec, transport: str = "leased") -> Plan:
    names = dict.fromkeys(name for each in stages for name in (each.receives, each.sends) if name)
    queues = tuple(QueueSpec(name) for name in names)
    return make_plan(WorkflowSpec("shop", Path("shop.yaml"), stages, queues, transport=transport))


SHOP = plan(
    stage("lister", to="urls"),
    stage("fetcher", "urls", "pages", count=2),
    stage("pages", "pages", "rows"),
    stage("saver", "rows"),
    stage("cleaner"),
)


@pytest.mark.parametrize(
    ("of", "asked", "point"),
    [
        ("urls", None, TapPoint("queue", "urls", Side.TAKEN, ("fetcher",))),
        ("urls", "out", TapPoint("queue", "urls", Side.TAKEN, ("fetcher",))),
        ("urls", "in", TapPoint("queue", "urls", Side.MADE, ("lister",), "urls")),
        ("fetcher", None, TapPoint("stage", "fetcher", Side.MADE, ("fetcher",))),
        ("fetcher", "in", TapPoint("stage", "fetcher", Side.TAKEN, ("fetcher",))),
        ("saver", None, TapPoint("stage", "saver", Side.TAKEN, ("saver",))),
        ("lister", None, TapPoint("stage", "lister", Side.MADE, ("lister",))),
        ("queue:pages", None, TapPoint("queue", "pages", Side.TAKEN, ("pages",))),
        ("stage:pages", None, TapPoint("stage", "pages", Side.MADE, ("pages",))),
    ],
)
def test_a_name_says_where_to_look(of: str, asked: str | None, point: TapPoint) -> None:
    assert point == tap_point(SHOP, of, asked)


@pytest.mark.parametrize(
    ("of", "asked", "error"),
    [
        ("pages", None, "'pages' is a queue and a stage: say queue:pages or stage:pages"),
        ("url", None, "the run has no queue or stage 'url'; did you mean 'urls'?"),
        ("queue:row", None, "the run has no queue 'row'; did you mean 'rows'?"),
        ("stage:savr", None, "the run has no stage 'savr'; did you mean 'saver'?"),
        (
            "saver",
            "out",
            "stage 'saver' puts nothing on a queue; without --out what it takes is shown",
        ),
        ("lister", "in", "stage 'lister' reads no queue; without --in what it makes is shown"),
        ("cleaner", None, "stage 'cleaner' has no queue: nothing passes there"),
    ],
)
def test_where_nothing_can_be_seen_is_refused(of: str, asked: str | None, error: str) -> None:
    with pytest.raises(UsageError) as refused:
        tap_point(SHOP, of, asked)
    assert error == str(refused.value)


workers = st.lists(
    st.builds(TappedWorker, st.uuids().map(str), st.booleans(), st.integers(0, 5)),
    max_size=6,
    unique_by=lambda w: w.name,
)


@given(workers, st.integers(1, 20), st.integers(0, 50))
def test_leave_is_for_no_more_items_than_there_are_and_for_those_where_something_passes(
    them: list[TappedWorker], items: int, turn: int
) -> None:
    leave = leave_for(them, items, turn)

    assert sum(leave.values()) <= items
    assert all(more > 0 for more in leave.values())
    moving = {each.name for each in them if each.moved}
    assert not moving or set(leave) <= moving
    if all(each.unshown == 0 for each in them) and them:
        assert items == sum(leave.values())


def test_turns_come_to_everybody() -> None:
    them = [TappedWorker(name, True, 0) for name in "abc"]

    assert [{"a": 1}, {"b": 1}, {"c": 1}, {"a": 1}] == [leave_for(them, 1, turn) for turn in range(4)]


class Pages:
    """A transport, as far as taps use one."""

    def __init__(self) -> None:
        self.leave: dict[tuple[str, Side], int] = {}
        self.received: dict[str, int] = {}

    def pulse(self, worker: str) -> Pulse:
        return Pulse(received=self.received.get(worker, 0), sent=self.received.get(worker, 0))

    def let_show(self, worker: str, side: Side, count: int) -> None:
        self.leave[worker, side] = count

    def unshown(self, worker: str, side: Side) -> int:
        return self.leave.get((worker, side), 0)


class Run:
    """Taps at a run whose workers all live."""

    def __init__(self, of: Plan = SHOP, mask: Any = None) -> None:
        self.pages = Pages()
        table = WorkerTable(of)
        for each in table.all():
            each.started(1)
        transport: Any = self.pages
        self.taps = Taps(of, transport, table, mask)

    def ask(self, key: str = "k", **more: Any) -> dict[str, Any]:
        return self.taps.answer({"do": "tap", "key": key, "of": "urls", **more})

    def show(self, item: Any, worker: str = "fetcher-1", side: Side = Side.TAKEN) -> None:
        self.pages.leave[worker, side] = max(0, self.pages.leave.get((worker, side), 0) - 1)
        fields = {"at": 1.0, "item": item, "whole": True, "id": None, "queues": ["urls"]}
        self.taps.shown(ItemShown(worker, side, fields))

    def items(self, **more: Any) -> list[Any]:
        return [each["item"] for each in self.ask(**more)["items"]]


def test_what_a_worker_shows_is_fetched_once_by_each_who_looks_there() -> None:
    run = Run()
    run.ask("one")
    run.ask("two", of="fetcher", side="in")
    run.ask("elsewhere", of="rows")

    run.show(1)
    run.show(2, "fetcher-2")

    assert [1, 2] == run.items(key="one")
    assert [] == run.items(key="one")
    assert [1, 2] == run.items(key="two")
    assert [] == run.items(key="elsewhere")


def test_leave_for_a_tap_of_which_nothing_is_heard_is_withdrawn_and_given_again_when_it_is() -> None:
    run = Run()
    run.ask()
    run.show("kept", "fetcher-2")
    assert any(run.pages.leave.values())

    run.taps.advance(time.monotonic() + LEASE + 0.1)

    assert not any(run.pages.leave.values())
    assert ["kept"] == run.items()
    assert any(run.pages.leave.values())


def test_a_tap_of_which_nothing_is_heard_at_all_is_forgotten() -> None:
    run = Run()
    run.ask()
    run.show("lost")

    run.taps.advance(time.monotonic() + LEASE + 0.1)
    run.taps.advance(time.monotonic() + LEASE + KEPT + 0.2)

    assert float("inf") == run.taps.due
    assert [] == run.items()


def test_leave_stays_for_the_others_who_look_at_the_same() -> None:
    run = Run()
    run.ask("one")
    run.ask("two")

    run.ask("one", close=True)
    assert any(run.pages.leave.values())

    run.ask("two", close=True)
    assert not any(run.pages.leave.values())


def test_no_more_is_kept_in_a_period_than_was_asked_for() -> None:
    run = Run()
    run.ask(limit=3, per=60)

    for number in range(10):
        run.show(number)

    assert [0, 1, 2] == run.items()


def test_what_is_not_fetched_is_left_out_and_counted() -> None:
    run = Run()
    run.ask(limit=1000, per=60)

    for number in range(700):
        run.show(number)

    answer = run.ask()
    assert (200, 200) == (answer["left_out"], answer["items"][0]["item"])
    assert 0 == run.ask()["left_out"]


def test_an_answer_is_no_longer_than_its_reader_has_to_be_waited_for() -> None:
    run = Run()
    run.ask(limit=1000)
    for _ in range(60):
        run.show("x" * 4000)

    first, second = run.items(), run.items()

    assert 60 == len(first) + len(run.items()) + len(second)
    assert len(first) < 30


def test_how_many_pass_is_what_the_workers_have_counted() -> None:
    run = Run()
    assert 0 == run.ask()["passed"]

    run.pages.received = {"fetcher-1": 40, "fetcher-2": 2, "lister-1": 100}

    assert 42 == run.ask()["passed"]


def test_secrets_are_taken_out() -> None:
    run = Run(mask=lambda value: dict.fromkeys(value, "***"))
    run.ask()

    run.show({"password": "sesame"})

    assert [{"password": "***"}] == run.items()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"key": ""}, "a tap has a key of 1 to 64 characters, got ''"),
        ({"key": 3}, "a tap has a key of 1 to 64 characters, got 3"),
        ({"side": "up"}, "a tap looks at what goes in or out, got 'up'"),
        ({"limit": 0}, "a tap shows one item or more in its time, got 0"),
        ({"limit": True}, "a tap shows one item or more in its time, got True"),
        ({"limit": 2000}, "a tap shows at most 1,000 items a second, got 2,000 in 1.0s"),
        ({"per": 0}, "the time of a tap is 0.1s or more, got 0"),
        ({"per": "1s"}, "the time of a tap is 0.1s or more, got '1s'"),
    ],
)
def test_a_mistake_is_refused(request_: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError) as refused:
        Run().ask(**request_)
    assert error == str(refused.value)


def test_there_is_an_end_to_how_many_may_look() -> None:
    run = Run()
    for number in range(MOST_TAPS):
        run.ask(str(number))

    with pytest.raises(UsageError, match="32 taps are open"):
        run.ask("one too many")
    run.taps.advance(time.monotonic() + LEASE + 0.1)
    assert "items" in run.ask("one more, as others rest")


def test_a_run_of_jobs_shows_nothing() -> None:
    jobs: Any = ("test",)

    with pytest.raises(UsageError, match="this run has jobs, and no items pass; `mprun logs -f`"):
        Run(replace(SHOP, jobs=jobs)).ask()


def test_a_run_in_one_process_shows_nothing() -> None:
    with pytest.raises(UsageError, match="`inline` is one process"):
        Run(plan(stage("lister", to="urls"), stage("eater", "urls"), transport="inline")).ask()


@pytest.mark.parametrize(
    "odd",
    [
        {"queues": 3},
        {"queues": [3]},
        {"at": "now"},
        {"id": 3},
        {"whole": None},
        {"item": "x" * 60_000},
    ],
)
def test_what_no_worker_of_ours_would_say_is_not_heard(odd: dict[str, Any]) -> None:
    run = Run()
    run.ask()
    told = {"at": 1.0, "item": 1, "whole": True, "id": None, "queues": ["urls"], **odd}

    run.taps.shown(ItemShown("fetcher-1", Side.TAKEN, told))

    assert [] == run.items()
