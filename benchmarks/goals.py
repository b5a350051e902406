"""What is read off a run, and what it is to reach.

runs of one length or two ──► Metric ──► a figure ──► Goal ──► Verdict
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contenders import LEASED
from measure import Reading

Run = tuple[int, Reading]
"""How many items a process carried, and what that took."""
Figures = Mapping[str, Mapping[str, float]]
"""By contender, then by the name of the metric."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured. `of` gets the runs of each length, short before long; None is not known."""

    name: str
    unit: str
    of: Callable[[Sequence[Run]], float | None]
    more_is_better: bool = False


def marginal(runs: Sequence[Run], quantity: Callable[[Reading], float]) -> float:
    """What each item takes of those that the longer run carries beyond the shorter one, in microseconds."""
    (few, short), (many, long) = runs
    return 1e6 * (quantity(long) - quantity(short)) / (many - few)


def _said(name: str, times: float = 1.0) -> Callable[[Sequence[Run]], float | None]:
    def find(runs: Sequence[Run]) -> float | None:
        found = runs[-1][1].said.get(name)
        return None if found is None else times * found

    return find


RATE = Metric("rate", "/s", lambda runs: runs[-1][0] / runs[-1][1].seconds, more_is_better=True)
SECONDS = Metric("time", "s", lambda runs: runs[-1][1].seconds)
CPU_EACH = Metric("CPU", "µs", lambda runs: 1e6 * runs[-1][1].cpu / runs[-1][0])
WALL_MORE = Metric("wall", "µs", lambda runs: marginal(runs, lambda reading: reading.seconds))
CPU_MORE = Metric("CPU", "µs", lambda runs: marginal(runs, lambda reading: reading.cpu))
P50 = Metric("p50", "µs", _said("p50"))
P99 = Metric("p99", "µs", _said("p99"))
RUN = Metric("run", "s", _said("run"))
STARVED = Metric("starved", "%", _said("starved", 100))
PEAK = Metric("peak", "MiB", lambda runs: runs[-1][1].peak / 2**20)
SHARED = Metric("shared", "MiB", lambda runs: runs[-1][1].shared / 2**20)
IDLE = Metric("CPU", "% of a core", lambda runs: 100 * runs[-1][1].idle_share)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, the figure that it was held to, and whether that is enough. No figure, no verdict."""

    goal: Goal
    figure: float | None
    reached: bool | None


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on what one contender takes, or, `against` others, on what it takes in times of the best of them."""

    metric: Metric
    bound: float
    against: tuple[str, ...] = ()
    at_least: bool = False
    """Whether it is to be so many times better. Else it may take so many times as much."""
    who: str = LEASED
    slack: float = 0.0
    """The share of the bound by which two runs of the same thing differ."""

    def verdict(self, figures: Figures) -> Verdict:
        """Hold it to what was measured."""
        figure = self._figure(figures)
        if figure is None:
            return Verdict(self, None, None)
        if self.at_least:
            return Verdict(self, figure, figure >= self.bound * (1 - self.slack))
        return Verdict(self, figure, figure <= self.bound * (1 + self.slack))

    def _figure(self, figures: Figures) -> float | None:
        own = figures.get(self.who, {}).get(self.metric.name)
        others = [figures.get(name, {}).get(self.metric.name) for name in self.against]
        if own is None or None in others:
            return None
        if not others:
            return own
        return better(self.metric, own, best(self.metric, others), invert=not self.at_least)


def best(metric: Metric, values: Sequence[float | None]) -> float:
    """The best of some figures of a metric."""
    known = [value for value in values if value is not None]
    return max(known) if metric.more_is_better else min(known)


def better(metric: Metric, own: float, base: float, *, invert: bool = False) -> float | None:
    """How many times better a figure is than another; inverted, how many times as much it takes."""
    if own <= 0 or base <= 0:
        return None  # a difference that noise has swallowed
    return own / base if metric.more_is_better != invert else base / own


def at_most(metric: Metric, bound: float, who: str = LEASED) -> Goal:
    """A figure that is not to be exceeded."""
    return Goal(metric, bound, who=who)


def times_better(metric: Metric, bound: float, than: str, who: str = LEASED) -> Goal:
    """So many times quicker than another."""
    return Goal(metric, bound, (than,), at_least=True, who=who)


def times_of(metric: Metric, bound: float, *others: str, who: str = LEASED, slack: float = 0.0) -> Goal:
    """So many times of what the best of others takes, at the most."""
    return Goal(metric, bound, others, who=who, slack=slack)
