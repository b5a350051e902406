"""A plan, or jobs, as a picture. Pure: a plan or job specs in, text out.

    Plan ──► draw ──────► mermaid   for Markdown
    jobs ──► draw_jobs ─► dot       for Graphviz
                          ascii     for a terminal: a plan as boxes (ascii_graph.py), jobs in waves

Stages are boxes, and queues the arrows between them. An arrow has two ends, so in the first two a queue with several
stages at one end is a node of its own. Of jobs an arrow goes from each to those that need it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from runner.render.ascii_graph import draw_ascii
from runner.render.graph_layout import ends
from runner.spec.graph import depths
from runner.spec.jobs.model import JobSpec, NeedSpec
from runner.spec.plan import Plan, StagePlan, queue_label, stage_label
from runner.text import columns

# Mermaid reads Markdown in labels ("1. chef" would be a list) and treats `#` and quotes as its own.
_MERMAID_SPECIAL = re.compile(r"[^\w ()≤×-]|^-")


def draw(plan: Plan, form: str) -> str:
    """Draw `plan` in one of `FORMATS`. The text ends with a newline."""
    return FORMATS[form](plan)


def draw_mermaid(plan: Plan) -> str:
    """Draw a Mermaid flowchart. Names never become identifiers, so any Unicode name is safe."""
    lines = ["flowchart LR"]
    for key, stage in _keyed(plan):
        left, right = ("([", "])") if stage.spec.daemon else ("[", "]")
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
        style = ", style=dashed" if stage.spec.daemon else ""
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
    return [(f"s{number}", stage) for number, stage in enumerate(plan.flow, 1)]


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
    writing, reading = ends(plan.flow)
    shared = _shared_queues(plan)
    for queue in plan.queues:
        writers = [keys[stage.name] for stage in writing[queue.name]]
        readers = [keys[stage.name] for stage in reading[queue.name]]
        if queue.name in shared:
            node, _ = shared[queue.name]
            labels = [stage.spec.label_to(queue.name) for stage in writing[queue.name]]
            yield from ((writer, node, label) for writer, label in zip(writers, labels, strict=True))
            yield from ((node, reader, "") for reader in readers)
        else:
            (writer,) = writing[queue.name]
            label = writer.spec.label_to(queue.name)
            yield writers[0], readers[0], queue_label(queue) + (f": {label}" if label else "")


def _needs(plan: Plan) -> Iterator[tuple[str, str]]:
    keys = {stage.name: key for key, stage in _keyed(plan)}
    for stage in plan.flow:
        yield from ((keys[name], keys[stage.name]) for name in stage.spec.needs)


def mermaid_text(text: str) -> str:
    return _MERMAID_SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)


def dot_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def draw_jobs(name: str, jobs: Sequence[JobSpec], form: str) -> str:
    """Draw jobs in one of `FORMATS`; `name` is the workflow's. The text ends with a newline."""
    return PICTURE_FORMATS[form](name, jobs)


def waves(jobs: Sequence[JobSpec]) -> list[list[JobSpec]]:
    """Sort jobs into waves: each job in the first one that comes after all that it needs. In the order of the file."""
    depth = depths({job.name: [need.job for need in job.needs] for job in jobs})
    sorted_out: dict[int, list[JobSpec]] = {}
    for job in jobs:
        sorted_out.setdefault(depth[job.name], []).append(job)
    return [sorted_out[number] for number in sorted(sorted_out)]


def label(job: JobSpec) -> str:
    """Name a job, how many legs it has, and that it goes on while those that need it run."""
    name = f"{job.name} ×{len(job.legs)}" if job.has_matrix else job.name
    return f"{name} (background)" if any(leg.background for leg in job.legs) else name


def needs_words(needs: Sequence[NeedSpec]) -> str:
    """Name what a job needs: `build, lint (optional)`; empty if nothing."""
    return ", ".join(f"{need.job} (optional)" if need.optional else need.job for need in needs)


def _draw_ascii(_name: str, jobs: Sequence[JobSpec]) -> str:
    rows = [
        [
            str(number) if job is wave[0] else "",
            label(job),
            f"needs {needs_words(job.needs)}" if job.needs else "",
        ]
        for number, wave in enumerate(waves(jobs), start=1)
        for job in wave
    ]
    return "\n".join(columns(rows)) + "\n"


def _draw_mermaid(_name: str, jobs: Sequence[JobSpec]) -> str:
    keys = {job.name: f"j{number}" for number, job in enumerate(jobs, start=1)}
    lines = ["flowchart LR"]
    lines += [f'    {keys[job.name]}["{mermaid_text(label(job))}"]' for job in jobs]
    for job in jobs:
        lines += [f"    {keys[n.job]} {'-.->' if n.optional else '-->'} {keys[job.name]}" for n in job.needs]
    return "\n".join(lines) + "\n"


def _draw_dot(name: str, jobs: Sequence[JobSpec]) -> str:
    keys = {job.name: f"j{number}" for number, job in enumerate(jobs, start=1)}
    lines = [f"digraph {dot_text(name)} {{", "    rankdir=LR;", "    node [shape=box];"]
    lines += [f"    {keys[job.name]} [label={dot_text(label(job))}];" for job in jobs]
    for job in jobs:
        lines += [
            f"    {keys[n.job]} -> {keys[job.name]}{' [style=dotted]' if n.optional else ''};"
            for n in job.needs
        ]
    return "\n".join([*lines, "}"]) + "\n"


PICTURE_FORMATS: Mapping[str, Callable[[str, Sequence[JobSpec]], str]] = {
    "ascii": _draw_ascii,
    "mermaid": _draw_mermaid,
    "dot": _draw_dot,
}
