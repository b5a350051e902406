"""What a file may say of failures, and what it comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.loader.load import check
from runner.spec.failures import OnError, RestartOn, RestartPolicy, RetryPolicy
from runner.spec.model import StageSpec

HEAD = "name: t\ntransport: leased\nstages:\n  chef: {run: 'h:make', to: q}\n  eater:\n    run: h:eat\n    from: q\n"


def checked(folder: Path, keys: str) -> tuple[StageSpec | None, list[str]]:
    (folder / "h.py").write_text("def make():\n    yield 1\ndef eat(item):\n    pass\n")
    (folder / "t.yaml").write_text(f"{HEAD}    {keys}\n")
    found = check(folder / "t.yaml")
    codes = [diagnostic.code for diagnostic in found.diagnostics]
    return (found.spec.stages[1] if found.spec else None), codes


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("daemon: false", {"restart": None, "retry": RetryPolicy(), "on_error": OnError.FAIL}),
        ("restart: never", {"restart": RestartPolicy(on=RestartOn.NEVER)}),
        ("restart: {max: 3, within: 10m}", {"restart": RestartPolicy(RestartOn.CRASH, 3, 600.0)}),
        ("restart: {on: always}", {"restart": RestartPolicy(RestartOn.ALWAYS)}),
        (
            "retry: {attempts: 3, backoff: 1s, max_backoff: 1m}",
            {"retry": RetryPolicy(3, 1.0, 60.0, deaths=3)},
        ),
        (
            "retry: {attempts: 2, on: ValueError}",
            {"retry": RetryPolicy(attempts=2, on=("ValueError",), deaths=2)},
        ),
        (
            "retry: {attempts: 2, on: [OSError, requests.Timeout]}",
            {"retry": RetryPolicy(attempts=2, on=("OSError", "requests.Timeout"), deaths=2)},
        ),
        ("on_error: dead_letter", {"on_error": OnError.DEAD_LETTER}),
    ],
)
def test_what_a_stage_says_of_failures_is_what_it_gets(
    tmp_path: Path, keys: str, expected: dict[str, Any]
) -> None:
    stage, codes = checked(tmp_path, keys)

    assert [] == codes
    assert expected == {key: getattr(stage, key) for key in expected}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("restart: sometimes", ["wrong-format"]),
        ("restart: {max: -1}", ["out-of-range"]),
        ("restart: {tries: 3}", ["unknown-key"]),
        ("retry: {attempts: 0}", ["out-of-range"]),
        ("retry: {attempts: 2, on: [not a name]}", ["wrong-format"]),
        ("retry: 3", ["wrong-type"]),
        ("on_error: ignore", ["wrong-format"]),
        ("on_error: {}", ["missing-key"]),
        ("on_error: {to: 7}", ["wrong-type"]),
    ],
)
def test_what_makes_no_sense_is_a_problem(tmp_path: Path, keys: str, expected: list[str]) -> None:
    _, codes = checked(tmp_path, keys)

    assert expected == codes


def test_on_is_a_trap_elsewhere_and_a_key_here(tmp_path: Path) -> None:
    _, inside = checked(tmp_path, "retry: {attempts: 2, on: OSError}")
    _, outside = checked(tmp_path, "env: {on: 'x'}")

    assert ([], ["boolean-key"]) == (inside, outside)
