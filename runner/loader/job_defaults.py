"""`defaults.job`: laid under the jobs of a file before anything is judged, so that a job has it as if it said so. Pure.

    defaults: {job: {timeout: 5m, env: {A: 1}}}
    jobs: {test: {env: {B: 2}}}                  ──►  test: {timeout: 5m, env: {A: 1, B: 2}}   each where it is written

A key of the job's own goes before it, `env` is joined, and `null` in a job takes a default away. What is wrong with a
default is wrong in each job that has it, and told once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runner.loader.template_names import over_defaults
from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.keys import usual_fragments_of
from runner.spec.source.positions import SourceDocument, SourceNode

AT = ("defaults", "job")


def with_job_defaults(source: SourceDocument) -> SourceDocument:
    """Return the source whose jobs have the defaults that hold for them."""
    usual = _usual(source)
    sections = source.root.entries()
    if usual is None or not isinstance(source.data.get("jobs"), dict):
        return source
    jobs = {name: _laid(usual, job) for name, job in sections["jobs"].entries().items()}
    sections["jobs"] = sections["jobs"].with_entries(jobs)
    return source.with_root(source.root.with_entries(sections))


def _usual(source: SourceDocument) -> SourceNode | None:
    """Return the defaults of jobs, less what can't be one; None if there are none."""
    defaults = source.root.entries().get(AT[0])
    usual = None if defaults is None else defaults.entries().get(AT[1])
    if usual is None or not isinstance(usual.data, dict):
        return None
    from runner.spec.jobs.model import LegSpec  # only those who have jobs wait for it

    known = usual_fragments_of(LegSpec)
    return usual.with_entries({key: node for key, node in usual.entries().items() if key in known})


def _laid(usual: SourceNode, job: SourceNode) -> SourceNode:
    if not isinstance(job.data, dict):
        return job
    laid = over_defaults(usual, job).entries()
    ordered = dict.fromkeys([*job.data, *laid])
    return job.with_entries({k: laid[k] for k in ordered if laid[k].data is not None or k not in usual.data})


def told_once(
    source: SourceDocument, diagnostics: Iterable[LocatedDiagnostic]
) -> Iterator[LocatedDiagnostic]:
    """Leave out what is said again of a default, for each job that has it."""
    usual = _usual(source)
    if usual is None:
        yield from diagnostics
        return
    mark = usual.mark
    first, last = mark.text.location(mark.start, mark.start + 1), mark.text.location(mark.end - 1, mark.end)
    begin, end = (first.span.line, first.span.column), (last.span.line, last.span.column)
    seen = set()
    # What names the defaults says more than what names one job that has them.
    for each in sorted(diagnostics, key=lambda each: "'defaults." not in each.message):
        place = (each.file, each.span, each.code)
        within = each.file == first.file and begin <= (each.span.line, each.span.column) <= end
        if not within or place not in seen:
            yield each
        if within:
            seen.add(place)
