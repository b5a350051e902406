"""The keys of a job that have a short form: attempts, groups and outputs, for the schema of `jobs`."""

from __future__ import annotations

from typing import Any

from runner.schema_parts import ALSO_KNOWN_AS, NAME, closed, duration, texts
from runner.spec_jobs import AttemptsSpec, ConcurrencySpec

Fragment = dict[str, Any]

MOST_ATTEMPTS = 1000


def attempts() -> Fragment:
    """How often a job is tried, and when."""
    usual = AttemptsSpec()
    most = {"type": "integer", "minimum": 1, "maximum": MOST_ATTEMPTS}
    keys = {
        "max": {**most, "default": usual.max, "description": "How often it is tried in all."},
        "backoff": _wait(
            "The wait before the second attempt; each further one is twice as long.", usual.backoff
        ),
        "max-backoff": _wait("The longest wait between two attempts.", usual.max_backoff),
        "on": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 255},
            "minItems": 1,
            "title": "a list of exit codes",
            "description": "The exit codes that are worth another attempt; signal n counts as 128 + n. Without it "
            "every failure is.",
        },
        "timeout": duration("The longest that one attempt may take."),
    }
    return {
        "type": ["integer", "object"],
        **{key: value for key, value in most.items() if key != "type"},
        **or_mapping(keys),
        "title": "a number of attempts, or a mapping with 'max', 'backoff', 'on' and so on",
        "description": "How often the job is tried before it has failed. A number is short for `max`.",
        ALSO_KNOWN_AS: ["retry", "retries"],
    }


def _wait(description: str, default: float) -> Fragment:
    """A duration that may be nothing."""
    usual = {key: value for key, value in duration(description).items() if key != "exclusiveMinimum"}
    return {**usual, "minimum": 0, "default": default}


def or_mapping(keys: Fragment, required: tuple[str, ...] = ()) -> Fragment:
    """What a value must be if it is a mapping; that it may be something else is said beside it."""
    return {key: value for key, value in closed(keys, required).items() if key != "type"}


def concurrency() -> Fragment:
    """Which jobs may not run at once."""
    usual = ConcurrencySpec("")
    keys = {
        "group": {**NAME, "description": "The group's name, the same in all its jobs."},
        "limit": {
            "type": "integer",
            "minimum": 1,
            "default": usual.limit,
            "description": "How many jobs of the group may run at once.",
        },
        "queue": {
            "enum": ["fifo"],
            "default": "fifo",
            "description": "`fifo`: the others wait, all of them, in the order in which they became ready.",
        },
    }
    return {
        "type": ["string", "object"],
        "minLength": 1,
        **or_mapping(keys, ("group",)),
        "title": "a group's name, or a mapping with 'group'",
        "description": "A group of which only so many jobs run at once: what can't share a port or a database.",
    }


def outputs() -> Fragment:
    """What a job makes."""
    globs = texts(
        "Globs of the files that it makes, from the job's folder. If one is missing the job is not up to date.",
        {"type": "string", "minLength": 1},
        title="a glob, or a list of globs",
    )
    values = texts(
        "Names of the values that it writes as `name=value` lines to the file `$MPRUN_OUTPUT`. Jobs that need it use "
        "them as `${{ needs.<job>.outputs.<name> }}`; a matrix gives a map of its legs. One that is missing at the end "
        "makes the job fail.",
        {"type": "string", "pattern": r"^[^\W\d][\w-]*$"},
        title="a name, or a list of names",
    )
    return {
        "type": ["string", "array", "object"],
        "items": {"type": "string", "minLength": 1},
        "minLength": 1,
        **or_mapping({"files": globs, "values": values}),
        "title": "globs, or a mapping with 'files' and 'values'",
        "description": "What it makes: files, and values for the jobs that need it. Globs alone are short for `files`.",
    }
