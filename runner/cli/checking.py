"""From a file name to a plan, or to printed problems and exit code 3: the first step of most commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.output import print_message
from runner.errors import SpecError, UsageError
from runner.facts import dataclass
from runner.spec.diagnostics import LocatedDiagnostic, errors_only
from runner.text import colour_allowed

if TYPE_CHECKING:
    from runner.spec.model import WorkflowSpec
    from runner.spec.plan import Plan


@dataclass(frozen=True, slots=True)
class JobsChoice:
    """Which jobs are to run, and how many at once; None is one for each core."""

    names: Sequence[str] = ()
    """These with what they need; without any, those that run without being named."""
    at_once: int | None = None
    only: Sequence[str] = ()
    """Just these."""
    skip: Sequence[str] = ()
    args: Sequence[str] = ()
    """For `${{ args }}`."""
    force: bool = False
    """Also what is up to date."""
    all: bool = False
    """All of the file, also what runs only where it is named."""


def checked_plan(
    file: Path,
    params: Sequence[str],
    overrides: Sequence[str],
    *,
    show_warnings: bool = True,
    choice: JobsChoice = JobsChoice(),  # noqa: B008 - frozen
    text: str | None = None,
) -> Plan:
    """
    Check a file, or with `text` what it once held, and lay out its plan. Warnings are printed.

    Raises:
        SpecError: the file does not check. Nothing was printed yet; `main` prints the problems.
        UsageError: the file has no such job, or none at all, or nobody takes the arguments that are given.
    """
    plan = plan_chosen(checked_spec(file, params, overrides, show_warnings=show_warnings, text=text), choice)
    require_takers(plan)
    return plan


def checked_spec(
    file: Path,
    params: Sequence[str],
    overrides: Sequence[str],
    *,
    show_warnings: bool = True,
    text: str | None = None,
) -> WorkflowSpec:
    """Check a file, or with `text` what it once held. Warnings are printed. Raises `SpecError`."""
    from runner.loader.load import check

    checked = check(file, params=params, overrides=overrides, text=text)
    if checked.spec is None or errors_only(checked.diagnostics):
        raise SpecError(checked.diagnostics)
    if show_warnings and checked.diagnostics:
        print_problems(checked.diagnostics, checked.spec)
    return checked.spec


def plan_chosen(spec: WorkflowSpec, choice: JobsChoice) -> Plan:
    """Return the plan of a checked workflow, or of some of its jobs. Raises `UsageError` where it has none of them."""
    if not spec.jobs:
        if choice not in (JobsChoice(), JobsChoice(all=True)):
            raise UsageError(f"'{spec.path}' has stages and no jobs: {_options_of(choice)} for those")
        from runner.spec.plan import make_plan

        return make_plan(spec)
    from runner.jobs.plan import plan_for
    from runner.jobs.selection import Selection

    names, only, skip = (tuple(map(_as_utf8, each)) for each in (choice.names, choice.only, choice.skip))
    if names and only:
        raise UsageError(
            "--only runs just what it names, and a job named without it runs with what it needs: keep one of the two"
        )
    given = replace(spec.given, args=tuple(choice.args), exact=bool(only or skip), force=choice.force)
    selection = None if choice.all else Selection(names, only, skip)
    return plan_for(replace(spec, given=given), choice.at_once, selection)


def require_takers(plan: Plan) -> None:
    """Refuse arguments that nobody would get. Raises UsageError."""
    from runner.jobs.templates import takes_arguments

    if plan.given.args and not any(takes_arguments(leg) for job in plan.jobs for leg in job.legs):
        raise UsageError(
            "no job that runs takes arguments, and there are some behind `--`: a job does where its `run` has "
            "`${{ args }}`"
        )


def _options_of(choice: JobsChoice) -> str:
    given = {
        "names": choice.names,
        "--only": choice.only,
        "--skip": choice.skip,
        "--force": choice.force,
        "arguments behind `--`": choice.args,
        "--jobs": choice.at_once,
    }
    found = [option for option, value in given.items() if value]
    return f"{' and '.join(found)} {'is' if len(found) == 1 and found[0].startswith('--') else 'are'}"


def _as_utf8(name: str) -> str:
    """Return a name as mprun prints it in any locale: what is pasted from there has been read in another's encoding."""
    try:
        return os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return name


def print_problems(diagnostics: Sequence[LocatedDiagnostic], spec: WorkflowSpec | None = None) -> None:
    """Print problems for people on stderr, and their count; without the secrets of a file that can be run."""
    from runner.render.diagnostics import count_line, render_diagnostics
    from runner.render.tables import width_of

    text = render_diagnostics(
        diagnostics, "text", colour=colour_allowed(sys.stderr), width=width_of(sys.stderr)
    )
    if spec is not None and spec.jobs:
        from runner.record.facts import mask_for

        mask = mask_for(spec)
        text = text if mask is None else mask(text)
    print_message(text)
    print_message(count_line(diagnostics))
