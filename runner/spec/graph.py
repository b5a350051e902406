"""Walks through graphs of names: what can be got to, how deep each stands, what goes round in a circle. Pure.

A graph is given by what stands before each of its nodes, as for `graphlib`, or by what comes after one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

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
