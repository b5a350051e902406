"""The graph of a run: its stages as boxes, its queues as the lines between them, with what went through them. Pure.

what run.started declares ──► FlowStage ──► graph_layout ──► boxes at pixels, curves between them
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.render.graph_layout import Layout, Net, Node, groups, lay_out
from runner.render.page.flow_facts import FlowBox, FlowEdge, FlowFacts, FlowStage
from runner.render.page.markup import NOTHING, Child, Markup, element, joined
from runner.render.page.svg import FONT, fill, stroke, told, words
from runner.spec.graph import LoopMap
from runner.text import cells, cut_middle

_CELL = 6.9
"""Pixels of a letter, on the safe side."""
_ROW = 17
_BOX = 44
_MARGIN = 6
_GUTTER = 46
"""Pixels beside the label of a queue: for the curves to it and from it."""
_MOST_CELLS = 26
_WIDEST = 1060
"""Pixels. What would be wider goes down the page instead of across."""
_LANE = 30
_INDENT, _TURN = 16, 38
"""Pixels at the ends of a row, and between rows, of a chain that takes several."""


def flow_graph(facts: FlowFacts) -> list[Markup]:
    """Draw each group of stages that queues join as a picture of its own."""
    back = written_back(facts.stages)
    start_order = list(reversed(facts.stages))  # readers first
    layouts = [lay_out(group, lambda s: s.name, str, LoopMap(back)) for group in groups(start_order)]
    return [_draw(layout, facts) for layout in layouts]


def _draw(layout: Layout, facts: FlowFacts) -> Markup:
    drawing = _Drawing(layout, facts)
    is_chain = all(len(layer) == 1 for layer in layout.layers) and all(
        len(nets) == 1 for nets in layout.gutters.values()
    )
    return _Chain(layout, facts).picture() if is_chain and drawing.is_down else drawing.picture()


def written_back(stages: Sequence[FlowStage]) -> frozenset[tuple[str, str]]:
    """Name who writes to a queue that is read before it, or by itself, each with the queue: these are not drawn."""
    first: dict[str, int] = {}
    for place, stage in enumerate(stages):
        if stage.receives is not None:
            first.setdefault(stage.receives, place)
    return frozenset(
        (stage.name, queue)
        for place, stage in enumerate(stages)
        for queue in stage.writes
        if first.get(queue, len(stages)) <= place
    )


def box_width(name: str, box: FlowBox) -> float:
    """Return how wide a box has to be for what stands in it."""
    return max(max(cells(_short(name)), cells(box.words), box.room) * _CELL + 22, 96)


class _Drawing:
    """One group of stages at its pixels: `along` is the way that items go, `aside` lies across it."""

    def __init__(self, layout: Layout, facts: FlowFacts) -> None:
        self._layout, self._facts = layout, facts
        self.is_down = self._length(is_down=False) > _WIDEST
        self._row = _ROW if not self.is_down else max(self.box_width(n) for n in self._boxes()) / 3.4
        rows = [node.row for layer in layout.layers for node in layer]
        rows += [net.row for nets in layout.gutters.values() for net in nets]
        self._top = min(rows) * self._row
        self._span = (max(rows) - min(rows)) * self._row
        self._edge = _BOX / 2 if not self.is_down else max(map(self.box_width, self._boxes())) / 2
        self._begin: dict[int, float] = {}
        at = float(_MARGIN)
        for number, layer in enumerate(layout.layers, layout.first):
            self._begin[number] = at
            at += self._depth(layer, is_down=self.is_down) + self._gutter(number, is_down=self.is_down)
        last = layout.first + len(layout.layers) - 1
        self._end = self._begin[last] + self._depth(layout.layers[-1], is_down=self.is_down) + _MARGIN

    def _boxes(self) -> list[Node]:
        return [node for layer in self._layout.layers for node in layer if node.text is not None]

    def box_width(self, node: Node) -> float:
        """Return how wide the box of a node has to be."""
        return box_width(node.text or "", self._facts.box(node.text or ""))

    def _depth(self, layer: Sequence[Node], *, is_down: bool) -> float:
        if is_down:
            return _BOX
        return max((self.box_width(node) for node in layer if node.text is not None), default=_LANE)

    def _gutter(self, number: int, *, is_down: bool) -> float:
        if number not in self._layout.gutters:
            return 0.0
        if is_down:
            return 58
        labels = [self.label_width(net) for net in self._layout.gutters[number]]
        return max(labels, default=0.0) + 2 * _GUTTER

    def _length(self, *, is_down: bool) -> float:
        layers = enumerate(self._layout.layers, self._layout.first)
        return sum(
            self._depth(layer, is_down=is_down) + self._gutter(number, is_down=is_down)
            for number, layer in layers
        )

    def label_width(self, net: Net) -> float:
        """Return how wide a queue's name is with what is said of it."""
        edge = self._facts.edge(net.label)
        if not net.label or not edge.is_named:
            return 0.0
        letters = cells(_short(net.label)) + 1 + max(cells(edge.words), edge.room)
        return letters * _CELL

    def picture(self) -> Markup:
        """Return it as wide as it is: where there is less room, its box is scrolled."""
        along, aside = self._end, self._span + 2 * (self._edge + _MARGIN)
        width, height = (aside, along) if self.is_down else (along, aside)
        parts: list[Child] = []
        for number, nets in self._layout.gutters.items():
            parts += [self._net(net, number) for net in nets]
        for number, layer in enumerate(self._layout.layers, self._layout.first):
            parts += [self._lane(number, node) for node in layer if node.text is None]
            parts += [self._box(number, node) for node in layer if node.text is not None]
        return _canvas(self._facts, width, height, parts)

    def _at(self, along: float, row: float) -> tuple[float, float]:
        aside = row * self._row - self._top + self._edge + _MARGIN
        return (aside, along) if self.is_down else (along, aside)

    def _far(self, number: int) -> float:
        """Return where a layer ends."""
        return self._begin[number] + self._depth(
            self._layout.layers[number - self._layout.first], is_down=self.is_down
        )

    def _box(self, number: int, node: Node) -> Markup:
        name = node.text or ""
        wide = self.box_width(node)
        deep = self._depth(self._layout.layers[number - self._layout.first], is_down=False)
        wide = wide if self.is_down else deep
        x, y = self._at(self._begin[number], node.row)
        x, y = (x - wide / 2, y) if self.is_down else (x, y - _BOX / 2)
        return _stage_box(name, self._facts.box(name), x, y, wide)

    def _lane(self, number: int, node: Node) -> Markup:
        x1, y1 = self._at(self._begin[number], node.row)
        x2, y2 = self._at(self._far(number), node.row)
        return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **stroke("muted", 1.5))

    def _net(self, net: Net, number: int) -> Markup:
        edge = self._facts.edge(net.label)
        colour, wide = _edge_look(edge)
        begin, end = self._far(number), self._begin.get(number + 1, self._end)
        room = self.label_width(net) / 2
        middle = (begin + end) / 2
        if self.is_down:
            room = 7.0 if room else 0.0
        near, far = middle - room, middle + room
        curves = [self._curve((begin, node.row), (near, net.row)) for node in net.sources]
        ends = [node for node in net.targets if node.text is not None]
        curves += [self._curve((far, net.row), (end - 5, node.row)) for node in ends]
        curves += [self._curve((far, net.row), (end, node.row)) for node in net.targets if node.text is None]
        drawn = element("path", d="".join(curves), **stroke(colour, wide))
        if not net.label:
            x1, y1 = self._at(near, net.row)
            x2, y2 = self._at(far, net.row)
            return joined(drawn, element("line", x1=x1, y1=y1, x2=x2, y2=y2, **stroke(colour, wide)))
        heads = [self._head(end, node.row, colour) for node in ends]
        label = _queue_words(net, edge, *self._at(middle, net.row), self.label_width(net))
        return element("g", told(edge.story), drawn, heads, label)

    def _curve(self, begin: tuple[float, float], end: tuple[float, float]) -> str:
        half = (begin[0] + end[0]) / 2
        points = [self._at(*begin), self._at(half, begin[1]), self._at(half, end[1]), self._at(*end)]
        (a, b), *others = points
        return f"M{a:.1f} {b:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in others)

    def _head(self, along: float, row: float, colour: str) -> Markup:
        x, y = self._at(along - 1, row)
        d = f"M{x:.1f} {y:.1f}l-4 -8h8z" if self.is_down else f"M{x:.1f} {y:.1f}l-8 -4v8z"
        return element("path", d=d, **fill(colour))


class _Chain:
    """Stages one behind the other, in rows from the left to the right, as text goes."""

    def __init__(self, layout: Layout, facts: FlowFacts) -> None:
        self._nodes = [layer[0] for layer in layout.layers]
        self._nets = [layout.gutters[number][0] for number in sorted(layout.gutters)]
        self._facts = facts
        self._drawing = _Drawing(layout, facts)

    def picture(self) -> Markup:
        """Return it as wide as a page, and as high as it gets."""
        parts: list[Child] = []
        x, y, wide = float(_MARGIN), float(_MARGIN), 0.0
        for place, node in enumerate(self._nodes):
            own = self._drawing.box_width(node)
            if place:
                net = self._nets[place - 1]
                room = self._drawing.label_width(net) + _GUTTER
                if x + room + own > _WIDEST:
                    parts.append(self._turn(net, (x, y + _BOX / 2), y + _BOX + _TURN / 2))
                    x, y = float(_MARGIN + 2 * _INDENT), y + _BOX + _TURN
                else:
                    parts.append(self._straight(net, x, x + room, y + _BOX / 2))
                    x += room
            parts.append(_stage_box(node.text or "", self._facts.box(node.text or ""), x, y, own))
            x += own
            wide = max(wide, x)
        return _canvas(self._facts, wide + _INDENT + _MARGIN, y + _BOX + _MARGIN, parts)

    def _straight(self, net: Net, begin: float, end: float, y: float) -> Markup:
        return self._queue(net, f"M{begin:.1f} {y:.1f}H{end - 5:.1f}", (end, y), ((begin + end - 5) / 2, y))

    def _turn(self, net: Net, begin: tuple[float, float], middle: float) -> Markup:
        """Lead a line to the row below: right, down, back to the left, down, into the box."""
        x, y = begin
        below, left = middle + (_TURN + _BOX) / 2, float(_MARGIN + _INDENT / 2)
        path = (
            f"M{x:.1f} {y:.1f}h{_INDENT / 2}V{middle:.1f}H{left:.1f}V{below:.1f}H{_MARGIN + 2 * _INDENT - 5}"
        )
        return self._queue(net, path, (_MARGIN + 2 * _INDENT, below), ((x + left) / 2, middle))

    def _queue(self, net: Net, path: str, head: tuple[float, float], at: tuple[float, float]) -> Markup:
        edge = self._facts.edge(net.label)
        look = _edge_look(edge)
        x, y = head[0] - 1, head[1]
        arrow = element("path", d=f"M{x:.1f} {y:.1f}l-8 -4v8z", **fill(look[0]))
        drawn = element("path", d=path, stroke_linejoin="round", **stroke(*look))
        label = _queue_words(net, edge, *at, self._drawing.label_width(net))
        return element("g", told(edge.story), drawn, arrow, label)


def row_of_boxes(facts: FlowFacts, names: Sequence[str]) -> Markup:
    """Draw boxes that no line joins to others side by side, in as many rows as they need."""
    parts: list[Child] = []
    x, y, wide = float(_MARGIN), float(_MARGIN), 0.0
    for name in names:
        own = box_width(name, facts.box(name))
        if x + own > _WIDEST and x > _MARGIN:
            x, y = float(_MARGIN), y + _BOX + _INDENT
        parts.append(_stage_box(name, facts.box(name), x, y, own))
        wide = max(wide, x + own)
        x += own + _INDENT
    return _canvas(facts, wide + _MARGIN, y + _BOX + _MARGIN, parts)


def _canvas(facts: FlowFacts, width: float, height: float, parts: Sequence[Child]) -> Markup:
    return element(
        "svg",
        parts,
        width=round(width),
        height=round(height),
        viewBox=f"0 0 {width:.6g} {height:.6g}",
        role="img",
        aria_label=facts.told,
        data_chart=facts.chart,
        font_family=FONT,
        font_size=12,
    )


def _stage_box(name: str, box: FlowBox, x: float, y: float, wide: float) -> Markup:
    return element(
        "g",
        told(name),
        element("rect", x=x, y=y, width=wide, height=_BOX, rx=5, **_box_look(box.tone)),
        element("rect", x=x + 1, y=y + _BOX - 5, width=(wide - 2) * box.busy, height=4, **fill(box.bar)),
        element("text", _short(name), x=x + 11, y=y + 17, font_weight=600, **fill("ink")),
        element("text", box.words, x=x + 11, y=y + 33, font_size=11, **fill("muted")),
    )


def _edge_look(edge: FlowEdge) -> tuple[str, float]:
    """Say in which colour and width a queue is drawn."""
    return ("blocked", 2.5) if edge.full >= 0.5 else ("muted", 1.5)


def _queue_words(net: Net, edge: FlowEdge, x: float, y: float, wide: float) -> Markup:
    """Write a queue's name with its count into a gap of its line."""
    if not edge.is_named:
        return NOTHING
    count = element("tspan", edge.words, font_weight=600, **fill("ink"))
    text: list[Child] = [_short(net.label), " ", count]
    gap = element("rect", x=x - wide / 2, y=y - 7, width=wide, height=14, **fill("paper"))
    return joined(gap, words(x, y + 4, text, text_anchor="middle"))


def _box_look(shade: str) -> dict[str, str]:
    filled, drawn = fill("shade"), stroke(shade)
    return {**drawn, **filled, "class_": f"{filled['class_']} {drawn['class_']}"}


def _short(name: str) -> str:
    return cut_middle(name, _MOST_CELLS)


def plain_stages(stages: Sequence[FlowStage]) -> Iterator[str]:
    """Name the stages that no queue joins to others."""
    return (stage.name for stage in stages if stage.receives is None and not stage.writes)
