"""Walks through graphs of names: what can be got to, how deep each stands, what goes round in a circle. Pure.

A graph is given by what stands before each of its nodes, as for `graphlib`, or by what comes after one. And that of a
workflow by who reads and who writes what: its `LoopMap` are queues that a later stage writes back to.

    seeds ──► links ──► fetch ──► pages ──► save          links: {loop: true}
                ▲         │
                └─────────┘  fetch lies behind links and writes to it: it writes back

What lies on a loop is over together: when nothing is on any of its queues, nobody holds an item of one, and whoever
fills it from outside has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol, TypeVar

from runner.facts import dataclass

Node = TypeVar("Node")


def reachable(first: Iterable[Node], following: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """Return all that one can get to from `first`, these included; `following` names what comes next after one."""
    found: set[Node] = set()
    todo = list(first)
    while todo:
        if (node := todo.pop()) not in found:
            found.add(node)
            todo += following(node)
    return found


def depths(before: Mapping[Node, Iterable[Node]]) -> dict[Node, int]:
    """Return how deep each node stands: one more than the deepest of those before it, from 1. Nothing may go round."""
    found: dict[Node, int] = {}
    for node in TopologicalSorter(before).static_order():
        found[node] = 1 + max((found[each] for each in before.get(node, ())), default=0)
    return found


def find_cycle(before: Mapping[Node, Iterable[Node]], rank: Mapping[Node, int]) -> list[Node]:
    """
    Return the nodes of one circle, each before the next, from the one of the lowest rank on; empty if there is none.

    Nodes without a rank are not what a circle begins with. What stands before a node and is none itself does not count.
    """
    known = {node: [each for each in others if each in before] for node, others in before.items()}
    try:
        TopologicalSorter(known).prepare()
    except CycleError as error:
        circle: list[Node] = error.args[1][:-1]
        start = circle.index(min((node for node in circle if node in rank), key=rank.__getitem__))
        return [*circle[start:], *circle[:start]]
    return []


class Joined(Protocol):
    """A stage, as far as it matters here."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def receives(self) -> str | None:
        """The queue that it reads."""

    @property
    def writes(self) -> tuple[str, ...]:
        """The queues that it writes to."""


@dataclass(frozen=True, slots=True)
class LoopMap:
    """What goes round in a workflow."""

    back: frozenset[tuple[str, str]] = frozenset()
    """The stages that write back, each with the queue that it writes back to."""
    groups: tuple[frozenset[str], ...] = ()
    """The queues that lie on a loop, for each; loops that touch are one."""

    def around(self, queue: str | None) -> frozenset[str]:
        """Return the queues that are on a loop with this one; none where it is on no loop."""
        return next((group for group in self.groups if queue in group), frozenset())

    def forward(self, stage: Joined) -> tuple[str, ...]:
        """Name the queues that a stage writes to, but for those that it writes back to."""
        return tuple(queue for queue in stage.writes if (stage.name, queue) not in self.back)


def find_loops(stages: Sequence[Joined], looped: Iterable[str]) -> LoopMap:
    """Find what goes round through the queues that are `looped`."""
    readers: dict[str, list[Joined]] = {}
    for stage in stages:
        if stage.receives is not None:
            readers.setdefault(stage.receives, []).append(stage)
    behind = {queue: _behind(queue, readers) for queue in {*readers, *looped}} if looped else {}
    back = {
        (stage.name, queue)
        for queue in looped
        for stage in stages
        if queue in stage.writes and stage.receives in behind[queue]
    }
    found: list[frozenset[str]] = []
    for queue in looped:
        group = frozenset(each for each in behind[queue] if queue in behind.get(each, ()))
        if group and group not in found and any(queue == to for _, to in back):
            found.append(group)
    return LoopMap(frozenset(back), tuple(found))


def _behind(queue: str, readers: Mapping[str, Sequence[Joined]]) -> set[str]:
    """Name the queues that items of this one can get to, itself included."""
    return reachable([queue], lambda name: [to for stage in readers.get(name, ()) for to in stage.writes])
