"""How a process ended, in words."""

from __future__ import annotations

import pytest

from runner.exit_status import describe_alone, describe_status
from runner.ipc.messages import Exited


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by SIGKILL"),
        (-40, "was killed by signal 40"),  # a real-time signal has a number and no name
    ],
)
def test_an_exit_is_told_by_its_code_or_its_signal(code: int, expected: str) -> None:
    assert (expected, expected.removeprefix("was ")) == (describe_status(code), describe_alone(code))


@pytest.mark.parametrize(
    ("code", "expected"), [(0, None), (3, None), (-9, "SIGKILL"), (-15, "SIGTERM"), (-40, "signal 40")]
)
def test_a_negative_exit_code_names_its_signal(code: int, expected: str | None) -> None:
    assert expected == Exited("neo", pid=11, code=code).signal_name
