"""A plan as a picture: stages are boxes, queues are the arrows between them. Pure: Plan in, text out.

    Plan ──► draw ──► mermaid   for Markdown
                      dot       for Graphviz
                      ascii     for a terminal (graph_ascii.py)

An arrow has two ends, so in the first two a queue with several stages at one end is a node of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from runner.graph_ascii import draw_ascii
from runner.graph_layout import as_read, ends
from runner.plan import Plan, StagePlan
from runner.plan_labels import queue_label, stage_label

# Mermaid reads Markdown in labels ("1. chef" would be a list) and treats `#` and quotes as its own.
_MERMAID_SPECIAL = re.compile(r"[^\w ()≤×-]|^-")


def draw(plan: Plan, form: str) -> str:
    """Draw `plan` in one of `FORMATS`. The text ends with a newline."""
    return FORMATS[form](plan)


def draw_mermaid(plan: Plan) -> str:
    """Draw a Mermaid flowchart. Names never become identifiers, so any Unicode name is safe."""
    lines = ["flowchart LR"]
    for key, stage in _keyed(plan):
        left, right = ("([", "])") if stage.daemon else ("[", "]")
        lines.append(f'    {key}{left}"{mermaid_text(stage_label(stage))}"{right}')
    lines += [f'    {key}{{{{"{mermaid_text(label)}"}}}}' for key, label in _shared_queues(plan).values()]
    for source, target, label in _arrows(plan):
        text = f'|"{mermaid_text(label)}"|' if label else ""
        lines.append(f"    {source} -->{text} {target}")
    lines += [f"    {before} -. then .-> {after}" for before, after in _needs(plan)]
    return "\n".join(lines) + "\n"


def draw_dot(plan: Plan) -> str:
    """Draw a Graphviz digraph."""
    lines = [f"digraph {dot_text(plan.name)} {{", "    rankdir=LR;", "    node [shape=box];"]
    for key, stage in _keyed(plan):
        style = ", style=dashed" if stage.daemon else ""
        lines.append(f"    {key} [label={dot_text(stage_label(stage))}{style}];")
    lines += [
        f"    {key} [label={dot_text(label)}, shape=oval];" for key, label in _shared_queues(plan).values()
    ]
    for source, target, label in _arrows(plan):
        text = f" [label={dot_text(label)}]" if label else ""
        lines.append(f"    {source} -> {target}{text};")
    lines += [f'    {before} -> {after} [style=dotted, label="then"];' for before, after in _needs(plan)]
    return "\n".join([*lines, "}"]) + "\n"


FORMATS: Mapping[str, Callable[[Plan], str]] = {"ascii": draw_ascii, "mermaid": draw_mermaid, "dot": draw_dot}


def _keyed(plan: Plan) -> list[tuple[str, StagePlan]]:
    """Give each stage a key that is an identifier in every format."""
    return [(f"s{number}", stage) for number, stage in enumerate(as_read(plan.stages), 1)]


def _shared_queues(plan: Plan) -> dict[str, tuple[str, str]]:
    """Map each queue that is more than one arrow to its node's key and label."""
    writing, reading = ends(plan.stages)
    return {
        queue.name: (f"q{number}", queue_label(queue))
        for number, queue in enumerate(plan.queues, 1)
        if (len(writing[queue.name]), len(reading[queue.name])) != (1, 1)
    }


def _arrows(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Yield from, to and label of each arrow that items take."""
    keys = {stage.name: key for key, stage in _keyed(plan)}
    writing, reading = ends(as_read(plan.stages))
    shared = _shared_queues(plan)
    for queue in plan.queues:
        writers = [keys[stage.name] for stage in writing[queue.name]]
        readers = [keys[stage.name] for stage in reading[queue.name]]
        if queue.name in shared:
            node, _ = shared[queue.name]
            yield from ((writer, node, "") for writer in writers)
            yield from ((node, reader, "") for reader in readers)
        else:
            yield writers[0], readers[0], queue_label(queue)


def _needs(plan: Plan) -> Iterator[tuple[str, str]]:
    keys = {stage.name: key for key, stage in _keyed(plan)}
    for stage in as_read(plan.stages):
        yield from ((keys[name], keys[stage.name]) for name in stage.needs)


def mermaid_text(text: str) -> str:
    return _MERMAID_SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)


def dot_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
