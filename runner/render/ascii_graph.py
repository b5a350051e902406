"""A plan as boxes and lines for a terminal, producers on the left: laid out first, then painted. Pure.

    +---------+
    | chef ×2 |--+                 +-------------------+
    +---------+  |                 | eater ×2 (daemon) |
                 +-- steamer ≤10 --+ ...
    +---------+  |
    | cook ×1 |--+
    +---------+

    group of stages ──► layers of nodes ──► rows for nodes ──► rows for nets ──► text

A stage stands one layer to the right of those that feed it. A net is what one queue draws in the gutter
between two layers; where a queue skips a layer it goes through it in a lane.

Lines are plain ASCII: terminals set up for Chinese or Japanese draw box characters two cells wide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import count, pairwise

from runner.facts import dataclass
from runner.spec.loops import LoopMap
from runner.spec.model import Role
from runner.spec.plan import Plan, QueuePlan, StagePlan, queue_label, stage_label
from runner.text import cells, clusters, pad


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


def groups(plan: Plan) -> list[list[StagePlan]]:
    """Split the stages into those that queues join, directly or not; each in the order of the plan."""
    home = {queue.name: queue.name for queue in plan.queues}

    def root(name: str) -> str:
        while home[name] != name:
            home[name] = name = home[home[name]]
        return name

    for stage in plan.stages:
        joined = [*([] if stage.receives is None else [stage.receives]), *stage.writes]
        for queue in joined[1:]:
            home[root(queue)] = root(joined[0])
    groups: dict[str, list[StagePlan]] = defaultdict(list)
    for stage in plan.stages:
        at = stage.receives or next(iter(stage.writes), None)
        if at is not None:
            groups[root(at)].append(stage)
    return list(groups.values())


def lay_out(
    stages: Sequence[StagePlan],
    queues: Mapping[str, QueuePlan],
    loops: LoopMap = LoopMap(),  # noqa: B008 - frozen
) -> Layout:
    """Place one of the `groups` of a plan whose `queues` are given by name. What is written back is left out."""
    nodes, nets = _connect(stages, queues, loops)
    layout = Layout(_layers(nodes), _by_gutter(nets))
    _place_nodes(layout.layers, nets)
    for gutter in layout.gutters.values():
        place_nets(gutter)
    return layout


def layer_of(
    stages: Sequence[StagePlan],
    loops: LoopMap = LoopMap(),  # noqa: B008 - frozen
) -> dict[str, int]:
    """Number the layer of each stage. A producer stands as near to its reader as it can."""
    reader_layer: dict[str, int] = defaultdict(lambda: 1)
    # The plan starts readers first; backwards, every writer comes before its readers.
    for stage in reversed(stages):
        own = 0 if stage.receives is None else reader_layer[stage.receives]
        for queue in loops.forward(stage):
            reader_layer[queue] = max(reader_layer[queue], own + 1)
    return {
        s.name: reader_layer[s.receives] if s.receives else min(reader_layer[q] for q in s.writes) - 1
        for s in stages
    }


def _connect(
    stages: Sequence[StagePlan], queues: Mapping[str, QueuePlan], loops: LoopMap
) -> tuple[list[Node], list[Net]]:
    layer = layer_of(stages, loops)
    boxes = {stage.name: Node(layer[stage.name], stage_label(stage)) for stage in stages}
    writing, reading = ends(stages, loops)
    lanes: list[Node] = []
    nets: list[Net] = []
    for name in dict.fromkeys([*writing, *reading]):
        writers = [boxes[stage.name] for stage in writing[name]]
        readers = [boxes[stage.name] for stage in reading[name]]
        last = max(node.layer for node in writers) if writers else readers[0].layer - 1
        sources = [_lead(writer, last, lanes, nets) for writer in writers]
        nets.append(Net(last, queue_label(queues[name]), sources, readers))
    return [*boxes.values(), *lanes], nets


def ends(
    stages: Iterable[StagePlan],
    loops: LoopMap = LoopMap(),  # noqa: B008 - frozen
) -> tuple[dict[str, list[StagePlan]], dict[str, list[StagePlan]]]:
    """Return the stages that write to each queue, and those that read from it."""
    writing: dict[str, list[StagePlan]] = defaultdict(list)
    reading: dict[str, list[StagePlan]] = defaultdict(list)
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


def draw_ascii(plan: Plan) -> str:
    """Draw every group of stages that queues join, then the plain stages, then what waits for what."""
    queues = {queue.name: queue for queue in plan.queues}
    blocks = ["\n".join(_paint(lay_out(group, queues, plan.loops)).lines()) for group in groups(plan)]
    blocks += [_box(stage) for stage in plan.stages if stage.role is Role.PLAIN]
    blocks += ["\n".join(_choices(plan)), "\n".join(_needs(plan))]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _choices(plan: Plan) -> Iterator[str]:
    for stage in plan.stages:
        ways = [(queue, stage.spec.label_to(queue)) for queue in stage.writes]
        if any(label for _, label in ways):
            told = ", ".join(f"{queue} ({label or 'all'})" for queue, label in ways)
            yield f"{stage.name} sends to {told}"
    for name, queue in sorted(plan.loops.back):
        yield f"{name} writes back to {queue}"


def _needs(plan: Plan) -> Iterator[str]:
    for stage in plan.stages:
        if stage.spec.needs:
            verb = "has" if len(stage.spec.needs) == 1 else "have"
            yield f"{stage.name} starts when {' and '.join(stage.spec.needs)} {verb} ended"


def _box(stage: StagePlan) -> str:
    canvas = _Canvas()
    label = stage_label(stage)
    _draw_box(canvas, 1, 0, cells(label), label)
    return "\n".join(canvas.lines())


class _Canvas:
    """Text by row and cell. A character of two cells leaves the second one empty."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, str]] = defaultdict(dict)

    def write(self, row: int, column: int, text: str) -> None:
        for cluster in clusters(text):
            width = cells(cluster)
            if width == 0:
                self._rows[row][column - 1] += cluster
                continue
            self._rows[row][column] = cluster
            self._rows[row].update({column + extra: "" for extra in range(1, width)})
            column += width

    def lines(self) -> Iterator[str]:
        for row in range(min(self._rows), max(self._rows) + 1):
            found = self._rows[row]
            yield "".join(found.get(c, " ") for c in range(max(found, default=-1) + 1)).rstrip()


def _paint(layout: Layout) -> _Canvas:
    canvas = _Canvas()
    left = 0
    for number, layer in enumerate(layout.layers, layout.first):
        inner = max([cells(node.text) for node in layer if node.text is not None], default=1)
        for node in layer:
            if node.text is None:
                canvas.write(node.row, left, "-" * (inner + 4))
            else:
                _draw_box(canvas, node.row, left, inner, node.text)
        left = _paint_gutter(canvas, left + inner + 4, layout.gutters.get(number, []))
    return canvas


def _draw_box(canvas: _Canvas, row: int, left: int, inner: int, text: str) -> None:
    edge = "+" + "-" * (inner + 2) + "+"
    canvas.write(row - 1, left, edge)
    canvas.write(row, left, f"| {pad(text, inner)} |")
    canvas.write(row + 1, left, edge)


def _paint_gutter(canvas: _Canvas, left: int, nets: Sequence[Net]) -> int:
    """Draw the nets of one gutter from column `left` on, and return where the next layer begins."""
    gather = {net: left + 2 + 3 * number for number, net in enumerate(n for n in nets if n.gathers)}
    label = left + 2 + 3 * len(gather)
    after = label + max([cells(net.label) + 3 for net in nets], default=0)
    split = {net: after + 1 + 3 * number for number, net in enumerate(n for n in nets if n.splits)}
    right = after + 3 * len(split) + 2
    for net in nets:
        _paint_horizontals(canvas, net, (left, gather.get(net, left), split.get(net, right), right))
    # Verticals come second: where two queues cross, the upright line runs through.
    for net, column in gather.items():
        _paint_vertical(canvas, column, [net.row, *(node.row for node in net.sources)])
    for net, column in split.items():
        _paint_vertical(canvas, column, [net.row, *(node.row for node in net.targets)])
    for net in nets:
        if net.label:
            canvas.write(net.row, label, f" {net.label} ")
    return right


def _paint_horizontals(canvas: _Canvas, net: Net, columns: tuple[int, int, int, int]) -> None:
    left, gather, split, right = columns
    for node in net.sources:
        canvas.write(node.row, left, "-" * (gather - left))
    canvas.write(net.row, gather, "-" * (split - gather))
    for node in net.targets:
        canvas.write(node.row, split, "-" * (right - split))
        if node.text is not None:
            canvas.write(node.row, right - 1, ">")


def _paint_vertical(canvas: _Canvas, column: int, rows: Sequence[int]) -> None:
    for row in range(min(rows), max(rows) + 1):
        canvas.write(row, column, "+" if row in rows else "|")
