"""The events of jobs: decided, started, tried again, finished; their steps and services.

    job.started ─► step.started ─► step.finished ─► … ─► job.finished         job.skipped: instead of all of it
         ▲                                           └─► job.retried ─┐       job.kept: the same, in a run that goes on
         └────────────────────────────────────────────────────────────┘       job.cancelled: before job.finished
                                                                                or instead of all of it

Each decision carries its reason as a sentence. `job` is always the full id of one leg, such as `test (3.11, slow)`.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.events.base import Event, carries
from runner.spec.model import JobResult

_WHY = "Why, as a sentence."
_LOG = "The file that has what the job prints, stdout and stderr in their order."
_NEEDS = "The full ids of the jobs that it waited for."
_EXITCODE = "The exit code; null if a signal ended it, or it never ran."
_SIGNAL = "The signal that ended it, such as SIGKILL; else null."


class JobEvent(Event):
    """Something that happened to a job."""

    job: str = carries("The job's full id; a leg of a matrix has its values, as in `test (3.11, slow)`.")


class JobStarted(JobEvent, kind="job.started"):
    """An attempt of a job begins."""

    attempt: int = carries("The number of the attempt, 1 first.")
    reason: str = carries(_WHY)
    log: str = carries(_LOG)
    worker: str = carries("The worker that runs it.")
    needs: Sequence[str] = carries(_NEEDS)
    background: bool = carries("Whether it goes on while those that need it run.", default=False)
    interactive: bool = carries(
        "Whether it has the terminal: what it prints is shown there, and is not in its log.", default=False
    )


class JobReady(JobEvent, kind="job.ready"):
    """A job in the background is ready: those that need it may start."""

    duration: float = carries("Seconds that this took, from the beginning of its attempt.")


class JobWaiting(JobEvent, kind="job.waiting"):
    """A job could run, and waits for its concurrency group of the machine: others of it run, here or in other runs."""

    group: str = carries("The group.")
    reason: str = carries(_WHY)


class JobSkipped(JobEvent, kind="job.skipped"):
    """A job is not going to run."""

    reason: str = carries(_WHY)
    needs: Sequence[str] = carries(_NEEDS, default=())


class JobKept(JobEvent, kind="job.kept"):
    """A job does not run, as it has ended well before: in this run, which goes on, or in the one that is run again."""

    result: JobResult = carries("What became of it then: passed, allowed or skipped.")
    from_run: str = carries("The id of the run in which that was.")
    reason: str = carries("Why it came to that, as a sentence.")
    attempt: int = carries("The number of its last attempt; 0 if it never ran.")
    duration: float = carries("Seconds that it took then.")
    ended: float = carries("When it ended, in seconds since 1970.")
    exitcode: int | None = carries(_EXITCODE)
    log: str = carries(_LOG)
    needs: Sequence[str] = carries(_NEEDS, default=())


class JobRetried(JobEvent, kind="job.retried", level="warning"):
    """An attempt of a job failed, and there will be another."""

    attempt: int = carries("The number of the attempt to come.")
    reason: str = carries(_WHY)
    delay: float = carries("Seconds until then.")


class JobCancelled(JobEvent, kind="job.cancelled", level="warning"):
    """A job is called off: if it runs it is stopped, and `job.finished` follows; else it will not start."""

    reason: str = carries(_WHY)


class JobSilent(JobEvent, kind="job.silent", level="warning"):
    """A running job has printed nothing for as long as its `idle-timeout` allows."""

    seconds: float = carries("For how long.")


class JobFinished(JobEvent, kind="job.finished"):
    """A job has run for the last time, and no process of it is left."""

    result: JobResult = carries(
        "What became of it; `allowed`: it failed, and may. Of a job that was skipped, `job.skipped` tells."
    )
    exitcode: int | None = carries(_EXITCODE)
    signal: str | None = carries(_SIGNAL)
    duration: float = carries("Seconds that its last attempt took.")
    attempt: int = carries("The number of its last attempt, 1 first.")
    reason: str = carries(_WHY)
    log: str = carries(_LOG)
    command: Sequence[str] = carries("The command line that runs just this job again.")

    @property
    def failed(self) -> bool:
        """Whether it fails the run."""
        return self.result.is_failure

    @property
    def level(self) -> str:
        """An error if it fails the run, so that a log of nothing but errors says why that failed."""
        return "error" if self.failed else self.usual_level


class JobPrinted(JobEvent, kind="job.printed"):
    """Whole lines that a job printed. Only `--output json` tells of them; all other events are in its log."""

    text: str = carries("The lines, each with its newline; without colours.")
    left_out: int = carries("Bytes more that nobody read in time; they are in the job's log.", default=0)


class StepEvent(JobEvent):
    """Something that happened to a step of a job."""

    step: int = carries("The number of the step in its job, 1 first.")
    name: str = carries("The step's name, or the first line of what it runs.")


class StepStarted(StepEvent, kind="step.started", level="debug"):
    """A step begins."""


class StepFinished(StepEvent, kind="step.finished", level="debug"):
    """A step has ended, and no process of it is left."""

    exitcode: int | None = carries(_EXITCODE)
    signal: str | None = carries(_SIGNAL)
    duration: float = carries("Seconds that it took.")
    result: JobResult = carries("What became of it; `allowed`: it failed, and may.")
    reason: str = carries(_WHY, default="")


class CacheEvent(JobEvent):
    """Something about a cache of a job."""

    key: str = carries("The key that the job asks for.")


class CacheFileEvent(CacheEvent):
    """Something that happened to the files of a cache."""

    found: str = carries("The key that they are kept under: another, where it begins with one of `restore`.")
    bytes: int = carries("The size of the archive that they are kept in.")
    files: int = carries("How many there are.")
    seconds: float = carries("How long it took.")


class CacheRestored(CacheFileEvent, kind="cache.restored"):
    """Files were put back before the first step of a job."""


class CacheSaved(CacheFileEvent, kind="cache.saved"):
    """A job has passed, and its files are kept."""


class CacheMissed(CacheEvent, kind="cache.missed"):
    """There was nothing to put back, or it could not be; or files are not kept. The job runs all the same."""

    reason: str = carries(_WHY)


class ServiceEvent(JobEvent):
    """Something that happened to a service of a job."""

    service: str = carries("The service's name.")


class ServiceReady(ServiceEvent, kind="service.ready"):
    """A service of a job answers its readiness check."""

    seconds: float = carries("How long that took.", default=0.0)


class ServiceExited(ServiceEvent, kind="service.exited"):
    """A service has ended; before its job has, that is a reason for the job to fail."""

    exitcode: int | None = carries(_EXITCODE)
    signal: str | None = carries(_SIGNAL)
    reason: str = carries(_WHY)
    early: bool = carries("Whether it ended before its job did.")
    log: str = carries("The file that has what the service printed.")
