"""The admin: requests become calls on the run, mistakes become answers, and nothing raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.supervisor.admin import AdminApi


class Run:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def snapshot(self) -> dict[str, Any]:
        workers = [{"worker": "c1", "state": "alive"}, {"worker": "c2", "state": "ended"}]
        return {"workers": workers, "stages": [{"name": "eater"}]}

    def stop_from_outside(self) -> None:
        self.told.append(("stop",))

    def end_worker(self, worker: str) -> str:
        self.told.append(("end", worker))
        return "SIGTERM"

    def stacks(self, worker: str) -> str:
        self.told.append(("stacks", worker))
        return "x" * 100_000

    def resize(self, stage: str, count: int) -> None:
        if count == 13:
            raise UsageError("not thirteen")
        self.told.append(("resize", stage, count))


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"do": "stop"}, [("stop",)]),
        ({"do": "stop", "worker": "c1"}, [("end", "c1")]),
        ({"do": "scale", "stage": "eater", "count": 4}, [("resize", "eater", 4)]),
        ({"do": "stacks", "worker": "c1"}, [("stacks", "c1")]),
        ({"do": "status"}, []),
    ],
)
def test_a_request_becomes_a_call(request_: dict[str, Any], told: list[tuple[Any, ...]]) -> None:
    run = Run()

    answer = AdminApi(run).handle(request_)

    assert (told, False) == (run.told, "error" in answer)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"do": "stpo"}, "a run can't be asked to 'stpo'; did you mean 'stop'?"),
        ({}, "a run can't be asked to 'None'; known here: status, stop, scale, tap, stacks"),
        (
            {"do": nested(900)},
            "a run can't be asked to '[[[[… 1 in all]]]]'; known here: status, stop, scale, tap, stacks",
        ),
        ({"do": "stop", "worker": "x1"}, "the run has no worker 'x1'; did you mean 'c1'?"),
        ({"do": "stop", "worker": "c2"}, "worker 'c2' has ended already"),
        ({"do": "stacks", "worker": "c2"}, "worker 'c2' has ended already"),
        ({"do": "stacks"}, "the run has no worker 'None'; known here: c1, c2"),
        ({"do": "scale", "stage": "eatr", "count": 2}, "the run has no stage 'eatr'; did you mean 'eater'?"),
        ({"do": "scale", "stage": "eater", "count": 0}, "a stage has 1 to 10000 workers, got 0"),
        ({"do": "scale", "stage": "eater", "count": True}, "a stage has 1 to 10000 workers, got True"),
        ({"do": "scale", "stage": "eater", "count": 13}, "not thirteen"),
    ],
)
def test_a_mistake_becomes_an_answer(request_: dict[str, Any], error: str) -> None:
    run = Run()

    assert ({"error": error}, []) == (AdminApi(run).handle(request_), run.told)


def test_stacks_are_cut_to_what_an_answer_holds() -> None:
    answer = AdminApi(Run()).handle({"do": "stacks", "worker": "c1"})

    assert len(answer["stacks"]) < 60_000


@given(
    st.dictionaries(
        st.sampled_from(["do", "worker", "stage", "count", "x"]), st.from_type(type(None)) | st.text()
    )
)
def test_no_request_whatever_makes_it_raise(request_: dict[str, Any]) -> None:
    assert isinstance(AdminApi(Run()).handle(request_), dict)
