"""What pages may do: stop a run, scale a stage, end a worker, cancel a job, by the ways of the command line.

POST ──► Asked ──► control socket of the run ──► a sentence, or UsageError with the run's own words
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from runner.errors import UsageError
from runner.facts import dataclass
from runner.store.control_socket import ask
from runner.store.run_folder import RunFolder
from runner.units import counted


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page has sent."""

    fields: Mapping[str, Any]

    @classmethod
    def parse(cls, body: bytes) -> Asked:
        """Read it. Raises UsageError."""
        try:
            fields = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise UsageError("expected an object of JSON")
        return cls(fields)

    def word(self, name: str) -> str:
        """Return a text. Raises UsageError."""
        found = self.fields.get(name)
        if not isinstance(found, str):
            raise UsageError(f"expected a text as '{name}'")
        return found

    def number(self, name: str) -> int:
        """Return a whole number. Raises UsageError."""
        found = self.fields.get(name)
        if not isinstance(found, int) or isinstance(found, bool):
            raise UsageError(f"expected a number as '{name}'")
        return found


def stop_run(run_folder: RunFolder, asked: Asked) -> str:
    """Stop the run, or one of its workers or jobs."""
    chosen = {key: asked.word(key) for key in ("worker", "job") if key in asked.fields}
    answer = ask(run_folder.path, {"do": "stop", **chosen})
    if "job" in chosen:
        return f"cancelled {', '.join(answer['cancelled'])}"
    if "worker" in chosen:
        by = f" ({answer['signal']})" if answer["signal"] else ""
        return f"asked worker '{chosen['worker']}' to end{by}"
    return "asked the run to stop"


def scale_stage(run_folder: RunFolder, asked: Asked) -> str:
    """Give a stage so many workers more or fewer than it is to have now."""
    stage, by = asked.word("stage"), asked.number("by")
    status = ask(run_folder.path, {"do": "status"})
    known = {each["name"]: each["workers"] for each in status["stages"]}
    if stage not in known:
        raise UsageError(f"the run has no stage '{stage}'")
    answer = ask(run_folder.path, {"do": "scale", "stage": stage, "count": known[stage] + by})
    return f"stage '{stage}' goes to {counted(answer['count'], 'worker')}"


Action = Callable[[RunFolder, Asked], str]
ACTIONS: Mapping[str, Action] = {"stop": stop_run, "scale": scale_stage}
