"""Which of several failures is the cause, and which follow from others. Pure.

build failed ──► report (always(), needs build) failed too: build first, whatever the order in time
"""

from __future__ import annotations

from runner.jobs.story import FAILURES, JobLine, Story


def by_cause(story: Story) -> tuple[JobLine, ...]:
    """Return the jobs that failed: those that nothing failed before first, then the others, each in order of time."""
    follows: dict[str, bool] = {}  # whether anything failed among what a job needs, near or far
    bad: set[str] = set()
    for line in story.jobs:  # what a job needs stands before it
        follows[line.job] = any(need in bad or follows.get(need, False) for need in line.needs)
        if line.state in FAILURES:
            bad.add(line.job)
    failed = [line for line in story.jobs if line.state in FAILURES]
    return tuple(sorted(failed, key=lambda line: (follows[line.job], line.ended_after or 0.0)))
