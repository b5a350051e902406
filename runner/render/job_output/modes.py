"""The ways to show the output of jobs, by name: which class it is, and how it is dressed."""

from __future__ import annotations

import os

from runner.render.job_output.base import JobOutput, Mode, OutputView, QuietView, Write, writer
from runner.render.job_output.grouped import GroupView
from runner.render.job_output.streamed import StreamView
from runner.render.style import GitHubStyle, OutputStyle


def open_output(fd: int, mode: str, *, colors: bool = False, for_github: bool = False) -> JobOutput:
    """Return the observer that shows jobs on a descriptor. It may block: not for the supervisor's own process."""
    # A job that knew the token could end the guard: it is made here, and in no process that a job descends from.
    style = GitHubStyle(token=os.urandom(16).hex()) if for_github else OutputStyle(colors=colors)
    return JobOutput(_show(Mode(mode), writer(fd), style))


def _show(mode: Mode, write: Write, style: OutputStyle) -> OutputView:
    match mode:
        case Mode.STREAM:
            return StreamView(write, style)
        case Mode.GROUP:
            return GroupView(write, style)
        case Mode.QUIET:
            return QuietView(write, style)
        case Mode.JSON:
            from runner.render.job_output.json_lines import (
                JsonView,  # it borrows the log's JSON, whose import is slow
            )

            return JsonView(write)
