"""The supervisor replays histories: a transport that plays a script, and a clock that only the script moves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.errors import MprunInternalError, StartFailed
from runner.events.base import Event
from runner.events.bus import Bus
from runner.ipc.messages import Exited, Fact, Finished, HandlerFailed, ItemFailure, Logged, NotTheSame, Ready
from runner.ipc.status_page import Counters, Pulse, Sighting
from runner.ledger.accounts import Account
from runner.spec.failures import OnError
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec
from runner.store.dead_letters import DeadLetterStore
from runner.store.run_folder import RunFolder
from runner.supervisor import supervisor as module
from runner.supervisor.outcome import Cause
from runner.supervisor.shutdown import LOCK_LOST_GRACE, TERM_GRACE
from runner.supervisor.supervisor import Supervisor
from runner.transports.base import Spawned

TERM, KILL, INT = signal.SIGTERM, signal.SIGKILL, signal.SIGINT

Round = Sequence[Fact] | float | Callable[[], Sequence[Fact]]
"""What one wait brings: facts, or that many seconds in which nothing happens, or what a call returns."""


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The script's own time."""
        return self.now

    def time(self) -> float:
        """The same."""
        return self.now


class Script:
    """A transport that plays rounds, and notes what it is asked to do."""

    ends_when_settled = False
    tells_when_settled = False
    outlives_workers = False

    def __init__(self, clock: Clock, rounds: Sequence[Round]) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.accounts: dict[str, Account] = {}
        self.done = Counters()
        self.refused: str | None = None
        self.mismatch: str | None = None
        self.at_stake: Callable[[], list[str]] = list
        self._clock = clock
        self._rounds = list(rounds)
        self._pids = 100

    def start(self, workers: Sequence[Any]) -> Iterator[Spawned]:
        """Pids go up from 101."""
        for worker in workers:
            if worker.name == self.refused:
                raise StartFailed(f"worker '{worker.name}' could not be started: no more")
            self._pids += 1
            self.asked.append(("start", worker.name))
            yield Spawned(self._pids, 1)

    def moves(self) -> int:
        """Something has come in each round that is no silence."""
        return -len(self._rounds)

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Play the next round; time passes only as the script or the timeout says."""
        assert self._rounds, f"the script is over, and the supervisor waits on; it asked for {self.asked}"
        following = self._rounds[0]
        if isinstance(following, float):
            passed = min(timeout, following)
            self._clock.now += passed
            self._rounds[:1] = [following - passed] if passed < following else []
            return []
        del self._rounds[0]
        return following() if callable(following) else following

    def counters(self, worker: str) -> Counters:  # noqa: ARG002 - the transport's interface
        """The same for all."""
        return self.done

    def account(self, queue: str) -> Account:
        """An empty queue, unless the script says otherwise."""
        return self.accounts.get(queue, Account(queue, 10))

    def kept_state(self, _worker: str) -> bytes | None:
        return None

    def close_accounts(self) -> None:
        """Add up, unless the script says otherwise."""
        if self.mismatch is not None:
            raise MprunInternalError(self.mismatch)

    def items_at_stake(self, worker: str) -> list[str]:  # noqa: ARG002 - the transport's interface
        """What the script says."""
        return self.at_stake()

    def end_stream(self, queue: str, worker: str) -> None:  # noqa: ARG002 - the transport's interface
        """Note it."""
        self.asked.append(("end", worker))

    def stop_producing(self, worker: str) -> None:
        """Note it."""
        self.asked.append(("stop", worker))

    def dismiss(self, worker: str) -> None:
        """Note it."""
        self.asked.append(("close", worker))

    def signal(self, worker: str, number: signal.Signals, because: str = "") -> None:  # noqa: ARG002 - so too
        """Note it."""
        self.asked.append((number.name, worker))

    def sighting(self, worker: str) -> Sighting:  # noqa: ARG002 - the transport's interface
        """The same for all."""
        return Sighting(received=self.done.received, done=self.done.done, busy=self.done.busy)

    def pulse(self, worker: str) -> Pulse:  # noqa: ARG002 - the transport's interface
        """A heart that beats: nothing here stalls."""
        return Pulse(received=int(self._clock.now * 1000))

    def stopped(self) -> frozenset[str]:
        """Nobody."""
        return frozenset()

    def stacks(self, workers: Collection[str]) -> dict[str, str]:
        """One stack each."""
        return {worker: f"{worker} is here" for worker in workers}

    def abandon(self) -> None:
        """Note it."""
        self.asked.append(("abandon",))

    def close(self) -> None:
        """Hold nothing."""

    @property
    def signalled(self) -> list[tuple[Any, ...]]:
        """What was asked for but spawner."""
        return [each for each in self.asked if each[0] != "start"]


class Play:
    """A plan, its script, and all events of the run."""

    def __init__(self, clock: Clock, *stages: StageSpec, rounds: Sequence[Round], **limits: Any) -> None:
        names = dict.fromkeys(q for stage in stages for q in (stage.receives, stage.sends) if q)
        queues = tuple(QueueSpec(name) for name in names)
        self.plan: Plan = make_plan(
            WorkflowSpec("play", Path("play.yaml"), stages, queues, "joinable", Limits(**limits))
        )
        self.script = Script(clock, rounds)
        self.pending: list[signal.Signals] = []
        self.events: list[Event] = []
        self.registered: list[tuple[str, int]] = []

    def run(self) -> Cause | None:
        """Play it to the end."""
        bus = Bus("r", observers=[self])
        letters = DeadLetterStore(
            RunFolder("r", Path("home")), self.plan
        )  # makes no file before the first letter
        return Supervisor(self.plan, self.script, bus, self.take, letters, self).run()

    def interrupt(self, number: signal.Signals) -> Callable[[], Sequence[Fact]]:
        """A round in which a signal comes."""

        def come() -> Sequence[Fact]:
            self.pending.append(number)
            return []

        return come

    def settle(self, queue: str, facts: Sequence[Fact] = (), **counts: int) -> Callable[[], Sequence[Fact]]:
        """A round after which a queue's account is another."""

        def change() -> Sequence[Fact]:
            self.script.accounts[queue] = Account(queue, 10, **counts)
            return facts

        return change

    def take(self) -> Sequence[signal.Signals]:
        """The signals that came."""
        taken, self.pending = self.pending, []
        return taken

    def observe(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""

    def register(self, pid: int) -> None:
        """Keep the start of a worker."""
        self.registered.append(("registered", pid))

    def unregister(self, pid: int) -> None:
        """Keep the end of a worker."""
        self.registered.append(("reaped", pid))

    def names(self) -> list[str]:
        """The names of all events but snapshots."""
        return [event.kind for event in self.events if event.kind != "run.progress"]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The fields of the events of that name."""
        return [dict(vars(event)) for event in self.events if event.kind == name]


def stage(name: str, reads: str | None = None, puts: str | None = None, **more: Any) -> StageSpec:
    """A stage of one worker of the same name."""
    return StageSpec(
        name, HandlerRef("python", "kitchen:cook"), {}, (name,), receives=reads, sends=puts, **more
    )


CHEF, EATER = stage("chef", puts="q"), stage("eater", "q")


def ends(worker: str, pid: int) -> list[Fact]:
    """A worker's last words, and its death in order."""
    return [Finished(worker), Exited(worker, pid, 0)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that only scripts move."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    yield clock


def test_a_run_starts_its_readers_first_and_ends_them_last(clock: Clock) -> None:
    rounds = [[Ready("eater"), Ready("chef")], ends("chef", 102), ends("eater", 101)]
    play = Play(clock, CHEF, EATER, rounds=rounds)

    cause = play.run()

    assert cause is None
    assert [("start", "eater"), ("start", "chef"), ("end", "eater")] == play.script.asked
    assert [("registered", 101), ("registered", 102), ("reaped", 102), ("reaped", 101)] == play.registered
    assert [
        *("run.started", "worker.spawned", "worker.spawned", "worker.ready", "worker.ready"),
        *("worker.exited", "queue.joined", "stage.finished", "worker.exited", "stage.finished"),
        "run.finished",
    ] == play.names()


def test_a_reader_gets_the_end_only_when_nothing_waits_for_it(clock: Clock) -> None:
    play = Play(clock, CHEF, EATER, rounds=[])
    seen: list[list[tuple[Any, ...]]] = []

    def look() -> Sequence[Fact]:
        seen.append(play.script.signalled)
        return play.settle("q", put=2, done=2)()

    play.script.accounts["q"] = Account("q", 10, put=2, waiting=1, done=1)
    play.script._rounds += [ends("chef", 102), look, ends("eater", 101)]

    cause = play.run()

    assert (None, [[]], [("end", "eater")]) == (cause, seen, play.script.signalled)


def test_a_death_ends_the_run_and_is_its_root_cause(clock: Clock) -> None:
    rounds = [[Exited("eater", 101, -KILL)], ends("chef", 102)]
    play = Play(clock, CHEF, EATER, rounds=rounds)
    play.script.at_stake = lambda: ["'包子0'"]

    cause = play.run()

    assert cause is not None
    assert ("failed", 1) == (cause.outcome, cause.exit_code)
    assert "stage 'eater': worker 'eater' (pid 101) killed by SIGKILL; it held '包子0'" == cause.reason
    assert [("close", "chef")] == play.script.signalled
    assert ["died", "finished"] == [exited["outcome"] for exited in play.of("worker.exited")]
    assert ["the run has to end: failed"] == [closing["reason"] for closing in play.of("worker.closing")]


@pytest.mark.parametrize(
    ("death", "within"),
    [
        ([HandlerFailed("eater", "ValueError: bad"), Exited("eater", 101, 1)], 5.0 + TERM_GRACE),
        ([Exited("eater", 101, -KILL)], 2 * LOCK_LOST_GRACE),  # under `joinable`
    ],
)
def test_who_does_not_end_when_asked_is_killed_after_a_grace(
    clock: Clock, death: list[Fact], within: float
) -> None:
    play = Play(clock, CHEF, EATER, rounds=[death, within - 0.01, 0.02, [Exited("chef", 102, -KILL)]])
    began = clock.now

    cause = play.run()

    assert cause is not None
    assert [("close", "chef"), ("SIGTERM", "chef"), ("SIGKILL", "chef")] == play.script.signalled
    assert within <= clock.now - began <= within + 0.02


def test_a_worker_whose_handler_failed_is_left_to_close_it(clock: Clock) -> None:
    failed = ItemFailure("eater", "3", "ValueError: bad", "Traceback …")
    rounds = [[failed], [Exited("eater", 101, 1), *ends("chef", 102)]]
    play = Play(clock, CHEF, EATER, rounds=rounds)

    cause = play.run()

    assert cause is not None
    assert "stage 'eater': worker 'eater' failed on item 3: ValueError: bad" == cause.reason
    assert [("close", "chef")] == play.script.signalled
    assert [{"queue": "q", "count": 1, "reason": "ValueError: bad"}] == play.of("item.dropped")


def test_a_failed_handler_that_does_not_close_in_time_is_killed(clock: Clock) -> None:
    failed = ItemFailure("eater", "3", "ValueError: bad")
    rounds = [[failed], ends("chef", 102), 8.0, [Exited("eater", 101, -KILL)]]
    play = Play(clock, CHEF, EATER, rounds=rounds)

    play.run()

    asked = [("close", "chef"), ("end", "eater"), ("SIGTERM", "eater"), ("SIGKILL", "eater")]
    assert asked == play.script.signalled


def test_a_handler_that_can_not_be_built_is_the_root_cause(clock: Clock) -> None:
    words = HandlerFailed("chef", "ValueError: no flour", "Traceback …")
    rounds = [[words, Exited("chef", 102, 1)], [Exited("eater", 101, -TERM)]]
    play = Play(clock, CHEF, EATER, rounds=rounds)

    cause = play.run()

    assert cause is not None
    assert "stage 'chef': worker 'chef' (pid 102) ValueError: no flour" == cause.reason
    assert "Traceback …" == play.of("worker.exited")[0]["traceback"]


def test_a_producer_that_gives_something_else_than_before_ends_the_run_as_one_that_can_not_go_on(
    clock: Clock,
) -> None:
    words = NotTheSame("chef", "stage 'chef' gave something else at item 3 than before")
    rounds = [[words, Exited("chef", 102, 1)], ends("eater", 101)]
    play = Play(clock, CHEF, EATER, rounds=rounds)

    cause = play.run()

    assert cause is not None
    assert ("failed", 6, words.error) == (cause.outcome, cause.exit_code, cause.reason)
    assert ("close", "eater") in play.script.asked


def test_a_start_that_is_refused_ends_those_that_were_started(clock: Clock) -> None:
    rounds = [ends("eater", 101)]
    play = Play(clock, CHEF, EATER, stage("last", needs=("chef",)), rounds=rounds)
    play.script.refused = "chef"

    cause = play.run()

    assert cause is not None
    assert ("worker 'chef' could not be started: no more", 1) == (cause.reason, cause.exit_code)
    assert [("start", "eater"), ("close", "eater")] == play.script.asked[:2]
    assert ["eater"] == [finished["stage"] for finished in play.of("stage.finished")]


def test_a_signal_stops_producers_and_plain_stages_and_starts_nothing_more(clock: Clock) -> None:
    stages = (CHEF, EATER, stage("tidy"), stage("last", needs=("tidy",)))
    play = Play(clock, *stages, rounds=[])
    play.script._rounds += [
        play.interrupt(INT),
        [Exited("tidy", 102, -TERM), *ends("chef", 103)],
        ends("eater", 101),
    ]

    cause = play.run()

    assert cause is not None
    assert ("interrupted", 130, "SIGINT") == (cause.outcome, cause.exit_code, cause.signal)
    assert [("SIGTERM", "tidy"), ("stop", "chef"), ("end", "eater")] == play.script.signalled
    assert [["eater", "tidy", "chef"]] == [stopping["alive"] for stopping in play.of("run.stopping")]


def test_draining_that_takes_too_long_shows_the_stacks_and_escalates(clock: Clock) -> None:
    play = Play(clock, CHEF, EATER, rounds=[], stop_timeout=3.0)
    play.script._rounds += [
        play.interrupt(INT),
        ends("chef", 102),
        2.9,
        lambda: seen.extend(play.script.signalled) or [],
        10.0,
        [Exited("eater", 101, -KILL)],
    ]
    seen: list[tuple[Any, ...]] = []

    play.run()

    assert [("stop", "chef"), ("end", "eater")] == seen
    asked = [("close", "eater"), ("SIGTERM", "eater"), ("SIGKILL", "eater")]
    assert asked == play.script.signalled[2:]
    assert "eater is here" == play.of("worker.stacks")[0]["stacks"]


def test_when_the_time_to_stop_is_up_who_did_not_come_is_ended_and_readers_close(clock: Clock) -> None:
    play = Play(clock, CHEF, EATER, rounds=[], stop_timeout=3.0)
    play.script._rounds += [
        play.interrupt(INT),
        3.1,
        [Exited("chef", 102, -TERM), *ends("eater", 101)],
    ]

    cause = play.run()

    assert cause is not None
    assert 130 == cause.exit_code
    assert [("stop", "chef"), ("SIGTERM", "chef"), ("close", "eater")] == play.script.signalled
    assert ["stopped", "finished"] == [exited["outcome"] for exited in play.of("worker.exited")]
    assert "limits.stop_timeout, 3s, had passed" in play.of("worker.closing")[0]["reason"]


def test_a_second_signal_kills_at_once(clock: Clock) -> None:
    play = Play(clock, EATER, CHEF, rounds=[])
    gone = [Exited("chef", 102, -KILL), Exited("eater", 101, -KILL)]
    play.script._rounds += [play.interrupt(INT), play.interrupt(TERM), gone]

    cause = play.run()

    assert cause is not None
    assert (130, [("stop", "chef"), ("SIGKILL", "eater"), ("SIGKILL", "chef")]) == (
        cause.exit_code,
        play.script.signalled,
    )


def test_the_time_limit_lets_readers_and_producers_close(clock: Clock) -> None:
    closed = [*ends("chef", 102), *ends("eater", 101)]
    play = Play(clock, CHEF, EATER, rounds=[9.0, closed], timeout=9.0)

    cause = play.run()

    assert cause is not None
    assert ("timeout", 5) == (cause.outcome, cause.exit_code)
    assert {("close", "chef"), ("close", "eater")} == set(play.script.signalled)
    assert ["finished", "finished"] == [exited["outcome"] for exited in play.of("worker.exited")]


def test_the_time_limit_ends_the_run(clock: Clock) -> None:
    play = Play(clock, stage("tidy"), rounds=[9.0, [Exited("tidy", 101, -TERM)]], timeout=9.0)

    cause = play.run()

    assert cause is not None
    assert ("timeout", 5) == (cause.outcome, cause.exit_code)
    assert [("SIGTERM", "tidy")] == play.script.signalled


def test_daemonic_readers_are_stopped_once_their_queue_is_joined(clock: Clock) -> None:
    rounds = [ends("chef", 102), ends("eater", 101)]
    play = Play(clock, CHEF, stage("eater", "q", daemon=True), rounds=rounds)

    cause = play.run()

    assert (None, [("close", "eater")]) == (cause, play.script.signalled)
    gone = play.of("worker.exited")[1]
    assert ("finished", "daemonic, and nothing needs it any more") == (gone["outcome"], gone["reason"])


def test_a_daemonic_reader_that_does_not_close_is_ended_step_by_step(clock: Clock) -> None:
    rounds = [ends("chef", 102), 4.9, 10.2, [Exited("eater", 101, -KILL)]]
    play = Play(clock, CHEF, stage("eater", "q", daemon=True), rounds=rounds)

    cause = play.run()

    asked = [("close", "eater"), ("SIGTERM", "eater"), ("SIGKILL", "eater")]
    assert (None, asked) == (cause, play.script.signalled)


def test_a_daemonic_producer_ends_at_its_next_put(clock: Clock) -> None:
    stages = (stage("chef", puts="q", daemon=True), EATER, stage("tidy"))
    rounds = [ends("tidy", 102), ends("chef", 103), ends("eater", 101)]
    play = Play(clock, *stages, rounds=rounds)

    cause = play.run()

    assert (None, [("stop", "chef"), ("end", "eater")]) == (cause, play.script.signalled)


def test_a_daemonic_producer_that_makes_nothing_is_stopped_once_its_items_are_taken(clock: Clock) -> None:
    stages = (stage("chef", puts="q", daemon=True), EATER, stage("tidy"))
    play = Play(clock, *stages, rounds=[])
    play.script.accounts["q"] = Account("q", 10, put=1, waiting=1)
    seen: list[tuple[Any, ...]] = []
    play.script._rounds += [
        ends("tidy", 102),
        3.0,
        lambda: seen.extend(play.script.signalled) or play.settle("q", put=1, done=1)(),
        3.0,
        [Exited("chef", 103, -TERM)],
        ends("eater", 101),
    ]

    cause = play.run()

    assert (None, [("stop", "chef")]) == (cause, seen)
    assert [("stop", "chef"), ("SIGTERM", "chef"), ("end", "eater")] == play.script.signalled


def test_what_handlers_say_is_passed_on(clock: Clock) -> None:
    said = Logged("tidy", "warning", "dusty", {"corner": 3})
    play = Play(clock, stage("tidy"), rounds=[[said], ends("tidy", 101)])

    play.run()

    expected = {"worker": "tidy", "stage": "tidy", "pid": 101, "level": "warning", "message": "dusty"}
    assert [expected | {"fields": {"corner": 3}}] == play.of("worker.logged")


def test_snapshots_come_while_nothing_happens(clock: Clock) -> None:
    play = Play(clock, CHEF, EATER, rounds=[1.0, ends("chef", 102), ends("eater", 101)])
    play.script.done = Counters(received=2, done=2, busy=0.5)

    play.run()

    snapshots = play.of("run.progress")
    assert 4 == len(snapshots)  # the last of them at the very end
    (first, *_) = snapshots
    assert [("chef", 1, 1, 2), ("eater", 1, 1, 2)] == [
        (line["name"], line["workers"], line["alive"], line["received"]) for line in first["stages"]
    ]
    assert [("q", 10)] == [(queue["name"], queue["maxsize"]) for queue in first["queues"]]
    (rows,) = play.of("run.workers")  # nothing moves between two of them
    assert [("eater", 2), ("chef", 2)] == [(row["worker"], row["received"]) for row in rows["workers"]]


def test_items_that_nobody_finished_fail_the_run(clock: Clock) -> None:
    play = Play(clock, CHEF, EATER, rounds=[ends("eater", 101), ends("chef", 102)])
    play.script.accounts["q"] = Account("q", 10, put=3, waiting=2, done=1)

    cause = play.run()

    assert cause is not None
    assert (1, True) == (cause.exit_code, "queue 'q'" in cause.reason)


def test_failed_items_beyond_the_budget_fail_the_run(clock: Clock) -> None:
    failures = [
        ItemFailure("eater", str(number), "ValueError: bad", action=OnError.SKIP) for number in range(3)
    ]
    rounds = [failures, ends("chef", 102), ends("eater", 101)]
    play = Play(clock, CHEF, EATER, rounds=rounds, max_errors="2")

    cause = play.run()

    assert cause is not None
    assert (1, "3 items failed; limits.max_errors allows 2") == (cause.exit_code, cause.reason)


def test_a_ledger_that_does_not_add_up_is_our_bug(clock: Clock) -> None:
    play = Play(clock, stage("tidy"), rounds=[ends("tidy", 101)])
    play.script.mismatch = "2 put, 3 taken"

    cause = play.run()

    assert cause is not None
    assert ("internal", 70) == (cause.outcome, cause.exit_code)
    assert "2 put, 3 taken" in cause.reason


def test_a_bug_of_ours_ends_every_worker_and_waits_for_no_word_of_it(clock: Clock) -> None:
    def stumble() -> list[str]:
        raise MprunInternalError("our tables disagree")

    play = Play(clock, CHEF, EATER, stage("tidy"), rounds=[[Exited("eater", 101, -KILL)]])
    play.script.at_stake = stumble

    with pytest.raises(MprunInternalError, match="our tables disagree"):
        play.run()

    assert ("abandon",) == play.script.asked[-1]
