"""The stages and queues of a watched run: what each has done, and what it does now. Pure.

    run.started · run.progress … ──► stage_now, queue_now ──► WatchedStage · WatchedQueue

What is *now* is taken over the last seconds; what is of the run as a whole counts from its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from runner.events.item_times import NO_TIMES, ItemTimes
from runner.events.run import QueueDeclared, QueueProgress, RunProgress, StageCounts, StageDeclared
from runner.facts import dataclass
from runner.watch.recent import RATE_WINDOW, Recent


class Shares(NamedTuple):
    """How the time of the workers of a stage, or of one worker, was spent: shares of it, 0 to 1."""

    busy: float = 0.0
    starved: float = 0.0
    blocked: float = 0.0

    @property
    def idle(self) -> float:
        """What is left: the birth of a process, what goes on between two items."""
        return max(0.0, 1.0 - self.busy - self.starved - self.blocked)


@dataclass(frozen=True, slots=True)
class WatchedStage:
    """One stage. `now` and `rate` are of the last seconds, `whole` and `mean_rate` of the run so far."""

    name: str
    role: str
    """producer, consumer, pipe or plain."""
    daemon: bool
    source: str | None
    """The queue that it reads."""
    targets: tuple[str, ...]
    """The queues that it writes."""
    workers: int
    """How many it has or will have."""
    alive: int
    counts: StageCounts
    """What its workers have counted up to the last snapshot."""
    rate: float
    """Items a second: sent by a producer, else done."""
    mean_rate: float
    now: Shares
    whole: Shares
    times: ItemTimes

    @property
    def is_producer(self) -> bool:
        """Whether it makes items, and takes none."""
        return self.role == "producer"

    @property
    def passed(self) -> int:
        """Items that it is done with: sent by a producer, else done."""
        return passed_by(self.counts, is_producer=self.is_producer)


@dataclass(frozen=True, slots=True)
class WatchedQueue:
    """One queue: its account as the ledger has it, and how full it is."""

    name: str
    maxsize: int | None
    max_bytes: int | None
    account: QueueProgress | None
    """None before the first snapshot."""
    writers: tuple[str, ...]
    """The stages that write it."""
    readers: tuple[str, ...]
    fill: float
    """0 to 1, of the bound that is nearer; 0 where it has none."""
    full_share: float
    """Of the run so far, the share in which it had no room."""
    put_rate: float
    """Items a second."""

    @property
    def size(self) -> int:
        """Items that wait in it."""
        return 0 if self.account is None else self.account["size"]


Snapshots = Recent[RunProgress]


def stages_now(
    declared: Sequence[StageDeclared], snapshots: Snapshots, times: Mapping[str, ItemTimes]
) -> tuple[WatchedStage, ...]:
    """Say what each stage does, in the order in which they were declared: the order in which data flows."""
    last, before = snapshots.last, snapshots.before(RATE_WINDOW)
    new = {} if last is None else {each["name"]: each for each in last.stages}
    old = {} if before is None else {each["name"]: each for each in before.what.stages}
    seconds = 0.0 if last is None or before is None else last.elapsed - before.what.elapsed
    elapsed = 0.0 if last is None else last.elapsed
    return tuple(
        _stage_now(stage, new.get(stage["name"]), old.get(stage["name"]), seconds, elapsed, times)
        for stage in declared
    )


def _stage_now(
    declared: StageDeclared,
    new: StageCounts | None,
    old: StageCounts | None,
    seconds: float,
    elapsed: float,
    times: Mapping[str, ItemTimes],
) -> WatchedStage:
    counts = new or nothing_counted(declared)
    is_producer = declared["role"] == "producer"
    passed = passed_by(counts, is_producer=is_producer)
    gained = passed - passed_by(old or counts, is_producer=is_producer)
    return WatchedStage(
        name=declared["name"],
        role=declared["role"],
        daemon=declared["daemon"],
        source=declared["from"],
        targets=tuple(declared["targets"]),
        workers=counts["workers"],
        alive=counts["alive"],
        counts=counts,
        rate=ratio(gained, seconds),
        mean_rate=ratio(passed, elapsed),
        now=shares_between(old or counts, counts, max(counts["alive"], 1) * seconds),
        whole=shares_between(None, counts, max(counts["workers"], 1) * elapsed),
        times=times.get(declared["name"], NO_TIMES),
    )


def passed_by(counts: StageCounts, *, is_producer: bool) -> int:
    """Return the items that a stage is done with."""
    return counts["sent"] if is_producer else counts["done"]


def nothing_counted(declared: StageDeclared) -> StageCounts:
    """Return the counts of a stage before the first snapshot."""
    return {
        "name": declared["name"],
        "workers": declared["workers"],
        "alive": 0,
        "received": 0,
        "sent": 0,
        "done": 0,
        "failed": 0,
        "retried": 0,
        "busy": 0.0,
        "starved": 0.0,
        "blocked": 0.0,
        "read": None,
        "to_read": None,
    }


def shares_between(old: StageCounts | None, new: StageCounts, worker_seconds: float) -> Shares:
    """Return how the time between two counts was spent, of which there were so many seconds over all workers."""

    def share(now: float, before: float) -> float:
        return min(max(ratio(now - before, worker_seconds), 0.0), 1.0)

    if old is None:
        return Shares(share(new["busy"], 0), share(new["starved"], 0), share(new["blocked"], 0))
    return Shares(
        share(new["busy"], old["busy"]),
        share(new["starved"], old["starved"]),
        share(new["blocked"], old["blocked"]),
    )


def queues_now(
    stages: Sequence[StageDeclared], queues: Sequence[QueueDeclared], snapshots: Snapshots
) -> tuple[WatchedQueue, ...]:
    """Say how it stands with each queue, in the order in which data comes to them."""
    last, before = snapshots.last, snapshots.before(RATE_WINDOW)
    new = {} if last is None else {each["name"]: each for each in last.queues}
    old = {} if before is None else {each["name"]: each for each in before.what.queues}
    seconds = 0.0 if last is None or before is None else last.elapsed - before.what.elapsed
    elapsed = 0.0 if last is None else last.elapsed
    written = dict.fromkeys(queue for stage in stages for queue in stage["targets"])
    places = {name: place for place, name in enumerate(written)}
    found = []
    for queue in sorted(queues, key=lambda each: places.get(each["name"], len(places))):
        name = queue["name"]
        account = new.get(name)
        put_before = old[name]["put"] if name in old else 0
        found.append(
            WatchedQueue(
                name=name,
                maxsize=queue["maxsize"],
                max_bytes=None if account is None else account["max_bytes"],
                account=account,
                writers=tuple(each["name"] for each in stages if name in each["targets"]),
                readers=tuple(each["name"] for each in stages if each["from"] == name),
                fill=fill_of(account),
                full_share=0.0 if account is None else min(ratio(account["full_seconds"], elapsed), 1.0),
                put_rate=0.0 if account is None else ratio(account["put"] - put_before, seconds),
            )
        )
    return tuple(found)


def fill_of(account: QueueProgress | None) -> float:
    """Return how full a queue is, by the bound that is nearer: that one holds its writers back."""
    if account is None:
        return 0.0
    by_items = ratio(account["size"], account["maxsize"] or 0)
    by_bytes = ratio(account["bytes"], account["max_bytes"] or 0)
    return min(max(by_items, by_bytes), 1.0)


def ratio(part: float, whole: float) -> float:
    """Return `part / whole`; 0 where there is no whole."""
    return part / whole if whole > 0 else 0.0
