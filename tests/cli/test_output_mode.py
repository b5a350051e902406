"""How the output of jobs is shown where nobody said."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from runner.cli.output import in_github, output_mode


@pytest.fixture(autouse=True)
def ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        yield stream
    os.close(ours)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[TextIO]:
    with (tmp_path / "out").open("w") as stream:
        yield stream


@pytest.mark.parametrize(
    ("mode", "quiet", "on_terminal", "in_pipe"),
    [
        (None, False, "stream", "group"),
        (None, True, "quiet", "quiet"),
        ("json", True, "json", "json"),
        ("group", False, "group", "group"),
    ],
)
def test_a_terminal_gets_all_at_once_and_a_pipe_one_after_the_other(
    mode: str | None,
    quiet: bool,
    on_terminal: str,
    in_pipe: str,
    terminal: TextIO,
    pipe: TextIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modes = []
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stdout", stream)
        modes.append(output_mode(mode, quiet=quiet, log="auto").mode)

    assert [on_terminal, in_pipe] == modes


@pytest.mark.parametrize(
    ("variable", "value", "colours"),
    [("NO_COLOR", "1", False), ("NO_COLOR", "", True), ("TERM", "dumb", False)],
)
def test_colours_are_for_terminals_that_want_them(
    variable: str, value: str, colours: bool, terminal: TextIO, pipe: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    found = []
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stdout", stream)
        found.append(output_mode(None, quiet=False, log="auto").colors)

    assert [colours, False] == found


@pytest.mark.parametrize(
    ("mode", "told"), [(None, True), ("stream", True), ("quiet", False), ("json", False)]
)
def test_github_is_told_where_people_read_the_output(
    mode: str | None, told: bool, pipe: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    assert told == output_mode(mode, quiet=False, log="auto").for_github


def test_events_are_logged_beside_the_output_only_where_somebody_asked(
    pipe: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", pipe)

    assert [False, True, True] == [
        output_mode(None, quiet=False, log=log).with_log for log in ("auto", "text", "json")
    ]


def test_github_says_that_it_is_there() -> None:
    assert [True, False, False] == [
        in_github(environ) for environ in ({"GITHUB_ACTIONS": "true"}, {"GITHUB_ACTIONS": "no"}, {})
    ]


def test_on_github_jobs_are_grouped_even_where_stdout_is_a_terminal(
    terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    assert "group" == output_mode(None, quiet=False, log="auto").mode
