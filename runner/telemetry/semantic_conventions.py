"""The names under which OpenTelemetry knows what mprun tells: one table, of one version of its conventions. Pure.

A workflow of stages is messaging: queues are destinations, stages consumer groups. A workflow of jobs is a pipeline of
CI, and jobs are its tasks. These conventions may still change; what is sent says by its schema which version it obeys.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from runner.events.job_report import JobState
from runner.events.run import RunOutcome

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SYSTEM: Final = "mprun"


class Attribute(StrEnum):
    """The attributes of what is sent."""

    SYSTEM = "messaging.system"
    DESTINATION = "messaging.destination.name"
    CONSUMER_GROUP = "messaging.consumer.group.name"
    OPERATION = "messaging.operation.name"
    OPERATION_TYPE = "messaging.operation.type"
    ERROR_TYPE = "error.type"
    PIPELINE = "cicd.pipeline.name"
    PIPELINE_RUN = "cicd.pipeline.run.id"
    PIPELINE_STATE = "cicd.pipeline.run.state"
    PIPELINE_RESULT = "cicd.pipeline.result"
    TASK = "cicd.pipeline.task.name"
    TASK_RUN = "cicd.pipeline.task.run.id"
    TASK_RESULT = "cicd.pipeline.task.run.result"
    WORKER_STATE = "cicd.worker.state"
    PID = "process.pid"
    EXIT_CODE = "process.exit.code"
    EXCEPTION_TYPE = "exception.type"
    EXCEPTION_MESSAGE = "exception.message"
    EXCEPTION_STACKTRACE = "exception.stacktrace"
    RUN = "mprun.run.id"
    WORKFLOW = "mprun.workflow"
    OUTCOME = "mprun.run.outcome"
    STAGE = "mprun.stage"
    WORKER = "mprun.worker"
    GENERATION = "mprun.worker.generation"
    ITEM = "mprun.item"
    ATTEMPT = "mprun.attempt"
    ACTION = "mprun.action"
    LEFT_OUT = "mprun.items.left_out"
    """Failures of items that got no span of their own: there were too many of them."""


class Instrument(NamedTuple):
    """One metric that is sent."""

    name: str
    kind: str
    unit: str
    help: str
    attributes: tuple[Attribute, ...]


_MESSAGES = (Attribute.SYSTEM, Attribute.OPERATION, Attribute.DESTINATION)
CONSUMED: Final = Instrument(
    "messaging.client.consumed.messages",
    "counter",
    "{message}",
    "Items that the workers of a stage took.",
    (*_MESSAGES, Attribute.CONSUMER_GROUP),
)
SENT: Final = Instrument(
    "messaging.client.sent.messages", "counter", "{message}", "Items that were put on a queue.", _MESSAGES
)
PROCESS_DURATION: Final = Instrument(
    "messaging.process.duration",
    "histogram",
    "s",
    "How long items took the handler.",
    (*_MESSAGES, Attribute.CONSUMER_GROUP),
)
PIPELINE_DURATION: Final = Instrument(
    "cicd.pipeline.run.duration",
    "histogram",
    "s",
    "How long the run took, once it has ended.",
    (Attribute.PIPELINE, Attribute.PIPELINE_STATE, Attribute.PIPELINE_RESULT),
)
PIPELINE_ACTIVE: Final = Instrument(
    "cicd.pipeline.run.active",
    "updowncounter",
    "{run}",
    "1 while the run goes on.",
    (Attribute.PIPELINE, Attribute.PIPELINE_STATE),
)
PIPELINE_ERRORS: Final = Instrument(
    "cicd.pipeline.run.errors",
    "counter",
    "{error}",
    "Jobs that failed.",
    (Attribute.PIPELINE, Attribute.ERROR_TYPE),
)
WORKER_COUNT: Final = Instrument(
    "cicd.worker.count", "updowncounter", "{worker}", "Workers that run jobs.", (Attribute.WORKER_STATE,)
)
INSTRUMENTS: Final = (
    *(CONSUMED, SENT, PROCESS_DURATION),
    *(PIPELINE_DURATION, PIPELINE_ACTIVE, PIPELINE_ERRORS, WORKER_COUNT),
)

RESULT_OF_RUN: Final[Mapping[RunOutcome, str]] = {
    RunOutcome.DONE: "success",
    RunOutcome.FAILED: "failure",
    RunOutcome.TIMEOUT: "timeout",
    RunOutcome.INTERRUPTED: "cancellation",
    RunOutcome.INTERNAL: "error",
}
RESULT_OF_JOB: Final[Mapping[str, str]] = {
    JobState.PASSED: "success",
    JobState.FAILED: "failure",
    JobState.ALLOWED: "failure",
    JobState.TIMED_OUT: "timeout",
    JobState.CANCELLED: "cancellation",
    JobState.SKIPPED: "skip",
}
EXECUTING: Final = "executing"
FINALIZING: Final = "finalizing"
