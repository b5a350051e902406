"""`needs` that can never be met, found by playing through which stages can start and end. Pure.

    fetch ──► pages ──► parse    with parse: {needs: fetch}, fetch waits for room in `pages`, parse for fetch

A stage starts when those it needs have ended. It ends when all that feed it have ended and, where its queue
is bounded, somebody takes from it. Whoever still waits when nothing moves any more would wait for ever.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, Diagnostic
from runner.spec.graph import LoopMap, find_loops
from runner.spec.model import StageSpec
from runner.spec.suggestions import did_you_mean, is_affordable


def check_needs(
    stages: Sequence[StageSpec], unbounded: Collection[str] = (), looped: Collection[str] = ()
) -> list[Diagnostic]:
    """Return the needs that name no stage, and those that would make their stage wait for ever."""
    if not any(stage.needs or stage.until for stage in stages):
        return []
    rehearsal = _Rehearsal({stage.name: stage for stage in stages}, unbounded, find_loops(stages, looped))
    rehearsal.play()
    return [*_unknown(stages), *_never_met(rehearsal)]


def _unknown(stages: Sequence[StageSpec]) -> Iterator[Diagnostic]:
    known = dict.fromkeys(stage.name for stage in stages)
    unknown = [(s, at, name) for s in stages for at, name in enumerate(s.needs) if name not in known]
    affordable = is_affordable(len(unknown), len(known))
    for stage, number, name in unknown:
        help_ = did_you_mean(name, [n for n in known if n != stage.name]) if affordable else None
        message = f"stage '{stage.name}' needs '{name}', and there is no such stage"
        yield Diagnostic(_place(stage, number), "unknown-stage", message, help=help_)
    for stage in stages:
        others = [name for name in known if name != stage.name]
        if stage.until is not None and stage.until not in others:
            message = f"stage '{stage.name}' ends with '{stage.until}', and there is no such other stage"
            help_ = did_you_mean(stage.until, others)
            yield Diagnostic(("stages", stage.name, "until"), "unknown-stage", message, help=help_)


def _place(stage: StageSpec, number: int) -> DataPath:
    """A single need may be written without a list; the path of `needs` itself finds it either way."""
    path = ("stages", stage.name, "needs")
    return path if len(stage.needs) == 1 else (*path, number)


@dataclass(slots=True)
class _Rehearsal:
    """Who has started and who has ended, as far as things can go."""

    stages: Mapping[str, StageSpec]
    unbounded: Collection[str]
    loops: LoopMap
    started: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    writers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    readers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    needed_by: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unmet: dict[str, int] = field(default_factory=dict)
    """How many of a stage's needs have not ended."""
    writing: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How many of a queue's writers have not ended."""
    rank: dict[str, int] = field(default_factory=dict)
    """The place of each stage in the file."""
    drained: set[str] = field(default_factory=set)
    """Queues that somebody takes from."""

    def play(self) -> None:
        """Start and end stages until nothing moves any more."""
        self._join_up()
        moves = deque(self.stages)
        while moves:
            name = moves.popleft()
            if name not in self.started and not self.unmet[name]:
                moves += self._start(name)
            if name in self.started and name not in self.ended and self._can_end(name):
                moves += self._end(name)

    def _join_up(self) -> None:
        for rank, (name, stage) in enumerate(self.stages.items()):
            self.rank[name] = rank
            needs = {need for need in stage.needs if need in self.stages}
            self.unmet[name] = len(needs)
            for need in needs:
                self.needed_by[need].append(name)
            for queue in self.loops.forward(stage):
                self.writers[queue].append(name)
                self.writing[queue] += 1
            if stage.receives is not None:
                self.readers[stage.receives].append(name)

    def _start(self, name: str) -> list[str]:
        """Start a stage; return those that this may set in motion."""
        self.started.add(name)
        queue = self.stages[name].receives
        if queue is None or queue in self.drained:
            return []
        self.drained.add(queue)
        return self.writers[queue]

    def _end(self, name: str) -> list[str]:
        self.ended.add(name)
        moved = self.needed_by[name]
        for waiting in moved:
            self.unmet[waiting] -= 1
        for queue in self.loops.forward(self.stages[name]):
            self.writing[queue] -= 1
            moved = moved if self.writing[queue] else [*moved, *self.readers[queue]]
        return moved

    def _can_end(self, name: str) -> bool:
        stage = self.stages[name]
        return not self.is_fed(stage) and not self.is_stuffed(stage)

    def is_fed(self, stage: StageSpec) -> bool:
        """Say whether more items may come. A daemonic consumer waits for them until the run ends."""
        endless = stage.daemon and not stage.targets
        return stage.receives is not None and (endless or self.writing[stage.receives] > 0)

    def is_stuffed(self, stage: StageSpec) -> bool:
        """Say whether it may have to wait for room that nobody makes."""
        return bool(self.stuffed(stage))

    def stuffed(self, stage: StageSpec) -> list[str]:
        """Name the bounded queues that it writes to and nobody takes from."""
        return [q for q in self.loops.forward(stage) if q not in self.unbounded and not self.has_taker(q)]

    def has_taker(self, queue: str) -> bool:
        """Say whether anybody takes from `queue`. That nobody ever would is reported by others."""
        return queue in self.drained or not self.readers[queue]


@dataclass(frozen=True, slots=True)
class _Blame:
    """Why a stage has not ended: whom it waits for (None if for the end of the run), in words."""

    on: str | None
    words: str
    is_need: bool = False


def _never_met(rehearsal: _Rehearsal) -> Iterator[Diagnostic]:
    """Follow the blame from each stage that never started; each circle and each endless wait is told once."""
    seen: set[str] = set()
    for name in rehearsal.stages:
        if name in rehearsal.started or name in seen:
            continue
        trail, end = _trail(rehearsal, name, seen)
        if end is None:
            names = _from_last_need(trail)
            seen -= set(names[1:])  # somebody else may need them just as much
            yield _never(rehearsal, names[0], trail, names)
        elif end in trail:  # it goes round: what led there only follows from it
            names = list(trail)
            circle = {n: trail[n] for n in names[names.index(end) :]}
            if any(blame.is_need for blame in circle.values()):  # one of queues only is found by others
                yield _circle(rehearsal, circle)


def _trail(rehearsal: _Rehearsal, name: str, seen: set[str]) -> tuple[dict[str, _Blame], str | None]:
    """Return who waits for whom from `name` on, and where that ends: at one seen before, or at nobody."""
    trail: dict[str, _Blame] = {}
    at: str | None = name
    while at is not None and at not in seen:
        seen.add(at)
        trail[at] = _blame(rehearsal, at)
        at = trail[at].on
    return trail, at


def _from_last_need(trail: Mapping[str, _Blame]) -> list[str]:
    names = list(trail)
    return names[max(number for number, name in enumerate(names) if trail[name].is_need) :]


def _blame(rehearsal: _Rehearsal, name: str) -> _Blame:
    stage = rehearsal.stages[name]
    if name not in rehearsal.started:
        needed = next(n for n in stage.needs if n in rehearsal.stages and n not in rehearsal.ended)
        return _Blame(needed, f"'{name}' needs '{needed}'", is_need=True)
    if stage.receives is not None and rehearsal.is_fed(stage):
        if stage.daemon and not stage.targets:
            return _Blame(None, f"'{name}' is daemonic and waits for items until the run ends")
        feeder = next(w for w in rehearsal.writers[stage.receives] if w not in rehearsal.ended)
        return _Blame(feeder, f"'{name}' ends after '{feeder}', which feeds it through '{stage.receives}'")
    queue = next(iter(rehearsal.stuffed(stage)), "")
    taker = rehearsal.readers[queue][0]
    return _Blame(taker, f"'{name}' may have to wait until '{taker}' makes room in '{queue}'")


def _circle(rehearsal: _Rehearsal, trail: Mapping[str, _Blame]) -> Diagnostic:
    waiting = [name for name in trail if trail[name].is_need]
    first = min(waiting, key=rehearsal.rank.__getitem__)
    names = list(trail)
    round_ = [*names[names.index(first) :], *names[: names.index(first)]]
    if len(round_) == 1:
        return _finding(rehearsal, first, trail, "needs-cycle", f"stage '{first}' needs itself", None)
    if len(waiting) == len(round_):
        message = f"stages need each other in a circle: {' -> '.join([*round_, first])}"
        return _finding(
            rehearsal, first, trail, "needs-cycle", message, "let one of them start without the next"
        )
    return _never(rehearsal, first, trail, round_)


def _never(
    rehearsal: _Rehearsal, first: str, trail: Mapping[str, _Blame], names: Sequence[str]
) -> Diagnostic:
    reasons = "; ".join(trail[name].words for name in names)
    help_ = "stages that a queue joins run at the same time: leave out `needs` here"
    return _finding(
        rehearsal, first, trail, "needs-never", f"stage '{first}' can never start: {reasons}", help_
    )


def _finding(
    rehearsal: _Rehearsal, name: str, trail: Mapping[str, _Blame], code: str, message: str, help_: str | None
) -> Diagnostic:
    stage = rehearsal.stages[name]
    place = _place(stage, stage.needs.index(trail[name].on or ""))
    return Diagnostic(place, code, message, help=help_)
