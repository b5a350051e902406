"""The contexts as one leg of a job sees them, and as texts have them. Pure.

github.job, strategy.job-index        of each leg its own
what nobody knows                     null in a condition, nothing in a text; never a mistake below `github.event`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runner.spec.dotted_names import follow
from runner.spec.references import OpenMapping

_OPEN = ("vars",)
"""Contexts in which any name may be asked for."""


def contexts_of_leg(
    contexts: Mapping[str, Mapping[str, Any]], job: str, strategy: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Return what conditions of a leg may ask for beside `needs`, `matrix`, `params` and `env`."""
    return {**contexts, **of_job(contexts, job), "strategy": strategy}


def of_job(contexts: Mapping[str, Mapping[str, Any]], job: str) -> dict[str, Mapping[str, Any]]:
    """Return the contexts that are not the same for all jobs."""
    return {"github": {**contexts["github"], "job": job}} if "github" in contexts else {}


def strategy_of(strategy: Mapping[str, Any], index: int, total: int) -> dict[str, Any]:
    """Return what `strategy` is for one of the legs that a job has; GitHub's words and defaults."""
    return {
        "fail-fast": strategy.get("fail-fast", True),
        "job-index": index,
        "job-total": total,
        "max-parallel": strategy.get("max-parallel", total),
    }


def as_texts(contexts: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return contexts for the references of texts: what is null there is nothing."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, context in contexts.items():
        filled = {key: _without_null(value) for key, value in context.items()}
        if name == "github":
            event = filled.get("event")
            filled["event"] = OpenMapping(event if isinstance(event, dict) else {})
        found[name] = OpenMapping(filled) if name in _OPEN else filled
    return found


def asked_values(names: Iterable[tuple[str, ...]], contexts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the values of those of the names that lead into the contexts: what tells one run of a job from another."""
    found = {names: follow(contexts, names) for names in names if names[0] in contexts}
    return sorted(
        (".".join(names), repr(value) if depth == len(names) else "")
        for names, (value, depth) in found.items()
    )


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_without_null(below) for below in value]
    return "" if value is None else value
