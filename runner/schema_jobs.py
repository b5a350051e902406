"""The keys of `jobs`, for the schema of a workflow file: GitHub's words where people know them.

What a matrix gives a leg is put in before a leg is checked, so `continue-on-error: ${{ matrix.risky }}` is a boolean
by the time it is judged.
"""

from __future__ import annotations

from typing import Any

from runner.schema_job_parts import attempts, concurrency, or_mapping, outputs
from runner.schema_parts import (
    ALSO_KNOWN_AS,
    ENV_NAME_PATTERN,
    NAME,
    closed,
    duration,
    env,
    named,
    text,
    texts,
)
from runner.spec_jobs import JobSpec, ReadySpec

Fragment = dict[str, Any]


def jobs_section() -> Fragment:
    """Return the schema of `jobs`."""
    job = {
        "description": "Steps that run once, when the jobs that it needs are done. Where it has a matrix, it is "
        "one job for each combination.",
        **closed(_job_keys()),
        "not": {"required": ["run", "steps"], "description": "keep one; `run` is short for a single step"},
        "anyOf": [{"required": ["run"]}, {"required": ["steps"]}],
    }
    return named(job, "Jobs by name: what a CI system runs, ordered by `needs`.", minProperties=1)


def _job_keys() -> Fragment:
    return {
        "description": text("What the job is for."),
        "needs": {
            "type": ["string", "array"],
            "items": _need(),
            "title": "a job's name, or a list of names",
            "description": "Jobs that must be over before this one starts. It runs if none of them has failed or was "
            "cancelled, and `if` says nothing else. One that was skipped by its own `if`, or as it was up to date, "
            "is no hindrance.",
            ALSO_KNOWN_AS: ["depends-on", "depends_on", "deps", "requires", "after"],
        },
        "if": _condition("Whether the job runs", "`matrix.x`, "),
        "strategy": _strategy(),
        **_work_keys(),
        **_side_keys(),
        **_bound_keys(),
        "inputs": texts(
            "Globs of files, from the job's folder. With these the job is skipped when it has passed before and since "
            "then no input, no output and nothing of its definition has changed.",
            {"type": "string", "minLength": 1},
            title="a glob, or a list of globs",
        ),
        "outputs": outputs(),
    }


def _side_keys() -> Fragment:
    """What is beside the work itself."""
    return {
        "ensure": _steps(
            "Clean-up: steps that run after all others, whatever became of them, also when the job is cancelled or out "
            "of time. A step of it that fails makes the job fail. Each has a minute, if it has no `timeout` of its own."
        ),
        "services": named(_service(), "Processes in the background of the job, by name."),
        "dotenv": texts(
            "Files of variables, under `env`. Paths start at the workflow file's folder.",
            {"type": "string", "minLength": 1},
            title="the path of a file, or a list of paths",
        ),
        "secrets": texts(
            "Names of environment variables whose values are secret. The job gets them, other jobs don't, and wherever "
            "a value would be shown there is `***`. In texts: `${{ secrets.NAME }}`.",
            {"type": "string", "pattern": ENV_NAME_PATTERN},
            title="a variable's name, or a list of names",
        ),
    }


def _bound_keys() -> Fragment:
    """How long it may take, how often it is tried, and whether it may fail."""
    return {
        "timeout": {
            **duration("The longest it may take, with all attempts and the waits between them."),
            ALSO_KNOWN_AS: ["timeout-minutes", "deadline"],
        },
        "idle-timeout": duration("The longest that it may print nothing. It is then stopped, and fails."),
        "attempts": attempts(),
        "continue-on-error": {
            "type": "boolean",
            "default": False,
            "description": "Whether the job may fail. If it does its result is `allowed`: the run does not fail, what "
            "needs it runs, and the end of the run says so.",
            ALSO_KNOWN_AS: ["allow-failure", "allow_failure"],
        },
        "concurrency": concurrency(),
    }


def _work_keys() -> Fragment:
    return {
        "run": _run("The one command of a job that has no `steps`."),
        "steps": _steps("Commands that run one after the other. The first that fails ends the job."),
        **_shell_keys("job"),
        "env": env("Environment variables of all its steps, on top of the workflow's own."),
    }


def _need() -> Fragment:
    keys = {
        "job": {**NAME, "description": "The job to wait for."},
        "optional": {
            "type": "boolean",
            "default": False,
            "description": "Whether it does not matter what becomes of it.",
        },
    }
    return {
        "type": ["string", "object"],
        "title": "a job's name, or a mapping with 'job' and 'optional'",
        **or_mapping(keys, ("job",)),
    }


def _condition(what: str, more: str = "") -> Fragment:
    return {
        "type": ["string", "boolean"],
        "title": "a condition such as always() or needs.build.result == 'passed'",
        "description": f"{what}: an expression of `success()`, `failure()`, `always()`, `cancelled()`, "
        f"`needs.x.result`, `needs.x.outputs.y`, {more}`params.x`, `env.X`, texts in single quotes, "
        "`==`, `!=`, `<`, `>`, `&&`, `||`, `!`, `contains(a, b)`, `startsWith(a, b)` and `endsWith(a, b)`. Without one "
        "of the first four it is `success() && (…)`.",
        "examples": ["always()", "needs.build.outputs.changed == 'yes'"],
        ALSO_KNOWN_AS: ["when", "only-if", "condition"],
    }


def _strategy() -> Fragment:
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
    keys = {
        "matrix": matrix,
        "fail-fast": {
            "type": "boolean",
            "default": JobSpec.__dataclass_fields__["fail_fast"].default,
            "description": "Whether the other legs are cancelled when one has failed.",
        },
        "max-parallel": {
            "type": "integer",
            "minimum": 1,
            "description": "The most legs that run at once. Without it, `--jobs` alone is the bound.",
        },
    }
    return {"description": "How the job becomes many.", **closed(keys)}


def _run(description: str) -> Fragment:
    return {
        "type": ["string", "array"],
        "title": "a text for the shell, or a program with its arguments as a list",
        "description": f"{description} A text is for the shell; a list is a program and its arguments, without one. "
        "The value of a `${{ … }}` in a text never becomes part of the script, so that no quote in it is obeyed: it is "
        "one word, and in a script for another shell than `sh`, `bash` and the like it can't stand. Only where the "
        "text is one reference and nothing else, the value is the script.",
        "minLength": 1,
        "minItems": 1,
        "items": {"type": ["string", "integer"], "title": "a text or an integer"},
        "examples": ["pytest -q", ["python", "-m", "build"]],
        ALSO_KNOWN_AS: ["command", "commands", "cmd", "cmds", "script", "exec", "sh"],
    }


def _steps(description: str) -> Fragment:
    keys = {
        "name": text("What it is called where the run is shown.", minLength=1),
        "run": _run("What it does."),
        "if": _condition("Whether the step runs, given the steps before it"),
        **_shell_keys("step"),
        "env": env("Environment variables of this step, on top of the job's."),
        "timeout": duration("The longest it may take."),
        "continue-on-error": {
            "type": "boolean",
            "default": False,
            "description": "Whether the job goes on, and passes, if this step fails.",
        },
    }
    step = {
        "type": ["string", "object"],
        "minLength": 1,
        "title": "a text for the shell, or a mapping with 'run'",
        **or_mapping(keys, ("run",)),
    }
    return {
        "type": "array",
        "items": step,
        "minItems": 1,
        "title": "a list of steps",
        "description": description,
    }


def _shell_keys(of: str) -> Fragment:
    inherited = "its steps" if of == "job" else "the step"
    return {
        "shell": text(
            f"What runs a text of {inherited}: `sh`, `bash`, `python`, or a program with arguments in which `{{0}}` is "
            "the file that holds the text. `sh` and `bash` stop at the first command that fails.",
            default="sh",
            minLength=1,
            examples=["bash", "python", "perl {0}"],
        ),
        "working-directory": text(
            f"The folder in which {inherited} run{'s' if of == 'step' else ''}. A relative path starts at the "
            f"{'workflow file' if of == 'job' else 'job'}'s folder.",
            pattern=r"^[^\x00]+$",
            title="the path of a folder",
            **{ALSO_KNOWN_AS: ["cwd", "dir", "workdir", "working_directory"]},
        ),
    }


def _service() -> Fragment:
    usual = ReadySpec()
    ready = {
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "description": "It is ready when this TCP port takes a connection.",
        },
        "host": text("The machine of `port`.", default=usual.host),
        "run": _run("It is ready when this exits with 0."),
        "prints": text("It is ready when it has printed a line in which this regular expression is found."),
        "every": {**duration("The time between two looks."), "default": usual.every},
        "timeout": {**duration("The longest it may take to be ready."), "default": usual.timeout},
    }
    keys = {
        "run": _run("What is kept running."),
        "ready": {
            "description": "How it is found out that it is ready; the steps wait for it. Without it, it is ready at "
            "once.",
            **closed(ready),
            "anyOf": [{"required": ["port"]}, {"required": ["run"]}, {"required": ["prints"]}],
        },
        **_shell_keys("step"),
        "env": env("Environment variables of this service, on top of the job's."),
    }
    described = (
        "A process that is started before the steps and stopped after them. If it ends before, the job fails."
    )
    return {"description": described, **closed(keys, required=("run",))}
