"""Which of several failures is the cause, and which follow from others. Pure.

build failed ──► report (always(), needs build) failed too: build first, whatever the order in time
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.jobs.story import FAILURES, JobLine, Story


def by_cause(story: Story) -> tuple[JobLine, ...]:
    """Return the jobs that failed: those that nothing failed before first, then the others, each in order of time."""
    tainted: dict[str, bool] = {}
    lines = {line.job: line for line in story.jobs}
    failed = [line for line in story.jobs if line.state in FAILURES]
    consequences = {line.job for line in failed if _any_failed(line, lines, tainted)}
    return tuple(sorted(failed, key=lambda line: (line.job in consequences, _end(line))))


def _any_failed(line: JobLine, lines: Mapping[str, JobLine], known: dict[str, bool]) -> bool:
    """Whether something failed among what a job needs, near or far. `known` grows, so that each is looked at once."""
    waiting = [line]
    while waiting:
        each = waiting[-1]
        open_needs = [lines[need] for need in each.needs if need in lines and need not in known]
        if open_needs:
            known.update({need.job: False for need in open_needs})  # also what would go round in a circle
            waiting += open_needs
            continue
        waiting.pop()
        needs = [lines[need] for need in each.needs if need in lines]
        known[each.job] = any(need.state in FAILURES or known[need.job] for need in needs)
    return known[line.job]


def _end(line: JobLine) -> float:
    return line.ended_after if line.ended_after is not None else 0.0
