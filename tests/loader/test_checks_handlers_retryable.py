"""The exceptions that `retry.on` names: a slip of the finger is told, what may be somewhere is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.checks.handlers import check_retryable
from runner.spec.failures import RetryPolicy
from runner.spec.model import HandlerRef, StageSpec

SOURCE = """\
from elsewhere import TimeoutErrors
import requests

class SteamTooCold(Exception):
    pass

def eat(item):
    pass
"""


def helps(folder: Path, *names: str, handler: HandlerRef) -> list[tuple[tuple[str | int, ...], str | None]]:
    (folder / "kitchen.py").write_text(SOURCE)
    stage = StageSpec("eater", handler, receives="q", retry=RetryPolicy(attempts=3, on=names))
    return [(fault.where, fault.help) for fault in check_retryable(stage, folder)]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ConnectionError", None),
        ("ConectionError", "ConnectionError"),
        ("connectionerror", "ConnectionError"),
        ("builtins.ConnectionError", None),
        ("builtins.ConectionError", "ConnectionError"),
        ("SteamTooCold", None),
        ("SteamToCold", "SteamTooCold"),
        ("TimeoutErrors", None),
        ("requests.Timeout", None),
        ("reqests.Timeout", None),
        ("HTTPError", None),
        ("JSONDecodeError", None),
    ],
)
def test_a_name_one_slip_from_an_exception_is_refused(tmp_path: Path, name: str, meant: str | None) -> None:
    found = helps(tmp_path, name, handler=HandlerRef("python", "kitchen:eat"))

    expected = [] if meant is None else [(("retry", "on"), f"did you mean '{meant}'?")]
    assert expected == found


def test_each_of_several_names_is_pointed_at(tmp_path: Path) -> None:
    found = helps(tmp_path, "OSError", "KeyEror", handler=HandlerRef("python", "kitchen:eat"))

    assert [(("retry", "on", 1), "did you mean 'KeyError'?")] == found


@pytest.mark.parametrize("handler", [HandlerRef("command", "command"), HandlerRef("python", "nowhere:eat")])
def test_where_there_is_no_source_the_builtins_are_still_known(tmp_path: Path, handler: HandlerRef) -> None:
    found = helps(tmp_path, "SteamTooCold", "OSError", "ValueErrr", handler=handler)

    assert [(("retry", "on", 2), "did you mean 'ValueError'?")] == found
