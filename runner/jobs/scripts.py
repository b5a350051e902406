"""The scripts of jobs: which texts a shell reads, and what their references stand for. Pure.

    echo "${{ params.x }} ${{ matrix.y }}"      stays as it is when the file is read and when legs are laid out
                                                values {params.x: …, matrix.y: …} ──► variables, when the job runs

A value that was put into the script itself would be obeyed, with each quote and `;` in it. Only where a script is one
reference and nothing else is it that value: `run: ${{ matrix.command }}` says what to run.
"""

from __future__ import annotations

from typing import Any

from runner.references import fill_text, is_one_reference
from runner.source_marks import DataPath
from runner.spec_jobs import CommandSpec

POSIX = ("sh", "bash", "dash", "ksh", "zsh", "ash")
"""The shells whose scripts can be given a variable in the place of a reference."""
KNOWN_EARLY = frozenset({"params", "env"})
"""The roots of references whose values are known when the file is read."""


def is_script(path: DataPath) -> bool:
    """Say whether a text at this path, from the top of the file, is read by a shell."""
    match path[2:]:
        case ("run",) | ("steps" | "ensure", int()) | ("steps" | "ensure", int(), "run"):
            return path[0] == "jobs"
        case ("services", _, "run") | ("services", _, "ready", "run"):
            return path[0] == "jobs"
    return False


def kept(written: Any, filled: Any, path: DataPath) -> Any:
    """Return `filled`, which `written` at `path` became, with the scripts in it as they were written."""
    if isinstance(written, dict):
        return {key: kept(value, filled[key], (*path, key)) for key, value in written.items()}
    if isinstance(written, list):
        return [kept(value, filled[number], (*path, number)) for number, value in enumerate(written)]
    is_kept = isinstance(written, str) and is_script(path) and not is_one_reference(written)
    return written if is_kept else filled


def read_as(command: CommandSpec) -> str | list[str]:
    """Return what is run for people to read: with what is known of its references put in."""
    if not isinstance(command.run, str):
        return list(command.run)
    known = command.values
    return fill_text(command.run, lambda one: known.get(one.dotted, one.raw)) if known else command.run
