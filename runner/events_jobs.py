"""The events of jobs: decided, started, tried again, finished; their steps and services.

    job.started ─► step.started ─► step.finished ─► … ─► job.finished         job.skipped: instead of all of it
         ▲                                           └─► job.retried ─┐       job.cancelled: before job.finished
         └────────────────────────────────────────────────────────────┘         or instead of all of it

Each decision carries its reason as a sentence. `job` is always the full id of one leg, such as `test (3.11, slow)`.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.event_kinds import Declaration, EventField, carries

_JOB = EventField("string", "The job's full id; a leg of a matrix has its values, as in `test (3.11, slow)`.")
_ATTEMPT = EventField("integer", "The number of the attempt, 1 first.")
_REASON = EventField("string", "Why, as a sentence.")
_LOG = EventField("string", "The file that has what the job prints, stdout and stderr in their order.")
_STEP = EventField("integer", "The number of the step in its job, 1 first.")
_NAME = EventField("string", "The step's name, or the first line of what it runs.")
_EXITCODE = EventField(("integer", "null"), "The exit code; null if a signal ended it, or it never ran.")
_SIGNAL = EventField(("string", "null"), "The signal that ended it, such as SIGKILL; else null.")
_DURATION = EventField("number", "Seconds that it took.")
_SERVICE = EventField("string", "The service's name.")

JOB_DECLARATIONS: Mapping[str, Declaration] = {
    "job.started": Declaration(
        "An attempt of a job begins.",
        "info",
        carries(
            job=_JOB,
            attempt=_ATTEMPT,
            reason=_REASON,
            log=_LOG,
            worker=EventField("string", "The worker that runs it."),
            needs=EventField("array", "The full ids of the jobs that it waited for."),
        ),
    ),
    "job.skipped": Declaration(
        "A job is not going to run.",
        "info",
        carries(
            job=_JOB,
            reason=_REASON,
            needs=EventField("array", "The full ids of the jobs that it waited for.", required=False),
        ),
    ),
    "job.retried": Declaration(
        "An attempt of a job failed, and there will be another.",
        "warning",
        carries(
            job=_JOB,
            attempt=EventField("integer", "The number of the attempt to come."),
            reason=_REASON,
            delay=EventField("number", "Seconds until then."),
        ),
    ),
    "job.cancelled": Declaration(
        "A job is called off: if it runs it is stopped, and `job.finished` follows; else it will not start.",
        "warning",
        carries(job=_JOB, reason=_REASON),
    ),
    "job.silent": Declaration(
        "A running job has printed nothing for as long as its `idle-timeout` allows.",
        "warning",
        carries(job=_JOB, seconds=EventField("number", "For how long.")),
    ),
    "job.finished": Declaration(
        "A job has run for the last time, and no process of it is left.",
        "info",
        carries(
            job=_JOB,
            result=EventField(
                "string", "passed, failed, allowed (it failed and may), cancelled or timed_out."
            ),
            exitcode=_EXITCODE,
            signal=_SIGNAL,
            duration=EventField("number", "Seconds that its last attempt took."),
            attempt=EventField("integer", "The number of its last attempt, 1 first."),
            reason=_REASON,
            log=_LOG,
            command=EventField("array", "The command line that runs just this job again."),
        ),
    ),
    "job.printed": Declaration(
        "Whole lines that a job printed. Only `--output json` tells of them; all other events are in its log.",
        "info",
        carries(
            job=_JOB,
            text=EventField("string", "The lines, each with its newline; without colours."),
            left_out=EventField(
                "integer", "Bytes more that nobody read in time; they are in the job's log.", required=False
            ),
        ),
    ),
    "step.started": Declaration("A step begins.", "debug", carries(job=_JOB, step=_STEP, name=_NAME)),
    "step.finished": Declaration(
        "A step has ended, and no process of it is left.",
        "debug",
        carries(
            job=_JOB,
            step=_STEP,
            name=_NAME,
            exitcode=_EXITCODE,
            signal=_SIGNAL,
            duration=_DURATION,
            result=EventField("string", "passed, failed, allowed, skipped, cancelled or timed_out."),
            reason=EventField("string", "Why, as a sentence.", required=False),
        ),
    ),
    "service.ready": Declaration(
        "A service of a job answers its readiness check.",
        "info",
        carries(
            job=_JOB,
            service=_SERVICE,
            seconds=EventField("number", "How long that took.", required=False),
        ),
    ),
    "service.exited": Declaration(
        "A service has ended; before its job has, that is a reason for the job to fail.",
        "info",
        carries(
            job=_JOB,
            service=_SERVICE,
            exitcode=_EXITCODE,
            signal=_SIGNAL,
            reason=_REASON,
            early=EventField("boolean", "Whether it ended before its job did."),
            log=EventField("string", "The file that has what the service printed."),
        ),
    ),
}
