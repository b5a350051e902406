"""Taps: whoever looks at some of the items that pass at a queue or a stage, as `mprun tap` does.

    {"do": "tap", "key": …, "of": "pages"} ──► TapPoint ──► Tap ── leave, a little at a time ──► workers' pages
              ◄── what was shown since, and how many passed ──┘ ◄────── ItemShown ────────────── workers

Each request is all that a tap is: it opens the tap of its key, or says that it is still wanted, and takes what has come
since the last one. So nobody is waited for: for whoever does not come back in time no worker shows anything more, and
what they do not fetch at all is left out.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

from runner.errors import UsageError
from runner.facts import dataclass
from runner.ipc.messages import ItemShown
from runner.ipc.shown_items import Side
from runner.spec.plan import Plan, StagePlan
from runner.spec.suggestions import did_you_mean
from runner.supervisor.workers import WorkerState, WorkerTable
from runner.text import clip, safe_repr
from runner.transports.base import Transport

LEASE = 1.5
"""Seconds for which a tap is kept open without a word of whoever opened it."""
KEPT = 20.0
"""Seconds for which what was shown to one is kept after that: who asks is perhaps only slow."""
MOST_TAPS = 32
MOST_A_SECOND = 1000
"""Items that may be asked for: each costs the supervisor about as much as an event does."""
SHORTEST = 0.1
"""Seconds of a period, at the least."""
_SLICES = 10
"""A period has so many: leave is given in each, so that what is shown is spread over it."""
_MOST_KEPT = 500
"""Items that wait to be fetched."""
_MOST_SENT = 96 * 1024
"""Bytes of items in one answer: what the socket takes at once, whether it is read or not."""
_MOST_KEY = 64
_LONGEST = 48 * 1024
"""Of one item, as JSON. What workers draw is shorter."""


@dataclass(frozen=True, slots=True)
class TapPoint:
    """Where somebody looks."""

    kind: str
    name: str
    side: Side
    stages: tuple[str, ...]
    """The stages whose workers take or make what is shown."""
    queue: str | None = None
    """Only what goes to this queue, where they make for several."""


@dataclass(frozen=True, slots=True)
class TapRate:
    """How many items are shown, in how many seconds."""

    limit: int = 10
    per: float = 1.0

    @property
    def slice_seconds(self) -> float:
        """How long it is until leave is given anew."""
        return self.per / min(self.limit, _SLICES)

    @property
    def slice_items(self) -> int:
        """For how many items."""
        return math.ceil(self.limit / min(self.limit, _SLICES))


class TappedWorker(NamedTuple):
    """What leave depends on."""

    name: str
    moved: bool
    """Whether anything has passed at it since leave was given last."""
    unshown: int
    """Items for which it has leave."""


def leave_for(workers: Sequence[TappedWorker], items: int, turn: int) -> dict[str, int]:
    """
    Share out leave to show so many items: by turns among those at which something passes, and if it does at none, among
    all. `turn` says who is first. Who has leave for its share gets no more.
    """
    at = turn % len(workers) if workers else 0
    in_turn = [*workers[at:], *workers[:at]]
    sharing = [each for each in in_turn if each.moved] or in_turn
    shares = {
        each.name: items // len(sharing) + (place < items % len(sharing))
        for place, each in enumerate(sharing)
    }
    return {each.name: shares[each.name] for each in sharing if each.unshown < shares[each.name]}


def tap_point(plan: Plan, of: str, asked: str | None) -> TapPoint:
    """
    Find what is meant by a name, `queue:NAME` or `stage:NAME`, and `asked`: in, out, or neither.

    Raises:
        UsageError: there is no such thing, or nothing passes there.
    """
    queues, stages = [queue.name for queue in plan.queues], [stage.name for stage in reversed(plan.stages)]
    prefix, _, rest = of.partition(":")
    as_queue, as_stage = of in queues, of in stages
    if as_queue and as_stage:
        raise UsageError(f"'{of}' is a queue and a stage: say queue:{of} or stage:{of}")
    if not (as_queue or as_stage) and prefix in ("queue", "stage"):
        known = queues if prefix == "queue" else stages
        if rest not in known:
            raise UsageError(f"the run has no {prefix} '{clip(rest, 80)}'; {did_you_mean(rest, known)}")
        of, as_queue = rest, prefix == "queue"
    elif not (as_queue or as_stage):
        known = list(dict.fromkeys([*queues, *stages]))
        raise UsageError(f"the run has no queue or stage '{clip(of, 80)}'; {did_you_mean(of, known)}")
    if as_queue:
        return _queue_point(plan, of, asked)
    return _stage_point(next(stage for stage in plan.stages if stage.name == of), asked)


def _queue_point(plan: Plan, name: str, asked: str | None) -> TapPoint:
    if asked == "in":
        writers = tuple(stage.name for stage in plan.stages if name in stage.targets)
        if not writers:
            raise UsageError(
                f"queue '{name}' gets failures alone, which no worker puts there; without --in what is taken of it "
                "is shown"
            )
        return TapPoint("queue", name, Side.MADE, writers, name)
    readers = tuple(stage.name for stage in plan.stages if stage.receives == name)
    return TapPoint("queue", name, Side.TAKEN, readers)


def _stage_point(stage: StagePlan, asked: str | None) -> TapPoint:
    name = stage.name
    if not stage.targets and stage.receives is None:
        raise UsageError(f"stage '{name}' has no queue: nothing passes there")
    if asked == "out" and not stage.targets:
        raise UsageError(f"stage '{name}' puts nothing on a queue; without --out what it takes is shown")
    if asked == "in" and stage.receives is None:
        raise UsageError(f"stage '{name}' reads no queue; without --in what it makes is shown")
    side = Side.MADE if asked == "out" or (asked is None and stage.targets) else Side.TAKEN
    return TapPoint("stage", name, side, (name,))


@dataclass(slots=True)
class Tap:
    """One that is open."""

    point: TapPoint
    rate: TapRate
    until: float
    """When it rests, unless it is asked for again."""
    period_ends: float
    due: float
    """When leave is given again."""
    rests: bool = False
    """Whether nobody has asked for it in time: no worker shows anything for its sake."""
    in_period: int = 0
    turn: int = 0
    left_out: int = 0
    """Items that were shown to it and not fetched in time, since it was told so last."""
    kept: deque[tuple[dict[str, Any], int]] = field(default_factory=deque)
    """Items to be fetched, each with its length as JSON."""
    seen: dict[str, int] = field(default_factory=dict)
    """How many had passed at each worker when leave was given last."""

    @property
    def next_due(self) -> float:
        """When something is to be done about it."""
        return self.until + KEPT if self.rests else min(self.due, self.until)

    def takes(self, stage: str, side: Side, queues: Iterable[str]) -> bool:
        """Whether an item that a worker of a stage has shown is one for this tap, by where it looks."""
        point = self.point
        return point.side is side and stage in point.stages and (point.queue is None or point.queue in queues)

    def add(self, shown: dict[str, Any], size: int) -> None:
        """Keep an item until it is fetched, unless the period has had its share."""
        if self.in_period >= self.rate.limit:
            return
        self.in_period += 1
        self.kept.append((shown, size))
        if len(self.kept) > _MOST_KEPT:
            self.kept.popleft()
            self.left_out += 1

    def fetch(self) -> list[dict[str, Any]]:
        """Return the oldest of what is kept, as much as one answer holds."""
        fetched: list[dict[str, Any]] = []
        room = _MOST_SENT
        while self.kept and (not fetched or self.kept[0][1] <= room):
            shown, size = self.kept.popleft()
            room -= size
            fetched.append(shown)
        return fetched


class Taps:
    """The taps of a run."""

    def __init__(
        self, plan: Plan, transport: Transport, workers: WorkerTable, mask: Callable[[Any], Any] | None = None
    ) -> None:
        """`mask` takes secrets out of what is shown."""
        self._plan = plan
        self._transport = transport
        self._workers = workers
        self._mask = mask
        self._taps: dict[str, Tap] = {}
        self.due = math.inf
        """When `advance` is to be called next, by the monotonic clock."""

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """
        Open a tap, or keep it open, and return what was shown to it since it was asked last.

        Raises:
            UsageError: that can't be.
        """
        key = request.get("key")
        if not isinstance(key, str) or not 0 < len(key) <= _MOST_KEY:
            raise UsageError(f"a tap has a key of 1 to {_MOST_KEY} characters, got {safe_repr(key)}")
        if request.get("close"):
            self._close(key)
            return {"closed": key}
        now = time.monotonic()
        tap = self._taps.get(key) or self._open(key, request, now)
        tap.until = now + LEASE
        if tap.rests:
            tap.rests = False
            self._give_leave(tap, now)
        self._schedule()
        left_out, tap.left_out = tap.left_out, 0
        point = tap.point
        return {
            "kind": point.kind,
            "name": point.name,
            "side": point.side,
            "stages": list(point.stages),
            "passed": self._total(point),
            "left_out": left_out,
            "items": tap.fetch(),
        }

    def shown(self, fact: ItemShown) -> None:
        """A worker has shown an item: keep it for all whom it is for."""
        stage, side, told = self._workers[fact.worker].plan.stage, Side(fact.side), _plausible(fact.fields)
        taking = [tap for tap in self._taps.values() if told and tap.takes(stage, side, told["queues"])]
        if not taking:
            return
        if self._mask is not None:
            told["item"] = self._mask(told["item"])
        shown = {**told, "worker": fact.worker, "stage": stage}
        size = len(json.dumps(shown))
        for tap in taking:
            tap.add(shown, size)

    def advance(self, now: float) -> None:
        """Give leave where it is time to, withdraw it from who has not come back, and forget those in the end."""
        if now < self.due:
            return
        for key, tap in list(self._taps.items()):
            if tap.rests and now >= tap.until + KEPT:
                del self._taps[key]
            elif not tap.rests and now >= tap.until:
                tap.rests = True
                self._withdraw(tap)
            elif not tap.rests and now >= tap.due:
                self._give_leave(tap, now)
        self._schedule()

    def _open(self, key: str, request: Mapping[str, Any], now: float) -> Tap:
        if self._plan.jobs:
            raise UsageError("this run has jobs, and no items pass; `mprun logs -f` shows what jobs print")
        if self._plan.transport == "inline":
            raise UsageError("a run under `inline` is one process that does nothing but its work")
        self._make_room()
        if len(self._taps) >= MOST_TAPS:
            raise UsageError(f"{MOST_TAPS} taps are open at this run, which is as many as there may be")
        asked = request.get("side")
        if asked not in (None, "in", "out"):
            raise UsageError(f"a tap looks at what goes in or out, got {safe_repr(asked)}")
        point = tap_point(self._plan, str(request.get("of")), asked)
        tap = Tap(point, _rate(request), now + LEASE, now, now)
        self._taps[key] = tap
        self._give_leave(tap, now)
        return tap

    def _give_leave(self, tap: Tap, now: float) -> None:
        point, rate = tap.point, tap.rate
        if now >= tap.period_ends:
            tap.in_period, tap.period_ends = 0, now + rate.per
        tap.due = now + rate.slice_seconds
        passed = self._passed(point)
        alive = [name for name in passed if self._workers[name].alive]
        workers = [
            TappedWorker(
                name, passed[name] > tap.seen.get(name, 0), self._transport.unshown(name, point.side)
            )
            for name in alive
        ]
        tap.seen = passed
        if tap.in_period >= rate.limit:
            return
        for name, more in leave_for(workers, rate.slice_items, tap.turn).items():
            self._transport.let_show(name, point.side, more)
        tap.turn += rate.slice_items

    def _total(self, point: TapPoint) -> int:
        """Count what has passed since the run began; at a queue that others are fed beside, its own books know."""
        if point.queue is not None:
            return self._transport.account(point.queue).put
        return sum(self._passed(point).values())

    def _passed(self, point: TapPoint) -> dict[str, int]:
        """Count what has passed at each worker, in all its generations."""
        return {
            each.plan.name: self._count(each, point.side)
            for each in self._workers.started()
            if each.plan.stage in point.stages
        }

    def _count(self, worker: WorkerState, side: Side) -> int:
        pulse = self._transport.pulse(worker.plan.name)
        if side is Side.TAKEN:
            return worker.earlier.received + pulse.received
        return worker.earlier.sent + pulse.sent

    def _close(self, key: str) -> None:
        """Forget a tap."""
        if (tap := self._taps.pop(key, None)) is not None:
            self._withdraw(tap)
            self._schedule()

    def _make_room(self) -> None:
        """Forget the one that has rested for longest, if that is needed to open another."""
        resting = [key for key, tap in self._taps.items() if tap.rests]
        if len(self._taps) >= MOST_TAPS and resting:
            del self._taps[min(resting, key=lambda key: self._taps[key].until)]

    def _withdraw(self, tap: Tap) -> None:
        """Have nobody show what this one alone wanted to see."""
        others = {
            (stage, other.point.side)
            for other in self._taps.values()
            if not other.rests and other is not tap
            for stage in other.point.stages
        }
        for worker in self._workers.alive():
            side, stage = tap.point.side, worker.plan.stage
            if stage in tap.point.stages and (stage, side) not in others:
                self._transport.let_show(worker.plan.name, side, 0)

    def _schedule(self) -> None:
        self.due = min((tap.next_due for tap in self._taps.values()), default=math.inf)


def _plausible(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a worker has told of an item, which is gossip; nothing where it makes no sense."""
    told = {key: fields.get(key) for key in ("at", "queues", "id", "item", "whole")}
    at, queues, item_id = told["at"], told["queues"], told["id"]
    fits = (
        isinstance(at, int | float)
        and isinstance(queues, list)
        and all(isinstance(each, str) for each in queues)
        and (item_id is None or isinstance(item_id, str))
        and isinstance(told["whole"], bool)
    )
    try:
        return told if fits and len(json.dumps(told)) <= _LONGEST else {}
    except RecursionError:  # nested as no worker draws
        return {}


def _rate(request: Mapping[str, Any]) -> TapRate:
    limit, per = request.get("limit", 10), request.get("per", 1.0)
    if type(limit) is not int or limit < 1:
        raise UsageError(f"a tap shows one item or more in its time, got {safe_repr(limit)}")
    if type(per) not in (int, float) or not SHORTEST <= per <= 1e9:
        raise UsageError(f"the time of a tap is {SHORTEST}s or more, got {safe_repr(per)}")
    if limit > MOST_A_SECOND * per:
        raise UsageError(f"a tap shows at most {MOST_A_SECOND:,} items a second, got {limit:,} in {per}s")
    return TapRate(limit, float(per))
