"""Which job needs which, drawn: a box a job in the colour of its state, a line from each to those that need it. Pure.

    build ─┬─► test      ×4 · 1 failed, 3 passed     one box for all legs of a matrix
    lint ──┘

It is laid out as stages are: a job reads a queue of its own, and what it needs writes to that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import field

from runner.events.job_report import JobLine, JobState
from runner.facts import dataclass
from runner.render.page.flow import flow_graph, plain_stages, row_of_boxes
from runner.render.page.flow_facts import FlowBox, FlowEdge, FlowFacts, FlowStage
from runner.render.page.markup import Child, element
from runner.render.page.tables import boxed
from runner.spec.graph import depths

MOST_BOXES = 60
"""More of them are a net in which nobody finds anything."""
_TONES: Mapping[JobState, str] = {
    JobState.PASSED: "busy",
    JobState.FAILED: "bad",
    JobState.TIMED_OUT: "bad",
    JobState.ALLOWED: "blocked",
    JobState.RUNNING: "accent",
    JobState.RETRYING: "accent",
}
_FIRST_TOLD = (
    JobState.FAILED,
    JobState.TIMED_OUT,
    JobState.RETRYING,
    JobState.RUNNING,
    JobState.CANCELLED,
    JobState.ALLOWED,
    JobState.PASSED,
    JobState.SKIPPED,
)
"""The first of these that a leg is in gives the box of a matrix its colour."""


def tone_of(state: JobState, otherwise: str = "starved") -> str:
    """Return the colour of a state; `otherwise` is that of a job which did not run."""
    return _TONES.get(state, otherwise)


@dataclass(slots=True)
class _Box:
    """What is known of a job: its legs, their states, and what it needs."""

    legs: list[str] = field(default_factory=list)
    states: Counter[JobState] = field(default_factory=Counter)
    needs: dict[str, None] = field(default_factory=dict)

    @property
    def drawn(self) -> FlowBox:
        counts = [(state, self.states[state]) for state in _FIRST_TOLD if self.states[state]]
        tone = tone_of(counts[0][0])
        legs = ", ".join(f"{number} {_word(state)}" for state, number in counts)
        words = _word(counts[0][0]) if len(self.legs) == 1 else f"×{len(self.legs)} · {legs}"
        return FlowBox(words, 1.0, tone, bar=tone)


def needs_graph(lines: Sequence[JobLine]) -> Child:
    """Draw jobs that stand in the order in which they became known; nothing where none needs another."""
    boxes = _boxes(lines)
    if not any(box.needs for box in boxes.values()):
        return None
    if len(boxes) > MOST_BOXES:
        said = f"{len(boxes):,} jobs are too many for a picture: the table of the jobs names what each needs."
        return element("p", said, class_="aside")
    facts = _facts(boxes)
    alone = list(plain_stages(facts.stages))[::-1]
    return [*map(boxed, flow_graph(facts)), boxed(row_of_boxes(facts, alone)) if alone else None]


def _boxes(lines: Sequence[JobLine]) -> Mapping[str, _Box]:
    """Fold legs into jobs. What is needed stands before; what does not, or is not known, is not drawn."""
    ids = {line.job for line in lines}
    found: dict[str, _Box] = {}
    place: dict[str, int] = {}
    for line in lines:
        name = _job_of(line.job, ids)
        box = found.setdefault(name, _Box())
        own = place.setdefault(name, len(place))
        box.legs.append(line.job)
        box.states[line.state] += 1
        needed = (_job_of(need, ids) for need in line.needs)
        box.needs |= {need: None for need in needed if place.get(need, own) < own}
    # One that stands alone is called by its full id: brackets may belong to the name of a job.
    called = {name: box.legs[0] if len(box.legs) == 1 else name for name, box in found.items()}
    for box in found.values():
        box.needs = {called[need]: None for need in box.needs}
    return {called[name]: box for name, box in found.items()}


def _job_of(leg: str, ids: Set[str]) -> str:
    """Name the job of a leg: `test` of `test (3.11, slow)`, unless there is a job of that name beside it."""
    name = leg.split(" (", 1)[0]
    return name if leg.endswith(")") and name not in ids else leg


def _facts(boxes: Mapping[str, _Box]) -> FlowFacts:
    needed_by: dict[str, list[str]] = {name: [] for name in boxes}
    for name, box in boxes.items():
        for need in box.needs:
            needed_by[need].append(name)
    depth = depths({name: box.needs for name, box in boxes.items()})
    # The graph is laid out from its end on: within a layer, those known last come first, to stand at its bottom.
    place = {name: number for number, name in enumerate(boxes)}
    order = sorted(boxes, key=lambda name: (depth[name], -place[name]))
    return FlowFacts(
        [FlowStage(name, name if boxes[name].needs else None, tuple(needed_by[name])) for name in order],
        {name: box.drawn for name, box in boxes.items()},
        {
            name: FlowEdge("", 0.0, f"{name} needs {', '.join(box.needs)}", is_named=False)
            for name, box in boxes.items()
        },
        "needs",
        "jobs, what each needs, and what became of each",
    )


def _word(state: JobState) -> str:
    return str(state).replace("_", " ")
