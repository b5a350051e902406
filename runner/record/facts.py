"""What a record says of its run as a whole: what was run, with what, where, and by which process.

Plan ──► begin_facts ──► the first line to the recorder          no environment, and no secret
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.spec.obstacles import obstacles_as_facts, run_obstacles
from runner.store.dead_letters import SOURCE

if TYPE_CHECKING:
    from runner.spec.model import WorkflowSpec
    from runner.spec.plan import Plan

MASK = "***"
"""What stands where a secret stood."""
SECRET_LOST = "was given a secret by --param or --set, which was not kept"
"""Why a run can't be run once more of which not all is known that it was given."""
ARGUMENT_LOST = "was given a secret behind `--`, which was not kept"


def begin_facts(plan: Plan) -> dict[str, Any]:
    """Return what is known of a run before it begins."""
    file = plan.path.absolute()
    handlers = (worker.handler.target for worker in plan.workers if worker.handler.kind == "python")
    return {
        "workflow": plan.name,
        "file": str(file),
        "text": plan.given.text,
        "included": dict(plan.given.included),
        "params": plan.given.params,
        "overrides": plan.given.overrides,
        "args": plan.given.args,
        "trigger": plan.given.trigger,
        "exact": plan.given.exact,
        "argv": sys.argv,
        "cwd": _current_folder(),
        "transport": plan.transport,
        "replays_letters": any(worker.handler == SOURCE for worker in plan.workers),
        "jobs": [leg.id for job in plan.jobs for leg in job.legs],
        "fsync": plan.resume.fsync,
        "obstacles": obstacles_as_facts(run_obstacles(plan)),
        "modules": [] if plan.jobs else modules_of(handlers, file.parent),
        "pid": os.getpid(),
        "at": time.time(),
    }


def why_not_again(facts: Mapping[str, Any]) -> str | None:
    """Say why nobody can run a run once more, or go on with it, by what is kept of it; None where that is enough."""
    if not facts.get("text"):
        return "can't be run again: its file is not in its record"
    if facts.get("replays_letters"):
        return "has put dead letters back, and can't be run again: `mprun dlq replay` puts those back that are left"
    if any(MASK in each for each in (*(facts.get("params") or ()), *(facts.get("overrides") or ()))):
        return SECRET_LOST
    if any(MASK in each for each in facts.get("args") or ()):
        return ARGUMENT_LOST
    return None


def _current_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it has been removed
        return ""


Mask = Callable[[Any], Any]
"""Returns what it is given without any secret in it, however deep."""


def mask_for(plan: Plan | WorkflowSpec, environ: Mapping[str, str] = os.environ) -> Mask | None:
    """Return what takes the secrets of its jobs out of whatever is kept or told of a run; None where it has none."""
    if not any(leg.secrets for job in plan.jobs for leg in job.legs):
        return None
    from runner.jobs.masking import Masker
    from runner.jobs.requests import Secrets

    masker = Masker(Secrets.gathered(plan.jobs, environ).values.values())
    alike = _told_apart([leg.id for job in plan.jobs for leg in job.legs], masker.text)

    def mask(value: Any) -> Any:
        match value:
            case str():
                return alike.get(value) or masker.text(value)
            case Mapping():
                return {mask(key): mask(inner) for key, inner in value.items()}
            case list() | tuple():
                return [mask(inner) for inner in value]
            case int() | float() | None:
                return value
        return masker.text(repr(value))  # as which it would be written

    return mask


def _told_apart(legs: Iterable[str], masked: Callable[[str], str]) -> dict[str, str]:
    """Return other names for legs that are called as one before them is once secrets are out."""
    seen, names = Counter[str](), dict[str, str]()
    for leg in legs:
        shown = masked(leg)
        seen[shown] += 1
        if seen[shown] > 1:
            names[leg] = f"{shown} #{seen[shown]}"
    return names


def modules_of(targets: Iterable[str], beside: Path) -> list[str]:
    """Return the files beside a workflow that its handlers, written `module:name`, are in."""
    names = dict.fromkeys(target.partition(":")[0].replace(".", "/") for target in targets if ":" in target)
    places = (beside / found for name in names for found in (f"{name}.py", f"{name}/__init__.py"))
    # Not `is_file` of a path, which raises where a folder is closed to us.
    return [str(place) for place in places if os.path.isfile(place)]  # noqa: PTH113
