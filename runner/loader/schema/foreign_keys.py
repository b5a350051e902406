"""Keys that other CI systems have and jobs here do not, each with what is there instead.

Whoever pastes such a file gets one word on each of them, and none on what follows from it: a step with `uses` is not
told that it has no `run` too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.spec.diagnostics import DataPath

_NOT_HERE = "take it out: all jobs run on this machine, as whoever starts them"
_CONTAINER = "take it out, and start the container in a step: run: docker run …"
_BY_IF = "say it in `if`"

_AT_THE_TOP: Mapping[str, str] = {
    "on": "take it out: a run begins when somebody starts it, such as a CI system by `mprun FILE`",
    "permissions": _NOT_HERE,
    "concurrency": "say `concurrency` in the jobs that can't run at once",
    "run-name": "take it out: `name` is what it is called",
    "image": _CONTAINER,
    "variables": "write `env`",
    "before_script": "make it the first of the `steps` of each job",
    "after_script": "say `ensure` in the jobs",
}
_IN_A_JOB: Mapping[str, str] = {
    "runs-on": _NOT_HERE,
    "tags": _NOT_HERE,
    "permissions": _NOT_HERE,
    "environment": _NOT_HERE,
    "container": _CONTAINER,
    "image": _CONTAINER,
    "uses": "no other workflow can be called: put its jobs into a file, and `include` that",
    "with": "no other workflow can be called: use `params`",
    "name": "the key above is its name; what it is for is said in `description`",
    "defaults": "say `shell` and `working-directory` in the job itself, or for all jobs in `defaults: {job: …}` at the "
    "top",
    "stage": "take it out: the order comes from `needs`",
    "before_script": "make it the first of the `steps`",
    "after_script": "write `ensure`",
    "variables": "write `env`",
    "artifacts": "write `outputs`: what it names is there for the jobs that need this one",
    "rules": _BY_IF,
    "only": _BY_IF,
    "except": _BY_IF,
}
_IN_A_STEP: Mapping[str, str] = {
    "uses": "there are no actions here: write in `run` what it does",
    "with": "there are no actions here: use `env`",
}
_IN_A_SERVICE: Mapping[str, str] = {
    "image": "write what starts it, such as run: docker run --rm -p 5432:5432 postgres",
    "ports": "write ready: {port: …}, and hand the port on where it is started",
    "options": "hand them on where it is started, in `run`",
}
_IN_DEFAULTS: Mapping[str, str] = {
    "run": "write defaults: {job: {shell: …, working-directory: …}}",
    "jobs": "write defaults: {job: …}",
}
_OF_ONE_JOB = "no two jobs have it in common: say it in the job"
_IN_JOB_DEFAULTS: Mapping[str, str] = {
    **dict.fromkeys(("run", "steps", "needs", "strategy", "description", "inputs", "outputs"), _OF_ONE_JOB),
    "if": "a condition for all jobs would skip the clean-up too: say it in the jobs, or in the first that others need",
    "services": "say it in the jobs, or share it by an anchor: services start anew for each job",
    "ensure": "say it in the jobs, or share it by an anchor: it cleans up after the steps of one job",
}
_CHECKOUT = "take the step out: the files are here already"
_MINUTES = "timeout-minutes"
_CALLABLE = ("module", "function", "callable", "class")
_SPEAKS_FOR = {"uses": ("with", "run", "steps"), "image": ("ports", "options", "run")}
"""What is not told beside such a key, as it follows from it: what goes with it, what lacks because of it."""


def instead_of(owner: DataPath, key: str, value: Mapping[str, Any]) -> str | None:
    """Return what to do about a key of the mapping at `owner`, if it is one of those."""
    if _is_run(owner) and key in _CALLABLE:
        return "a Python callable is written as one text: run: module:function"
    place = _table(owner, value)
    if key == _MINUTES and place is not None and owner:
        minutes = value[key]
        return f"write timeout: {minutes if isinstance(minutes, int) else 10}m"
    if key == "uses" and place is _IN_A_STEP and str(value[key]).startswith("actions/checkout"):
        return _CHECKOUT
    return None if place is None else place.get(key)


def is_told_of(owner: DataPath, key: str, value: Mapping[str, Any]) -> bool:
    """Say whether what is wrong about a key, or that it lacks, follows from another one that is told of."""
    place = _table(owner, value) or {}
    return any(key in _SPEAKS_FOR[other] for other in _SPEAKS_FOR if other in value and other in place)


def _is_run(owner: DataPath) -> bool:
    return len(owner) == 3 and owner[0] == "stages" and owner[2] == "run"


def _table(owner: DataPath, value: Mapping[str, Any]) -> Mapping[str, str] | None:
    match owner:
        case ():
            return _AT_THE_TOP if "jobs" in value else None
        case ("defaults",):
            return _IN_DEFAULTS
        case ("defaults", "job"):
            return _IN_JOB_DEFAULTS
        case ("jobs", _):
            return _IN_A_JOB
        case ("jobs", _, "steps" | "ensure", _):
            return _IN_A_STEP
        case ("jobs", _, "services", _):
            return _IN_A_SERVICE
    return None
