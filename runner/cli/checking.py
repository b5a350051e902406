"""From a file name to a plan, or to printed problems and exit code 3: the first step of most commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.output import colour_allowed, say
from runner.errors import SpecError, UsageError
from runner.problems import Problem, errors_only

if TYPE_CHECKING:
    from runner.plan import Plan
    from runner.spec import WorkflowSpec


@dataclass(frozen=True, slots=True)
class JobsChoice:
    """Which jobs are to run, and how many at once; None is one for each core."""

    names: Sequence[str] = ()
    at_once: int | None = None


def checked_plan(
    file: Path,
    params: Sequence[str],
    overrides: Sequence[str],
    *,
    show_warnings: bool = True,
    choice: JobsChoice = JobsChoice(),
) -> Plan:
    """
    Check a file and lay out its plan. Warnings are printed.

    Raises:
        SpecError: the file does not check. Nothing was printed yet; `main` prints the problems.
        UsageError: the file has no such job, or none at all.
    """
    from runner.load import check

    checked = check(file, params=params, overrides=overrides)
    if checked.spec is None or errors_only(checked.problems):
        raise SpecError(checked.problems)
    if show_warnings and checked.problems:
        print_problems(checked.problems)
    return _laid_out(_chosen(checked.spec, choice), choice.at_once)


def _laid_out(spec: WorkflowSpec, at_once: int | None) -> Plan:
    if not spec.jobs:
        from runner.plan import make_plan

        return make_plan(spec)
    from runner.jobs.layout import plan_for

    return plan_for(spec, at_once)


def _chosen(spec: WorkflowSpec, choice: JobsChoice) -> WorkflowSpec:
    if choice == JobsChoice():
        return spec
    if not spec.jobs:
        raise UsageError(f"'{spec.path}' has stages and no jobs: --job and --jobs are for those")
    if not choice.names:
        return spec
    from runner.jobs.choice import choose

    return replace(spec, jobs=choose(spec.jobs, choice.names))


def print_problems(problems: Sequence[Problem]) -> None:
    """Print problems for people on stderr, and their count."""
    from runner.cli.problem_formats import count_line, render

    say(render(problems, "text", colour=colour_allowed(sys.stderr)))
    say(count_line(problems))
