"""Where the boxes and lines of a graph of stages stand, producers on the left: for every way to paint it. Pure.

    groups of stages ──► layers of nodes ──► rows for nodes ──► rows for nets ──► Layout

A stage stands one layer to the right of those that feed it. A net is what one queue draws in the gutter
between two layers; where a queue skips a layer it goes through it in a lane.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from itertools import count, pairwise
from typing import TypeVar

from runner.facts import dataclass
from runner.spec.graph import Joined, LoopMap

Stage = TypeVar("Stage", bound=Joined)
"""A stage of a plan, or one that an event declares."""


@dataclass(slots=True, eq=False)
class Node:
    """A box, or a lane where `text` is None. `row` is its middle."""

    layer: int
    text: str | None
    row: int = 0

    @property
    def half(self) -> int:
        return 0 if self.text is None else 1


@dataclass(slots=True, eq=False)
class Net:
    """The lines of one queue in one gutter."""

    gutter: int
    label: str
    sources: list[Node] = field(default_factory=list)
    targets: list[Node] = field(default_factory=list)
    row: int = 0

    @property
    def splits(self) -> bool:
        return any(node.row != self.row for node in self.targets)

    @property
    def gathers(self) -> bool:
        return any(node.row != self.row for node in self.sources)


@dataclass(frozen=True, slots=True)
class Layout:
    """A group of stages, placed: nodes by layer and nets by the gutter to the right of a layer."""

    layers: list[list[Node]]
    gutters: dict[int, list[Net]]

    @property
    def first(self) -> int:
        """The number of the first layer."""
        return self.layers[0][0].layer


def groups(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Split the stages into those that queues join, directly or not, each in the order given; without plain ones."""
    home = {queue: queue for stage in stages for queue in _joined(stage)}

    def root(name: str) -> str:
        while home[name] != name:
            home[name] = name = home[home[name]]
        return name

    for stage in stages:
        for queue in _joined(stage)[1:]:
            home[root(queue)] = root(_joined(stage)[0])
    groups: dict[str, list[Stage]] = defaultdict(list)
    for stage in stages:
        if joined := _joined(stage):
            groups[root(joined[0])].append(stage)
    return list(groups.values())


def _joined(stage: Joined) -> list[str]:
    """Name the queues that a stage is at; that which it reads first."""
    return [*([] if stage.receives is None else [stage.receives]), *stage.writes]


def lay_out(
    stages: Sequence[Stage],
    label: Callable[[Stage], str],
    queue_label: Callable[[str], str],
    loops: LoopMap = LoopMap(),  # noqa: B008 - frozen
) -> Layout:
    """
    Place one of the `groups`, readers before those that write to them. What is written back is left out.

    The labels are what stands in the boxes, and on the nets.
    """
    nodes, nets = _connect(stages, label, queue_label, loops)
    layout = Layout(_layers(nodes), _by_gutter(nets))
    _place_nodes(layout.layers, nets)
    for gutter in layout.gutters.values():
        place_nets(gutter)
    return layout


def layer_of(
    stages: Sequence[Joined],
    loops: LoopMap = LoopMap(),  # noqa: B008 - frozen
) -> dict[str, int]:
    """Number the layer of each stage. A producer stands as near to its reader as it can."""
    reader_layer: dict[str, int] = defaultdict(lambda: 1)
    # Readers come first; backwards, every writer comes before its readers.
    for stage in reversed(stages):
        own = 0 if stage.receives is None else reader_layer[stage.receives]
        for queue in loops.forward(stage):
            reader_layer[queue] = max(reader_layer[queue], own + 1)
    return {
        s.name: reader_layer[s.receives] if s.receives else min(reader_layer[q] for q in s.writes) - 1
        for s in stages
    }


def _connect(
    stages: Sequence[Stage],
    label: Callable[[Stage], str],
    queue_label: Callable[[str], str],
    loops: LoopMap,
) -> tuple[list[Node], list[Net]]:
    layer = layer_of(stages, loops)
    boxes = {stage.name: Node(layer[stage.name], label(stage)) for stage in stages}
    writing, reading = ends(stages, loops)
    lanes: list[Node] = []
    nets: list[Net] = []
    for name in dict.fromkeys([*writing, *reading]):
        writers = [boxes[stage.name] for stage in writing[name]]
        readers = [boxes[stage.name] for stage in reading[name]]
        last = max(node.layer for node in writers) if writers else readers[0].layer - 1
        sources = [_lead(writer, last, lanes, nets) for writer in writers]
        nets.append(Net(last, queue_label(name), sources, readers))
    return [*boxes.values(), *lanes], nets


def ends(
    stages: Iterable[Stage],
    loops: LoopMap = LoopMap(),  # noqa: B008 - frozen
) -> tuple[dict[str, list[Stage]], dict[str, list[Stage]]]:
    """Return the stages that write to each queue, and those that read from it."""
    writing: dict[str, list[Stage]] = defaultdict(list)
    reading: dict[str, list[Stage]] = defaultdict(list)
    for stage in stages:
        for queue in loops.forward(stage):
            writing[queue].append(stage)
        if stage.receives is not None:
            reading[stage.receives].append(stage)
    return writing, reading


def _lead(writer: Node, last: int, lanes: list[Node], nets: list[Net]) -> Node:
    """Lead a line from `writer` through lanes to the layer `last`, and return what stands there."""
    node = writer
    for layer in range(writer.layer + 1, last + 1):
        lane = Node(layer, None)
        lanes.append(lane)
        nets.append(Net(layer - 1, "", [node], [lane]))
        node = lane
    return node


def _layers(nodes: Iterable[Node]) -> list[list[Node]]:
    found: dict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        found[node.layer].append(node)
    return [found[number] for number in range(min(found), max(found) + 1)]


def _by_gutter(nets: Iterable[Net]) -> dict[int, list[Net]]:
    found: dict[int, list[Net]] = defaultdict(list)
    for net in nets:
        found[net.gutter].append(net)
    return found


def _place_nodes(layers: Sequence[list[Node]], nets: Sequence[Net]) -> None:
    """Give each node a row near the middle of those that feed it, without overlaps."""
    feeders = {node: net.sources for net in nets for node in net.targets if net.sources}
    mates = {node: number for number, net in enumerate(nets) for node in net.sources}
    for layer in layers:
        layer.sort(key=lambda node: mates.get(node, -1))
        wishes = {node: _mean(feeders[node]) for node in layer if node in feeders}
        below = max(wishes.values(), default=-4.0)
        for extra, node in enumerate((n for n in layer if n not in feeders), 1):
            wishes[node] = below + 4 * extra
        layer.sort(key=wishes.__getitem__)
        _spread(layer, [wishes[node] for node in layer])


def _spread(layer: Sequence[Node], wishes: Sequence[float]) -> None:
    """Move nodes off each other, each as little as can be: blocks that collide share their mean."""
    offsets = [0]
    for above, node in pairwise(layer):
        offsets.append(offsets[-1] + above.half + node.half + 2)
    blocks: list[tuple[float, int]] = []
    for wish, offset in zip(wishes, offsets, strict=True):
        start, size = wish - offset, 1
        while blocks and blocks[-1][0] > start:
            before, count = blocks.pop()
            start, size = (before * count + start * size) / (count + size), count + size
        blocks.append((start, size))
    starts = [start for start, size in blocks for _ in range(size)]
    for node, start, offset in zip(layer, starts, offsets, strict=True):
        node.row = round(start) + offset


def _mean(nodes: Sequence[Node]) -> float:
    return sum(node.row for node in nodes) / len(nodes)


def place_nets(nets: Sequence[Net]) -> None:
    """Give each net of a gutter a row of its own, where no line of another one begins or ends."""
    owners: dict[int, set[Net]] = defaultdict(set)
    for net in nets:
        for node in (*net.sources, *net.targets):
            owners[node.row].add(net)
    for net in sorted(nets, key=lambda net: len(net.sources) + len(net.targets)):
        preferred = _preferred_row(net)
        outwards = (row for distance in count() for row in (preferred - distance, preferred + distance))
        net.row = next(row for row in outwards if owners.get(row, {net}) == {net})
        owners[net.row].add(net)


def _preferred_row(net: Net) -> int:
    if len(net.targets) == 1:
        return net.targets[0].row
    if len(net.sources) == 1:
        return net.sources[0].row
    return round(_mean([*net.sources, *net.targets]))
