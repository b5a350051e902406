"""From a file name to a plan, or to printed problems and exit code 3: the first step of most commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.output import colour_allowed, say
from runner.errors import SpecError
from runner.problems import Problem, errors_only

if TYPE_CHECKING:
    from runner.plan import Plan


def checked_plan(
    file: Path, params: Sequence[str], overrides: Sequence[str], *, show_warnings: bool = True
) -> Plan:
    """
    Check a file and lay out its plan. Warnings are printed.

    Raises:
        SpecError: the file does not check. Nothing was printed yet; `main` prints the problems.
    """
    from runner.load import check
    from runner.plan import make_plan

    checked = check(file, params=params, overrides=overrides)
    if checked.spec is None or errors_only(checked.problems):
        raise SpecError(checked.problems)
    if show_warnings and checked.problems:
        print_problems(checked.problems)
    return make_plan(checked.spec)


def print_problems(problems: Sequence[Problem]) -> None:
    """Print problems for people on stderr, and their count."""
    from runner.cli.problem_formats import count_line, render

    say(render(problems, "text", colour=colour_allowed(sys.stderr)))
    say(count_line(problems))
