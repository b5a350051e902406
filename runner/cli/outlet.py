"""How the output of jobs is shown where nobody said, and whether GitHub Actions is there to be told more.

On a terminal all jobs stream: whoever sits there wants to see that things move. In a pipe they are grouped: what is
read later, by a person or in the log of a CI system, is read job by job.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from runner.cli.output import colour_allowed
from runner.observer_child import JobOutlet


def outlet(mode: str | None, *, quiet: bool, log: str) -> JobOutlet:
    """Return how to show what jobs print; `mode` is what `--output` says, `log` what `--log` says."""
    live = sys.stdout.isatty() and not in_github(os.environ)
    chosen = mode or ("quiet" if quiet else "stream" if live else "group")
    return JobOutlet(
        fd=sys.stdout.fileno(),
        mode=chosen,
        colors=colour_allowed(sys.stdout),
        for_github=in_github(os.environ) and chosen in ("stream", "group"),
        with_log=log != "auto",
    )


def in_github(environ: Mapping[str, str]) -> bool:
    """Whether this runs in GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"
