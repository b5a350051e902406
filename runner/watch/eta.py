"""When a run is done: how much of it is, from what its producers will make, and when the rest will be. Pure.

    total of a producer, or its source's size ──► whole ─┐
    puts and ends of each queue ──► passed, expected ────┴──► "84% of 400,000, done about 16:31 (in 9m)"

*Done* is the share of the producers' items that have left the run, in whichever way: dropped items and dead letters
have as well. Where a stage makes several of one, it has left when all of them have; where it makes fewer, each that
goes on stands for one. How long the rest will take is asked of each queue and producer: what it has still to let
through, by what went through in the last minute. The slowest says when, whoever started first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime

from runner.events.base import Event
from runner.events.run import (
    QueueCounts,
    RunProgress,
    RunStarted,
    StageCounts,
    StageDeclared,
    StageFinished,
)
from runner.facts import dataclass
from runner.units import rough_duration

LEAST_SHARE = 0.02
LEAST_SECONDS = 10.0
"""Before so much is done, and so long, nobody knows."""
RATE_MINUTE = 60.0
LEAST_PASSED = 10
"""Items that a rate is of; where fewer go through in a minute it is taken over longer."""
_SAMPLE_EVERY = 1.0
_MOST_SAMPLES = 240


@dataclass(frozen=True, slots=True)
class Eta:
    """What is known of the end of a run at one moment."""

    share: float
    """Of the producers' items, how many have left the run: from 0 to 1."""
    whole: int | None
    """How many these are; None where only the size of a source is known."""
    remaining: float | None
    """Seconds, as it looks; None where that can't be said: too little is done, or nothing moves."""
    at: float
    """When that was so, in seconds since the epoch."""

    @property
    def done_at(self) -> float | None:
        """When it is going to be done, in seconds since the epoch."""
        return None if self.remaining is None else self.at + self.remaining


@dataclass(frozen=True, slots=True)
class ItemFlow:
    """What goes where, by the event that began the run. A node is a producer, or a queue with those that read it."""

    producers: tuple[StageDeclared, ...]
    queues: tuple[str, ...]
    """In the order in which items come to them."""
    feeds: Mapping[str, tuple[str, ...]]
    """The nodes that put items on a queue, less those that put them back. A producer's is `*name`."""
    outs: Mapping[str, tuple[str, ...]]
    """The queues that a node puts items on, less those to which it puts them back."""
    looped: frozenset[str]
    """The queues to which items come back."""

    @classmethod
    def of(cls, stages: Sequence[StageDeclared]) -> ItemFlow:
        """Lay it out."""
        outs: dict[str, list[str]] = defaultdict(list)
        producers = tuple(stage for stage in stages if stage.get("from") is None and _targets(stage))
        for stage in stages:
            outs[_node(stage)] += [queue for queue in _targets(stage) if queue not in outs[_node(stage)]]
        order: list[str] = []
        for stage in producers:
            _visit(_node(stage), outs, order, set())
        ordered = [node for node in reversed(order) if node in {q for each in outs.values() for q in each}]
        places = {queue: place for place, queue in enumerate(ordered)}
        forward = {
            node: tuple(q for q in queues if q in places and places[q] > places.get(node, -1))
            for node, queues in outs.items()
        }
        feeds = {q: tuple(node for node, queues in forward.items() if q in queues) for q in ordered}
        looped = frozenset(q for node, queues in outs.items() for q in queues if q not in forward[node])
        return cls(producers, tuple(ordered), feeds, forward, looped)


def _targets(stage: StageDeclared) -> Sequence[str]:
    """Return the queues that a stage writes to; a history of an older mprun names the one that is alone."""
    return stage.get("targets") or [queue for queue in [stage.get("to")] if queue is not None]


def _node(stage: StageDeclared) -> str:
    receives = stage.get("from")
    return f"*{stage['name']}" if receives is None else receives


def _visit(node: str, outs: Mapping[str, Sequence[str]], order: list[str], seen: set[str]) -> None:
    """Put a node behind all that it leads to."""
    stack = [(node, iter(outs.get(node, ())))]
    while stack:
        at, rest = stack[-1]
        following = next((each for each in rest if each not in seen and each not in order), None)
        if following is None:
            stack.pop()
            if at not in order:
                order.append(at)
        else:
            seen.add(following)
            stack.append((following, iter(outs.get(following, ()))))


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What has gone through each node by one moment, and what will have at the end."""

    elapsed: float
    passed: Mapping[str, float]
    expected: Mapping[str, float]
    """Of the nodes of which that is known."""
    share: float
    whole: int | None


def reckon(flow: ItemFlow, snapshot: RunProgress, ended: Iterable[str] = ()) -> Reckoning | None:
    """Say how far a run is; None where nobody can know. `ended` are stages of which no worker is left."""
    stages = {stage["name"]: stage for stage in snapshot.stages}
    queues = {queue["name"]: queue for queue in snapshot.queues}
    over = frozenset(ended)
    made = {_node(each): _made(each, flow, stages, queues) for each in flow.producers}
    totals: dict[str, float] = {}
    for each in flow.producers:
        total = _total(each, made[_node(each)], stages.get(each["name"]), is_over=each["name"] in over)
        if total is None:
            return None
        totals[_node(each)] = total
    counting = [_node(each) for each in flow.producers if not each["daemon"]]
    whole = sum(totals[node] for node in counting)
    if not whole:
        return None
    passed = {**made, **{name: float(_left(queues[name])) for name in flow.queues if name in queues}}
    inside = _inside(flow, queues, passed)
    is_counted = all(
        each["daemon"] or each.get("total") is not None or each["name"] in over for each in flow.producers
    )
    return Reckoning(
        elapsed=snapshot.elapsed,
        passed=passed,
        expected=_expected(flow, queues, passed, totals),
        share=min(max((sum(made[node] for node in counting) - inside) / whole, 0.0), 1.0),
        whole=round(whole) if is_counted else None,
    )


def _left(queue: QueueCounts) -> int:
    return queue["put"] - _held(queue)


def _held(queue: QueueCounts) -> int:
    return queue.get("waiting", 0) + queue.get("leased", 0)


def _made(
    producer: StageDeclared,
    flow: ItemFlow,
    stages: Mapping[str, StageCounts],
    queues: Mapping[str, QueueCounts],
) -> float:
    """Say how many items a producer has made: by its queue where that is its alone, which counts over all runners."""
    node, targets = _node(producer), _targets(producer)
    is_alone = len(targets) == 1 and flow.feeds.get(targets[0]) == (node,)
    if is_alone and targets[0] in queues and targets[0] not in flow.looped:
        return float(queues[targets[0]]["put"])
    return float(stages[producer["name"]]["sent"]) if producer["name"] in stages else 0.0


def _total(producer: StageDeclared, made: float, now: StageCounts | None, *, is_over: bool) -> float | None:
    """Say how many items a producer will have made; what it has said of itself is only believed while it can be so."""
    if is_over or producer["daemon"]:
        return made
    declared = producer.get("total")
    if declared is not None and made <= declared:
        return float(declared)
    read, to_read = (None, None) if now is None else (now.get("read"), now.get("to_read"))
    if not read or not to_read:
        return None
    return made * max(to_read / read, 1.0)


def _inside(flow: ItemFlow, queues: Mapping[str, QueueCounts], passed: Mapping[str, float]) -> float:
    """Add up what is under way, in items of the producers whose end the run waits for."""
    weights = {_node(each): 0.0 if each["daemon"] else 1.0 for each in flow.producers}
    inside = 0.0
    for name in flow.queues:
        feeding = flow.feeds[name]
        came = sum(weights[node] * passed.get(node, 0.0) for node in feeding)
        beside = {queue for node in feeding for queue in flow.outs[node]}
        put = sum(queues[queue]["put"] for queue in beside if queue in queues)
        heaviest = max((weights[node] for node in feeding), default=1.0)
        weights[name] = min(heaviest, came / put) if put and came else heaviest
        if name in queues:
            inside += weights[name] * _held(queues[name])
    return inside


def _expected(
    flow: ItemFlow,
    queues: Mapping[str, QueueCounts],
    passed: Mapping[str, float],
    totals: Mapping[str, float],
) -> dict[str, float]:
    """Say what will go through each node: as many of each item of the one before as have come up to now."""
    expected = dict(totals)
    for name in flow.queues:
        feeding = flow.feeds[name]
        came = sum(passed.get(node, 0.0) for node in feeding)
        if came and name in queues and all(node in expected for node in feeding):
            expected[name] = queues[name]["put"] * sum(expected[node] for node in feeding) / came
    return expected


FindPrevious = Callable[[RunStarted], "tuple[float, float] | None"]
"""Finds the last run like one that begins: how long it took, and when it began."""


@dataclass(slots=True)
class EtaModel:
    """Says when a run is done: from its events, which may be those of any of its runners, in their order."""

    find_previous: FindPrevious | None = None
    """Asked once, where somebody waits for an end that can't be foretold."""
    _begun: RunStarted | None = None
    _elapsed: float = 0.0
    _previous: tuple[float, float] | None = None
    _flow: ItemFlow | None = None
    _ended: set[str] = field(default_factory=set)
    _now: Reckoning | None = None
    _at: float = 0.0
    _samples: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)
    """What had gone through at which moment."""

    def observe(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case RunStarted():
                self._flow = ItemFlow.of(event.stages) if event.jobs is None else None
                self._ended, self._now, self._samples = set(), None, []
                self._begun, self._elapsed = event, 0.0
            case StageFinished():
                self._ended.add(event.stage)
            case RunProgress():
                self._elapsed, self._at = event.elapsed, event.at
                if self._flow is not None:
                    self._now = reckon(self._flow, event, self._ended)
                    self._sample()

    def _sample(self) -> None:
        now = self._now
        if now is None or (self._samples and now.elapsed - self._samples[-1][0] < _SAMPLE_EVERY):
            return
        self._samples.append((now.elapsed, now.passed))
        if len(self._samples) > _MOST_SAMPLES:  # the older ones get ever further apart
            half = _MOST_SAMPLES // 2
            self._samples[:half] = self._samples[:half:2]

    def estimate(self) -> Eta | None:
        """Say what is known; None where there is nothing to go by."""
        now = self._now
        if now is None:
            return None
        is_early = now.share < LEAST_SHARE or now.elapsed < LEAST_SECONDS
        return Eta(now.share, now.whole, None if is_early else self._remaining(now), self._at)

    def line(self) -> str:
        """Say it as people read it, with what the past says where no more is known; nothing where nothing is."""
        eta = self.estimate()
        is_open = eta is None or eta.remaining is None
        if is_open and self._begun is not None and self._elapsed >= LEAST_SECONDS:
            self._previous = None if self.find_previous is None else self.find_previous(self._begun)
            self._begun = None
        return eta_line(eta, self._previous)

    def _remaining(self, now: Reckoning) -> float | None:
        waits = [
            self._wait(node, total - now.passed.get(node, 0.0), now) for node, total in now.expected.items()
        ]
        return None if None in waits else max((wait for wait in waits if wait is not None), default=None)

    def _wait(self, node: str, left: float, now: Reckoning) -> float | None:
        """Say how long what is `left` takes to go through a node; None where nothing goes through."""
        if left < 1:
            return 0.0
        passed = now.passed.get(node, 0.0)
        for elapsed, earlier in reversed(self._samples):
            through, seconds = passed - earlier.get(node, 0.0), now.elapsed - elapsed
            if seconds >= RATE_MINUTE and through >= LEAST_PASSED:
                return left * seconds / through
        if not self._samples:
            return None
        through = passed - self._samples[0][1].get(node, 0.0)
        return left * (now.elapsed - self._samples[0][0]) / through if through > 0 else None


def eta_line(eta: Eta | None, previous: tuple[float, float] | None = None) -> str:
    """
    Say when a run is done, as people read it; nothing where nothing is known.

    `previous` is how long the last run of the same workflow took that was done, and when it began.
    """
    parts = []
    if eta is not None:
        of = "" if eta.whole is None else f" of {eta.whole:,}"
        parts.append(f"{math.floor(eta.share * 100)}%{of}")
    if eta is not None and eta.remaining is not None and eta.done_at is not None:
        when = clock_time(eta.done_at, eta.at)
        parts.append(f"done about {when} (in {coarse_duration(eta.remaining)})")
    elif previous is not None:
        parts.append(f"took {rough_duration(previous[0])} on {_day(previous[1])}")
    return ", ".join(parts)


def clock_time(at: float, now: float) -> str:
    """Say when something is, by the clock on the wall; with its day where that is not today."""
    local, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%m-%d %H:%M}"


def coarse_duration(seconds: float) -> str:
    """Say how long something will take, no more exactly than it can be known: 40s, 9m, 1h05m."""
    if seconds < 60:
        return f"{math.ceil(seconds)}s"
    minutes = round(seconds / 60)
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%m-%d}"
