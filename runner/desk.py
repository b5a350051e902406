"""The desk: what a run that is under way can be asked and told, and its answers.

{"do": "status"}                                     workers, queues, phase
{"do": "stop"}                                       as the first Ctrl-C
{"do": "stop", "worker": "c1"}                       SIGTERM to one worker; asked again, SIGKILL
{"do": "scale", "stage": "eater", "count": 4}        more workers, or fewer
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from runner.errors import UsageError
from runner.problems import did_you_mean

MOST_WORKERS = 10_000


class Underway(Protocol):
    """The run, as the desk sees it."""

    def snapshot(self) -> dict[str, Any]:
        """Tell workers, queues and phase."""

    def stop_from_outside(self) -> None:
        """Begin to stop, as at the first Ctrl-C; asked again, kill."""

    def end_worker(self, worker: str) -> str:
        """Signal one worker that is alive; return the signal's name. Raises `UsageError` where that can't be."""

    def resize(self, stage: str, count: int) -> None:
        """Bring a stage to `count` workers. Raises `UsageError` where that can't be."""


class Desk:
    """Turns requests into calls, and mistakes into answers."""

    def __init__(self, run: Underway) -> None:
        self._run = run
        self._answers: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "status": self._status,
            "stop": self._stop,
            "scale": self._scale,
        }

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked and say what came of it; `{"error": why}` where it can't be done. Never raises."""
        wanted = str(request.get("do"))
        try:
            if wanted not in self._answers:
                raise UsageError(f"a run can't be asked to '{wanted}'; {did_you_mean(wanted, self._answers)}")
            return self._answers[wanted](request)
        except UsageError as error:
            return {"error": str(error)}

    def _status(self, request: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - each answer gets the request
        return self._run.snapshot()

    def _stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if "worker" not in request:
            self._run.stop_from_outside()
            return {"stopping": True}
        worker = _known(
            "worker", request["worker"], [each["worker"] for each in self._run.snapshot()["workers"]]
        )
        state = next(each["state"] for each in self._run.snapshot()["workers"] if each["worker"] == worker)
        if state not in ("alive", "terminating"):
            raise UsageError(
                f"worker '{worker}' {'has ended already' if state == 'ended' else 'has not begun yet'}"
            )
        return {"terminating": worker, "signal": self._run.end_worker(worker)}

    def _scale(self, request: Mapping[str, Any]) -> dict[str, Any]:
        stage = _known(
            "stage", request.get("stage"), [each["name"] for each in self._run.snapshot()["stages"]]
        )
        count = request.get("count")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_WORKERS:
            raise UsageError(f"a stage has 1 to {MOST_WORKERS} workers, got {count!r}")
        self._run.resize(stage, count)
        return {"stage": stage, "count": count}


def _known(what: str, name: object, known: Sequence[str]) -> str:
    if not isinstance(name, str) or name not in known:
        raise UsageError(f"the run has no {what} '{name}'; {did_you_mean(str(name), known)}")
    return name
