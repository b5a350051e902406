"""What a worker is given to run one attempt of a leg: all of it filled in and plain, so that it pickles quickly.

LegSpec, outputs of needs, secrets ──► Order ══ queue ══► Hand, in a worker
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.jobs.conditions import Context


@dataclass(frozen=True, slots=True)
class CommandOrder:
    """One program to start. Its environment is `env` over the job's."""

    argv: tuple[str, ...]
    script: str | None = None
    """What the file `{0}` in `argv` has to hold; None where there is no such file."""
    env: Mapping[str, str] = field(default_factory=dict)
    directory: str | None = None


@dataclass(frozen=True, slots=True)
class StepOrder:
    """One step."""

    name: str
    command: CommandOrder
    condition: str = ""
    timeout: float | None = None
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class ReadyOrder:
    """How to find out that a service is ready."""

    port: int | None
    host: str
    command: CommandOrder | None
    prints: str | None
    every: float
    timeout: float


@dataclass(frozen=True, slots=True)
class ServiceOrder:
    """One process in the background."""

    name: str
    command: CommandOrder
    ready: ReadyOrder | None
    log: str
    """Where it prints to."""


@dataclass(frozen=True, slots=True)
class FreshOrder:
    """What decides whether the job is up to date, and where that is kept."""

    home: str
    workflow: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    definition: Mapping[str, object]


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """One attempt of one leg."""

    number: int
    """Of the order, from 1: no two attempts share one."""
    leg: str
    attempt: int
    steps: tuple[StepOrder, ...]
    log: str
    """The file that gets what the steps print."""
    output: str
    """The file for the values that they write."""
    directory: str
    """Absolute."""
    env: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    """Variables that this job must not inherit: the secrets of others."""
    dotenv: tuple[str, ...] = ()
    """Absolute paths."""
    ensure: tuple[StepOrder, ...] = ()
    services: tuple[ServiceOrder, ...] = ()
    secrets: tuple[str, ...] = ()
    """Values to mask in what it prints."""
    missing: tuple[str, ...] = ()
    """Secrets that it needs and that are not set: it fails for want of them."""
    values: tuple[str, ...] = ()
    """Names that it has to write to its output file."""
    context: Context = field(default_factory=Context)
    """What conditions of steps may ask for."""
    deadline: float = math.inf
    """When the job as a whole is out of time, by `time.monotonic`, which all processes share."""
    job_timeout: float | None = None
    attempt_timeout: float | None = None
    idle_timeout: float | None = None
    grace: float = 10.0
    """Seconds between the signal that asks to end and the one that can't be refused."""
    fresh: FreshOrder | None = None

    def __repr__(self) -> str:
        """Short: the status page of a worker shows it as the item in hand."""
        return f"<job {self.leg}, attempt {self.attempt}>"
