"""What the user wrote under `jobs`, as frozen facts. Made by `build_jobs`, read by the plan and by the DAG.

    jobs.test: {strategy: {matrix: {python: ["3.11", "3.12"]}}, needs: build, …}
        │ one leg for each combination; `${{ matrix.x }}` and `${{ params.x }}` are replaced by now
        ▼
    JobSpec(test, needs=[build], legs=[LegSpec("test (3.11)"), LegSpec("test (3.12)")])

A job without a matrix has one leg, whose id is the job's name. Every default of a job's keys lives here, once. Seconds
for all times. What is only known while jobs run stays in texts as `${{ needs.… }}` and `${{ secrets.… }}`; a
text for a shell keeps all its references, with the values that are known beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


def _nothing() -> Mapping[str, Any]:
    return {}


SHELLS: Mapping[str, tuple[str, ...]] = {
    "sh": ("sh", "-ec", "{text}"),
    "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", "{text}"),
    "python": ("python3", "{0}"),
}
"""What the short names of shells stand for."""


class Result(StrEnum):
    """What became of a leg, or of all the legs of a job. These are the words of `needs.x.result`."""

    PASSED = "passed"
    ALLOWED = "allowed"
    """It failed, and `continue-on-error` says that it may."""
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    FAILED = "failed"

    @property
    def is_failure(self) -> bool:
        """Whether it counts against the run."""
        return self in (Result.FAILED, Result.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """What is run: a text for a shell, or a program with its arguments."""

    run: str | tuple[str, ...]
    shell: tuple[str, ...] = SHELLS["sh"]
    """The program that runs a text: `{text}` is the text itself, `{0}` a file that holds it. Not used for a list."""
    env: Mapping[str, str] = field(default_factory=_nothing)
    directory: str | None = None
    """Relative to the job's folder, or absolute."""
    values: Mapping[str, str] = field(default_factory=_nothing)
    """What the references in a text stand for, by name, as far as that is known before the run: `params.x`."""


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One command of a job. Each has a process group of its own."""

    name: str
    command: CommandSpec
    condition: str = ""
    """The text of `if`; empty is `success()`."""
    timeout: float | None = None
    may_fail: bool = False
    """`continue-on-error`: the job goes on, and passes, if this step fails."""


@dataclass(frozen=True, slots=True)
class ReadySpec:
    """How it is found out that a service is ready: a port that answers, a command that exits 0, or a line it prints."""

    port: int | None = None
    host: str = "127.0.0.1"
    command: CommandSpec | None = None
    prints: str | None = None
    """A regular expression."""
    every: float = 0.1
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A process in the background of a job: begun before its steps, stopped after them."""

    name: str
    command: CommandSpec
    ready: ReadySpec | None = None
    """None is ready at once."""


@dataclass(frozen=True, slots=True)
class AttemptsSpec:
    """How often a job is tried."""

    max: int = 1
    """Attempts in all, the first included."""
    backoff: float = 1.0
    """Before the second attempt; each further one waits twice as long."""
    max_backoff: float = 60.0
    on: tuple[int, ...] = ()
    """Exit codes worth another attempt; empty is every failure."""
    timeout: float | None = None
    """For one attempt."""


@dataclass(frozen=True, slots=True)
class ConcurrencySpec:
    """At most `limit` legs of a group run at once; the others wait in the order in which they became ready."""

    group: str
    limit: int = 1


@dataclass(frozen=True, slots=True)
class Need:
    """A job to wait for."""

    job: str
    optional: bool = False
    """It is waited for, and what became of it does not matter."""


@dataclass(frozen=True, slots=True)
class LegSpec:
    """What is run as one: a job, with one combination of its matrix where it has one."""

    id: str
    """The job's name, and the values of its matrix: `test (3.11, slow)`."""
    job: str
    """The name of the job that it is a leg of."""
    steps: tuple[StepSpec, ...]
    label: str = ""
    """What stands in the brackets of its id: the key of this leg in a map of outputs."""
    matrix: Mapping[str, Any] = field(default_factory=_nothing)
    ensure: tuple[StepSpec, ...] = ()
    """Run after the steps, whatever became of them; also when the job is cancelled."""
    services: tuple[ServiceSpec, ...] = ()
    condition: str = ""
    """The text of `if`; empty is `success()`."""
    env: Mapping[str, str] = field(default_factory=_nothing)
    """The workflow's, and over it the job's own. Each step's is laid over this."""
    dotenv: tuple[str, ...] = ()
    """Files of variables, under `env`; relative to the workflow file's folder."""
    secrets: tuple[str, ...] = ()
    """Names of variables of mprun's own environment that the job gets, and whose values nobody gets to see."""
    directory: str = "."
    """Where it works: absolute, or relative to the workflow file's folder."""
    timeout: float | None = None
    """For the job with all its attempts and the waits between them."""
    idle_timeout: float | None = None
    attempts: AttemptsSpec = AttemptsSpec()
    may_fail: bool = False
    """`continue-on-error`: if it fails, its result is `allowed`."""
    concurrency: ConcurrencySpec | None = None
    inputs: tuple[str, ...] = ()
    """Globs. With these the job is skipped where nothing has changed since it last passed."""
    outputs: tuple[str, ...] = ()
    """Globs of the files that it makes."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job as it was declared, with its legs in the order of its matrix."""

    name: str
    legs: tuple[LegSpec, ...]
    needs: tuple[Need, ...] = ()
    values: tuple[str, ...] = ()
    """The names that it must write to `$MPRUN_OUTPUT`: what others may use as `needs.<job>.outputs.<name>`."""
    has_matrix: bool = False
    fail_fast: bool = True
    """Whether the other legs are cancelled when one has failed."""
    max_parallel: int | None = None
    """Legs that run at once; None is no bound but `--jobs`."""
    description: str = ""
