"""The ways to show the output of jobs, by name: which class it is, and how it is dressed."""

from __future__ import annotations

import os

from runner.jobs.dress import Dress, GitHubDress, PlainDress
from runner.jobs.output import JobOutput, Mode, QuietShow, Show, Write, writer
from runner.jobs.output_group import GroupShow
from runner.jobs.output_stream import StreamShow


def open_output(fd: int, mode: str, *, colors: bool = False, for_github: bool = False) -> JobOutput:
    """Return the observer that shows jobs on a descriptor. It may block: not for the supervisor's own process."""
    # A job that knew the token could end the guard: it is made here, and in no process that a job descends from.
    dress = GitHubDress(os.urandom(16).hex()) if for_github else PlainDress(colors=colors)
    return JobOutput(_show(Mode(mode), writer(fd), dress))


def _show(mode: Mode, write: Write, dress: Dress) -> Show:
    match mode:
        case Mode.STREAM:
            return StreamShow(write, dress)
        case Mode.GROUP:
            return GroupShow(write, dress)
        case Mode.QUIET:
            return QuietShow(write, dress)
        case Mode.JSON:
            from runner.jobs.output_json import JsonShow  # it borrows the log's JSON, whose import is slow

            return JsonShow(write)
