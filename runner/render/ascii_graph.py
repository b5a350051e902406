"""A plan as boxes and lines for a terminal, producers on the left, as laid out by graph_layout.py. Pure.

    +---------+
    | chef ×2 |--+                 +-------------------+
    +---------+  |                 | eater ×2 (daemon) |
                 +-- steamer ≤10 --+ ...
    +---------+  |
    | cook ×1 |--+
    +---------+

Lines are plain ASCII: terminals set up for Chinese or Japanese draw box characters two cells wide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from runner.render.graph_layout import Layout, Net, groups, lay_out
from runner.spec.model import Role
from runner.spec.plan import Plan, StagePlan, queue_label, stage_label
from runner.text import cells, clusters, pad


def draw_ascii(plan: Plan) -> str:
    """Draw every group of stages that queues join, then the plain stages, then what waits for what."""
    labels = {queue.name: queue_label(queue) for queue in plan.queues}
    laid_out = [lay_out(group, stage_label, labels.__getitem__, plan.loops) for group in groups(plan.stages)]
    blocks = ["\n".join(_paint(layout).lines()) for layout in laid_out]
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
