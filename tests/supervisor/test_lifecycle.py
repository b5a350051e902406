"""Histories of runs, told to the lifecycle as facts: what it decides, when, and that each thing is decided once.

A history is a list of steps; each is a fact, the queues' accounts where they changed, and what follows from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.ledger.accounts import Account
from runner.spec.model import HandlerRef, Role, StageSpec, StartMode, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor.lifecycle import (
    Decision,
    EndStream,
    Lifecycle,
    MarkFinished,
    MarkJoined,
    QueueAbandoned,
    StartStage,
    StartWorker,
    StopDaemons,
)


def stage(
    name: str,
    receives: str | None = None,
    sends: str | None = None,
    *,
    count: int = 1,
    daemon: bool = False,
    until: str | None = None,
    needs: tuple[str, ...] = (),
    start: StartMode = StartMode.PARALLEL,
) -> StageSpec:
    return StageSpec(
        name,
        HandlerRef("python", "kitchen:work"),
        workers=tuple(f"{name}-{number}" for number in range(1, count + 1)),
        receives=receives,
        sends=sends,
        daemon=daemon,
        until=until,
        needs=needs,
        start=start,
    )


def plan_of(*stages: StageSpec) -> Plan:
    names = dict.fromkeys(n for s in stages for n in (s.sends, s.receives) if n is not None)
    queues = tuple(QueueSpec(name) for name in names)
    return make_plan(WorkflowSpec("kitchen", Path("kitchen.yaml"), stages, queues))


def stock(waiting: int = 0, leased: int = 0, done: int = 0) -> Account:
    return Account("q", 10, put=waiting + leased + done, waiting=waiting, leased=leased, done=done)


@dataclass(frozen=True)
class Step:
    """Something happened; `then` is decided, and whom it starts is alive before the next step."""

    then: tuple[Decision, ...] = ()
    ended: str = ""
    stocks: Mapping[str, Account] = field(default_factory=dict)


def replay(plan: Plan, steps: Iterable[Step]) -> list[tuple[Decision, ...]]:
    lifecycle = Lifecycle(plan, ends_when_settled=False)
    stocks = {queue.name: stock() for queue in plan.queues}
    decided = []
    for step in steps:
        for worker in step.ended.split():
            lifecycle.ended(worker)
        stocks.update(step.stocks)
        decided.append(tuple(lifecycle.decide(stocks.__getitem__)))
        starting = [decision.stage for decision in decided[-1] if isinstance(decision, StartStage)]
        in_turn = [decision.worker for decision in decided[-1] if isinstance(decision, StartWorker)]
        for worker in plan.workers:
            if worker.stage in starting or worker.name in in_turn:
                lifecycle.started(worker.name)
    return decided


NEEDS_WAIT_FOR_EVERY_WORKER = (
    plan_of(stage("wash", count=2), stage("cook", needs=("wash",)), stage("serve", needs=("wash", "cook"))),
    [
        Step((StartStage("wash"),)),
        Step((), ended="wash-1"),
        Step((StartStage("cook"), MarkFinished("wash")), ended="wash-2"),
        Step((StartStage("serve"), MarkFinished("cook")), ended="cook-1"),
        Step((MarkFinished("serve"),), ended="serve-1"),
    ],
)

A_SERIAL_STAGE_STARTS_THE_NEXT_WHEN_ONE_HAS_ENDED = (
    plan_of(stage("wash", count=3, start=StartMode.SERIAL), stage("cook", needs=("wash",))),
    [
        Step((StartWorker("wash-1"),)),
        Step(()),
        Step((StartWorker("wash-2"),), ended="wash-1"),
        Step((StartWorker("wash-3"),), ended="wash-2"),
        Step((StartStage("cook"), MarkFinished("wash")), ended="wash-3"),
        Step((MarkFinished("cook"),), ended="cook-1"),
    ],
)

A_QUEUE_STAYS_OPEN_WHILE_A_SERIAL_WRITER_IS_TO_COME = (
    plan_of(stage("chef", sends="q", count=2, start=StartMode.SERIAL), stage("eater", "q")),
    [
        Step((StartStage("eater"), StartWorker("chef-1"))),
        Step((StartWorker("chef-2"),), ended="chef-1"),
        Step((EndStream("q", "eater-1"), MarkJoined("q"), MarkFinished("chef")), ended="chef-2"),
        Step((MarkFinished("eater"),), ended="eater-1"),
    ],
)

A_SERIAL_DAEMON_THAT_NOBODY_NEEDS_STARTS_NO_NEXT = (
    plan_of(stage("wash"), stage("band", count=3, daemon=True, start=StartMode.SERIAL)),
    [
        Step((StartStage("wash"), StartWorker("band-1"))),
        Step((StartWorker("band-2"),), ended="band-1"),
        Step((MarkFinished("wash"), StopDaemons("band")), ended="wash-1"),
        Step((MarkFinished("band"),), ended="band-2"),
    ],
)

READERS_GET_ONE_END_EACH = (
    plan_of(stage("chef", sends="q", count=2), stage("eater", "q", count=2)),
    [
        Step((StartStage("eater"), StartStage("chef"))),
        Step((), stocks={"q": stock(done=1)}),
        Step((), ended="chef-1", stocks={"q": stock(done=2)}),
        Step((MarkFinished("chef"),), ended="chef-2", stocks={"q": stock(waiting=1, leased=1, done=2)}),
        Step((EndStream("q", "eater-1"), EndStream("q", "eater-2")), stocks={"q": stock(leased=2, done=2)}),
        Step((MarkJoined("q"),), stocks={"q": stock(done=4)}),
        Step((), ended="eater-2"),
        Step((MarkFinished("eater"),), ended="eater-1"),
    ],
)

A_LATE_READER_GETS_ITS_END = (
    plan_of(stage("chef", sends="q"), stage("guest"), stage("eater", "q", needs=("guest",))),
    [
        Step((StartStage("guest"), StartStage("chef"))),
        Step((MarkJoined("q"), MarkFinished("chef")), ended="chef-1"),
        Step((StartStage("eater"), MarkFinished("guest")), ended="guest-1"),
        Step((EndStream("q", "eater-1"),)),
        Step((MarkFinished("eater"),), ended="eater-1"),
    ],
)

DAEMONIC_CONSUMERS_ARE_STOPPED_ONCE_JOINED = (
    plan_of(stage("chef", sends="q"), stage("eater", "q", daemon=True)),
    [
        Step((StartStage("eater"), StartStage("chef"))),
        Step((), stocks={"q": stock(waiting=1)}),
        Step((MarkFinished("chef"),), ended="chef-1"),
        Step((), stocks={"q": stock(leased=1)}),
        Step((MarkJoined("q"), StopDaemons("eater")), stocks={"q": stock(done=1)}),
        Step((MarkFinished("eater"),), ended="eater-1"),
    ],
)

A_DAEMON_MAY_END_WITH_ONE_STAGE_WHILE_OTHERS_WORK = (
    plan_of(stage("p1", daemon=True, until="main"), stage("p2"), stage("main")),
    [
        Step((StartStage("p1"), StartStage("p2"), StartStage("main"))),
        Step((MarkFinished("main"), StopDaemons("p1")), ended="main-1"),
        Step((MarkFinished("p1"),), ended="p1-1"),
        Step((MarkFinished("p2"),), ended="p2-1"),
    ],
)

DAEMONS_STAY_WHILE_ANOTHER_STAGE_WORKS = (
    plan_of(stage("chef", sends="q"), stage("eater", "q", daemon=True), stage("band")),
    [
        Step((StartStage("eater"), StartStage("band"), StartStage("chef"))),
        Step((MarkJoined("q"), MarkFinished("chef")), ended="chef-1"),
        Step((MarkFinished("band"), StopDaemons("eater")), ended="band-1"),
        Step((MarkFinished("eater"),), ended="eater-1"),
    ],
)

A_DAEMONIC_PRODUCER_DOES_NOT_KEEP_ITS_READERS_ALIVE = (
    plan_of(stage("chef", sends="q"), stage("ticker", sends="q", daemon=True), stage("eater", "q")),
    [
        Step((StartStage("eater"), StartStage("chef"), StartStage("ticker"))),
        Step((), stocks={"q": stock(waiting=3)}),
        Step((MarkFinished("chef"), StopDaemons("ticker")), ended="chef-1"),
        Step((MarkFinished("ticker"),), ended="ticker-1"),
        Step((EndStream("q", "eater-1"), MarkJoined("q")), stocks={"q": stock(done=3)}),
        Step((MarkFinished("eater"),), ended="eater-1"),
    ],
)

A_DAEMONIC_PIPE_STAGE_ENDS_BY_ITS_STREAM = (
    plan_of(stage("chef", sends="q"), stage("wrap", "q", "r", daemon=True), stage("eater", "r")),
    [
        Step((StartStage("eater"), StartStage("wrap"), StartStage("chef"))),
        Step((), stocks={"q": stock(waiting=1)}),
        Step((MarkFinished("chef"),), ended="chef-1"),
        Step(
            (EndStream("q", "wrap-1"), MarkJoined("q")),
            stocks={"q": stock(done=1), "r": stock(waiting=1)},
        ),
        Step((), stocks={"r": stock(done=1)}),
        Step((EndStream("r", "eater-1"), MarkJoined("r"), MarkFinished("wrap")), ended="wrap-1"),
        Step((MarkFinished("eater"),), ended="eater-1"),
    ],
)

A_DAEMONIC_PIPE_STAGE_IS_STOPPED_ONLY_WHEN_ALL_IT_SENT_IS_DONE = (
    plan_of(stage("chef", sends="q"), stage("wrap", "q", "r", daemon=True), stage("eater", "r", daemon=True)),
    [
        Step((StartStage("eater"), StartStage("wrap"), StartStage("chef"))),
        Step(
            (EndStream("q", "wrap-1"), MarkJoined("q"), MarkFinished("chef")),
            ended="chef-1",
            stocks={"q": stock(done=1), "r": stock(waiting=1)},
        ),
        Step((StopDaemons("wrap"),), stocks={"r": stock(done=1)}),
        Step((MarkJoined("r"), MarkFinished("wrap"), StopDaemons("eater")), ended="wrap-1"),
        Step((MarkFinished("eater"),), ended="eater-1"),
    ],
)

READERS_THAT_LEAVE_ITEMS_ABANDON_THE_QUEUE = (
    plan_of(stage("chef", sends="q"), stage("eater", "q", count=2)),
    [
        Step((StartStage("eater"), StartStage("chef"))),
        Step((), ended="eater-1", stocks={"q": stock(waiting=1)}),
        Step((MarkFinished("eater"), QueueAbandoned("q")), ended="eater-2"),
    ],
)

READERS_THAT_LEAVE_NOTHING_MAY_GO_BEFORE_THE_WRITER = (
    plan_of(stage("chef", sends="q"), stage("eater", "q")),
    [
        Step((StartStage("eater"), StartStage("chef"))),
        Step((MarkFinished("eater"),), ended="eater-1", stocks={"q": stock(done=2)}),
        Step((MarkJoined("q"), MarkFinished("chef")), ended="chef-1"),
    ],
)

WHAT_IS_PUT_AFTER_THE_LAST_READER_ABANDONS_THE_QUEUE = (
    plan_of(stage("chef", sends="q"), stage("eater", "q")),
    [
        Step((StartStage("eater"), StartStage("chef"))),
        Step((MarkFinished("eater"),), ended="eater-1", stocks={"q": stock(done=2)}),
        Step((QueueAbandoned("q"),), stocks={"q": stock(waiting=1, done=2)}),
    ],
)

HISTORIES = {
    name: history
    for name, history in list(globals().items())
    if name.isupper() and isinstance(history, tuple)
}


@pytest.mark.parametrize(("plan", "steps"), HISTORIES.values(), ids=[name.lower() for name in HISTORIES])
def test_a_history_leads_to_its_decisions(plan: Plan, steps: list[Step]) -> None:
    decided = replay(plan, steps)

    assert [step.then for step in steps] == decided
    assert len(set().union(*decided)) == sum(map(len, decided)), "each thing is decided once"


@pytest.mark.parametrize("ends_when_settled", [False, True])
def test_an_end_waits_for_what_other_readers_hold_only_where_it_may_come_back(
    ends_when_settled: bool,
) -> None:
    plan = plan_of(stage("chef", sends="q"), stage("eater", "q", count=2))
    lifecycle = Lifecycle(plan, ends_when_settled=ends_when_settled)
    for worker in plan.workers:
        lifecycle.started(worker.name)
    lifecycle.decide(lambda _: stock())
    lifecycle.ended("chef-1")

    decisions = lifecycle.decide(lambda _: stock(leased=1))

    ends = [EndStream("q", "eater-1"), EndStream("q", "eater-2")]
    assert ([] if ends_when_settled else ends) == [d for d in decisions if isinstance(d, EndStream)]


def test_a_run_is_over_when_all_have_ended_and_none_is_to_come() -> None:
    lifecycle = Lifecycle(plan_of(stage("wash"), stage("cook", needs=("wash",))), ends_when_settled=False)
    history = [lifecycle.over]

    for worker in ("wash-1", "cook-1"):
        lifecycle.decide(lambda _: stock())
        lifecycle.started(worker)
        history.append(lifecycle.over)
        lifecycle.ended(worker)
        history.append(lifecycle.over)

    assert [False, False, False, False, True] == history


def test_what_is_cancelled_never_starts_and_no_end_of_it_is_announced() -> None:
    plan = plan_of(stage("wash"), stage("cook", sends="q", needs=("wash",)), stage("eater", "q"))
    lifecycle = Lifecycle(plan, ends_when_settled=False)
    lifecycle.decide(lambda _: stock())
    lifecycle.started("wash-1")
    lifecycle.started("eater-1")

    lifecycle.cancel_unstarted()
    lifecycle.ended("wash-1")
    decisions = lifecycle.decide(lambda _: stock())

    expected = [EndStream("q", "eater-1"), MarkJoined("q"), MarkFinished("wash")]
    assert expected == decisions


def test_the_books_must_be_looked_at_while_a_closed_queue_has_living_readers() -> None:
    plan = plan_of(stage("chef", sends="q"), stage("eater", "q"))
    lifecycle = Lifecycle(plan, ends_when_settled=False)
    lifecycle.decide(lambda _: stock())
    lifecycle.started("chef-1")
    lifecycle.started("eater-1")
    history = [lifecycle.only_joins_are_left]

    for worker in ("chef-1", "eater-1"):
        lifecycle.ended(worker)
        history.append(lifecycle.only_joins_are_left)

    assert [False, True, False] == history


def test_the_living_are_listed_in_start_order() -> None:
    plan = plan_of(stage("chef", sends="q", count=2), stage("eater", "q"))
    lifecycle = Lifecycle(plan, ends_when_settled=False)

    for worker in ("chef-2", "chef-1", "eater-1"):
        lifecycle.started(worker)

    assert ("eater-1", "chef-1", "chef-2") == lifecycle.alive


def looped(*stages: StageSpec) -> Plan:
    queues = (QueueSpec("links", loop=True), QueueSpec("pages"), QueueSpec("out"))
    return make_plan(WorkflowSpec("crawl", Path("crawl.yaml"), stages, queues))


CRAWL = looped(
    stage("seed", sends="links"),
    stage("fetch", "links", "pages"),
    stage("parse", "pages", "links", count=2),
)


@pytest.mark.parametrize(
    ("links", "pages", "ends"),
    [
        (stock(waiting=1), stock(), False),
        (stock(leased=1, done=2), stock(done=2), False),
        (stock(done=3), stock(leased=1, done=2), False),
        (stock(done=3), stock(done=3), True),
        (replace(stock(leased=1, done=2), held_back=True), stock(done=2), True),
    ],
)
def test_a_loop_is_over_when_nothing_is_on_any_of_its_queues_and_nobody_holds_an_item(
    links: Account, pages: Account, ends: bool
) -> None:
    lifecycle = Lifecycle(CRAWL, ends_when_settled=True)
    lifecycle.decide(lambda _: stock())
    for worker in ("seed-1", "fetch-1", "parse-1", "parse-2"):
        lifecycle.started(worker)
    before = lifecycle.decide(lambda _: stock())  # nothing has been put yet, and somebody may
    lifecycle.ended("seed-1")

    after = lifecycle.decide({"links": links, "pages": pages, "out": stock()}.__getitem__)

    told = [each for each in after if isinstance(each, EndStream)]
    assert [] == [each for each in before if isinstance(each, EndStream)]
    assert {"fetch-1", "parse-1", "parse-2"} == {each.worker for each in told} or not ends
    assert bool(told) == ends


def test_what_was_over_stays_so_though_a_reader_puts_a_last_word() -> None:
    lifecycle = Lifecycle(CRAWL, ends_when_settled=True)
    lifecycle.decide(lambda _: stock())
    for worker in ("fetch-1", "parse-1", "parse-2"):
        lifecycle.started(worker)
    lifecycle.decide(lambda _: stock())
    for worker in ("fetch-1", "parse-1", "parse-2"):
        lifecycle.ended(worker)

    assert QueueAbandoned("links") in lifecycle.decide(lambda _: stock(waiting=1))
    assert lifecycle.over


def test_readers_start_before_writers_also_where_one_writes_back() -> None:
    assert ["parse", "fetch", "seed"] == [stage.name for stage in CRAWL.stages]
    assert ["seed", "fetch", "parse"] == [stage.name for stage in CRAWL.flow]


def test_a_shard_that_lost_its_reader_before_the_end_is_abandoned_although_others_read_on() -> None:
    plan = plan_of(stage("chef", sends="q"), replace(stage("eater", receives="q", count=2), shard_by="id"))
    lifecycle = Lifecycle(plan, ends_when_settled=True)
    for worker in ("eater-1", "eater-2", "chef-1"):
        lifecycle.started(worker)

    lifecycle.ended("eater-1")
    settled = lifecycle.decide(lambda _: stock(done=3))
    unsettled = lifecycle.decide(lambda _: stock(waiting=1, done=3))

    assert QueueAbandoned("q") not in settled
    assert QueueAbandoned("q") in unsettled


def test_a_shards_reader_that_was_told_the_end_may_go_before_the_others() -> None:
    plan = plan_of(stage("chef", sends="q"), replace(stage("eater", receives="q", count=2), shard_by="id"))
    lifecycle = Lifecycle(plan, ends_when_settled=True)
    lifecycle.decide(lambda _: stock())
    for worker in ("eater-1", "eater-2", "chef-1"):
        lifecycle.started(worker)
    lifecycle.ended("chef-1")
    lifecycle.decide(lambda _: stock(done=3))

    lifecycle.ended("eater-1")

    assert QueueAbandoned("q") not in lifecycle.decide(lambda _: stock(leased=1, done=2))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Topologies without cycles: a stage reads a queue that stages before it write, and every queue is read."""
    stages: list[StageSpec] = []
    levels: dict[str, int] = {}
    for number in range(draw(st.integers(1, 5))):
        receives = draw(st.sampled_from([None, *levels]))
        level = levels[receives] + 1 if receives else 0
        sends = draw(st.sampled_from([None, f"q{level}", f"r{level}"]))
        if sends is not None:
            levels[sends] = level
        stages.append(draw(drawn_stage(f"s{number}", receives, sends, stages)))
    unread = sorted(levels.keys() - {s.receives for s in stages})
    return plan_of(*stages, *(draw(drawn_stage(f"{name}-reader", name, None, stages)) for name in unread))


@st.composite
def drawn_stage(
    draw: st.DrawFn, name: str, receives: str | None, sends: str | None, before: list[StageSpec]
) -> StageSpec:
    serial = receives is None and draw(st.booleans())
    # To need a stage with queues may be a deadlock, which is found before a run; and a daemon may never end.
    needed = [s.name for s in before if s.role is Role.PLAIN and not s.daemon]
    needs = draw(st.lists(st.sampled_from(needed), max_size=2, unique=True)) if needed else []
    count, daemon = draw(st.integers(1, 3)), draw(st.booleans())
    start = StartMode.SERIAL if serial else StartMode.PARALLEL
    return stage(name, receives, sends, count=count, daemon=daemon, needs=tuple(needs), start=start)


class World:
    """Workers and queues as the lifecycle can see them: who lives, who was told what, what lies in each queue."""

    def __init__(self, plan: Plan, *, ends_when_settled: bool) -> None:
        self.plan = plan
        self.lifecycle = Lifecycle(plan, ends_when_settled=ends_when_settled)
        self.alive: dict[str, bool] = {}
        self.told_end: set[str] = set()
        self.stocks = {queue.name: {"waiting": 0, "leased": 0, "done": 0} for queue in plan.queues}
        self.abandoned = False

    def account(self, queue: str) -> Account:
        return stock(**self.stocks[queue])

    def obey(self) -> None:
        while decisions := self.lifecycle.decide(self.account):
            for decision in decisions:
                self._carry_out(decision)

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case StartStage(name):
                for worker in self._workers(name):
                    self._start(worker)
            case StartWorker(worker):
                name = next(w.stage for w in self.plan.workers if w.name == worker)
                assert not any(self.alive.get(other) for other in self._workers(name)), "one after the other"
                self._start(worker)
            case EndStream(queue, worker):
                self._check_end(queue, worker)
                self.told_end.add(worker)
            case StopDaemons(name):
                assert next(s for s in self.plan.stages if s.name == name).spec.daemon
                for worker in self._workers(name):
                    self.alive.setdefault(worker, False)  # one that has not had its turn never will
                    self.end(worker)
            case MarkJoined(queue):
                assert self.account(queue).settled
            case QueueAbandoned():
                self.abandoned = True
            case MarkFinished(name):
                assert not any(self.alive.get(worker) for worker in self._workers(name))

    def _start(self, worker: str) -> None:
        assert worker not in self.alive, "a worker starts once"
        self.alive[worker] = True
        self.lifecycle.started(worker)

    def _check_end(self, queue: str, worker: str) -> None:
        plan = next(q for q in self.plan.queues if q.name == queue)
        assert worker in plan.readers
        assert worker not in self.told_end, "a reader is told once"
        assert self.stocks[queue]["waiting"] == 0
        assert not any(self.alive.get(writer, True) for writer in plan.writers), (
            "writers come to their end first"
        )

    def end(self, worker: str) -> None:
        if self.alive[worker]:
            self.alive[worker] = False
            self.lifecycle.ended(worker)

    def movable(self) -> list[str]:
        """Those whose next step is theirs to take: all but readers with nothing to read and no end."""
        return [w.name for w in self.plan.workers if self.alive.get(w.name) and self._can_move(w.name)]

    def step(self, worker: str, *, stay: bool) -> None:
        """A worker works on: it takes and finishes an item, or makes one, or ends."""
        plan = next(w for w in self.plan.workers if w.name == worker)
        if plan.receives is not None and self.stocks[plan.receives]["waiting"]:
            inbox = self.stocks[plan.receives]
            inbox["waiting"] -= 1
            inbox["done"] += 1
        elif not stay or plan.receives is not None:
            self.end(worker)
            return
        if plan.sends is not None:
            self.stocks[plan.sends]["waiting"] += 1

    def _can_move(self, worker: str) -> bool:
        plan = next(w for w in self.plan.workers if w.name == worker)
        return plan.receives is None or bool(self.stocks[plan.receives]["waiting"]) or worker in self.told_end

    def _workers(self, name: str) -> list[str]:
        return [w.name for w in self.plan.workers if w.stage == name]


@settings(deadline=None)
@given(plan=plans(), ends_when_settled=st.booleans(), data=st.data())
def test_every_run_comes_to_its_end_and_no_stream_ends_before_its_writers(
    plan: Plan, ends_when_settled: bool, data: st.DataObject
) -> None:
    """
    Producers end when they like, readers work until they are told; daemons of any role may be among them. The run
    is over after finitely many steps, with every queue joined.
    """
    world = World(plan, ends_when_settled=ends_when_settled)
    world.obey()
    for turn in range(1000):
        movable = world.movable()
        if not movable:
            break
        worker = data.draw(st.sampled_from(movable))
        world.step(worker, stay=turn < 12 and data.draw(st.booleans()))
        world.obey()

    assert world.lifecycle.over, f"{world.lifecycle.alive} live on"
    assert not world.abandoned
    assert all(world.account(queue.name).settled for queue in plan.queues)


@settings(deadline=None)
@given(plan=plans(), data=st.data())
def test_readers_that_leave_early_end_the_run_or_have_their_queue_abandoned(
    plan: Plan, data: st.DataObject
) -> None:
    """
    Whoever ends, at any time: the run comes to its end, and if an item is left over, its queue was called abandoned.
    """
    world = World(plan, ends_when_settled=False)
    world.obey()
    for _ in range(12):
        if not (living := world.lifecycle.alive):
            break
        worker = data.draw(st.sampled_from(sorted(living)))
        if worker in world.movable() and data.draw(st.booleans()):
            world.step(worker, stay=True)
        else:
            world.end(worker)
        world.obey()
    while world.lifecycle.alive:
        world.end(world.lifecycle.alive[0])
        world.obey()

    assert world.lifecycle.over
    left = [q.name for q in plan.queues if not world.account(q.name).settled]
    assert world.abandoned or not left


def test_the_topologies_have_every_role() -> None:
    """The properties above would prove little of stages that are never drawn."""
    roles: set[tuple[Role, bool]] = set()

    @given(plans())
    def collect(plan: Plan) -> None:
        roles.update((s.role, s.spec.daemon) for s in plan.stages)

    collect()

    assert {(role, daemon) for role in Role for daemon in (False, True)} == roles
