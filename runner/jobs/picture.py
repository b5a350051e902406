"""Jobs as a picture: what needs what. Pure: JobSpecs in, text out.

1  lint           2  test ×2    needs build, lint        ascii: in waves; a job stands below all that it needs
   build                                                 mermaid, dot: an arrow from each job to those that need it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runner.cells import columns
from runner.graph import dot_text, mermaid_text
from runner.spec_jobs import JobSpec, Need


def draw_jobs(name: str, jobs: Sequence[JobSpec], form: str) -> str:
    """Draw jobs in one of `FORMATS`; `name` is the workflow's. The text ends with a newline."""
    return FORMATS[form](name, jobs)


def waves(jobs: Sequence[JobSpec]) -> list[list[JobSpec]]:
    """Sort jobs into waves: each job in the first one that comes after all that it needs. In the order of the file."""
    by_name = {job.name: job for job in jobs}
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        frontier = [name]
        while frontier:
            waiting = [n.job for n in by_name[frontier[-1]].needs if n.job not in depths]
            if waiting:
                frontier += waiting
            else:
                done = frontier.pop()
                depths[done] = 1 + max((depths[n.job] for n in by_name[done].needs), default=0)
        return depths[name]

    sorted_out: dict[int, list[JobSpec]] = {}
    for job in jobs:
        sorted_out.setdefault(depth(job.name), []).append(job)
    return [sorted_out[number] for number in sorted(sorted_out)]


def label(job: JobSpec) -> str:
    """Name a job, and how many legs it has."""
    return f"{job.name} ×{len(job.legs)}" if job.has_matrix else job.name


def needs_words(needs: Sequence[Need]) -> str:
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


FORMATS: Mapping[str, Callable[[str, Sequence[JobSpec]], str]] = {
    "ascii": _draw_ascii,
    "mermaid": _draw_mermaid,
    "dot": _draw_dot,
}
