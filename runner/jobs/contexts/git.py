"""What git knows of a folder, in one call that is bounded in time. Nothing is fetched, nobody is asked for anything."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runner.jobs.contexts.github import GitFacts

_LONGEST = 5.0
"""Seconds. A tree on a network that is gone must not keep a run from starting."""
_MOST_BYTES = 64 * 1024
_ASK = r"""
ask() { printf '%s\0' "$("$@" 2>/dev/null)"; }
ask git rev-parse --verify --quiet HEAD
ask git symbolic-ref --quiet HEAD
ask git describe --tags --exact-match HEAD
ask git config --get remote.origin.url
ask git config --get user.name
ask git rev-parse --show-toplevel
"""
"""One question after the other, as no command of git answers all of them; what it can't answer is an empty text."""
_QUIET: Mapping[str, str] = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def ask_git(folder: Path, environ: Mapping[str, str]) -> GitFacts:
    """Return what git says of a folder; nothing where there is no git, no repository, or no answer in time."""
    try:
        asked = subprocess.Popen(
            ["sh", "-c", _ASK],
            cwd=folder,
            env={**environ, **_QUIET},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return GitFacts()
    with asked:
        try:
            answer, _ = asked.communicate(timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(asked.pid, signal.SIGKILL)
            return GitFacts()
    return read_answer(answer)


def read_answer(answer: bytes) -> GitFacts:
    """Return the facts in what was printed; none where it is not all there."""
    texts = answer[:_MOST_BYTES].decode(errors="replace").split("\0")
    return GitFacts(*texts[:6]) if len(texts) == 7 else GitFacts()
