"""The schema of `jobs`: the keys that the fields of the spec declare, put together, with what no field says."""

from __future__ import annotations

from runner.spec.jobs.commands import ServiceSpec
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.spec.keys import Fragment, closed, closed_mapping, description_of, fragments_of, named


def jobs_section() -> Fragment:
    """Return the schema of `jobs`."""
    job = {
        "description": description_of(JobSpec),
        **closed(_job_keys()),
        "not": {"required": ["run", "steps"], "description": "keep one; `run` is short for a single step"},
        "anyOf": [{"required": ["run"]}, {"required": ["steps"]}],
    }
    return named(job, "Jobs by name: what a CI system runs, ordered by `needs`.", minProperties=1)


def _job_keys() -> Fragment:
    """The keys of a job as such, and of each of its legs."""
    job, leg = fragments_of(JobSpec), fragments_of(LegSpec)
    services = named(closed_mapping(ServiceSpec), leg["services"]["description"])
    return {
        "description": job["description"],
        "manual": job["manual"],
        "needs": job["needs"],
        "if": leg["if"],
        "strategy": _strategy(job),
        **leg,
        "services": services,
    }


def _strategy(job: Fragment) -> Fragment:
    entry = {"type": "object", "minProperties": 1, "title": "a mapping of values by key"}
    matrix = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "include": {
                "type": "array",
                "items": entry,
                "description": "Entries that add keys to combinations, or are combinations of their own.",
            },
            "exclude": {"type": "array", "items": entry, "description": "Combinations to leave out."},
        },
        "additionalProperties": {"type": "array", "minItems": 1, "title": "a list of values"},
        "description": "Lists of values by key: the job runs once for each combination, as `${{ matrix.key }}`.",
    }
    prefix = "strategy."
    keys = {name.removeprefix(prefix): value for name, value in job.items() if name.startswith(prefix)}
    return {"description": "How the job becomes many.", **closed({"matrix": matrix, **keys})}
