"""The events that observers of a run get, each a class, and the enumerations in their fields.

    match event:
        case WorkerExited(worker=worker, outcome=WorkerOutcome.DIED): …

What is named here keeps its name from one version to the next; `docs/events.md` has what each event carries.
"""

from __future__ import annotations

from runner.events.base import Event as Event
from runner.events.jobs import CacheMissed as CacheMissed
from runner.events.jobs import CacheRestored as CacheRestored
from runner.events.jobs import CacheSaved as CacheSaved
from runner.events.jobs import JobCancelled as JobCancelled
from runner.events.jobs import JobEvent as JobEvent
from runner.events.jobs import JobFinished as JobFinished
from runner.events.jobs import JobKept as JobKept
from runner.events.jobs import JobPrinted as JobPrinted
from runner.events.jobs import JobReady as JobReady
from runner.events.jobs import JobRetried as JobRetried
from runner.events.jobs import JobSilent as JobSilent
from runner.events.jobs import JobSkipped as JobSkipped
from runner.events.jobs import JobStarted as JobStarted
from runner.events.jobs import JobWaiting as JobWaiting
from runner.events.jobs import ServiceEvent as ServiceEvent
from runner.events.jobs import ServiceExited as ServiceExited
from runner.events.jobs import ServiceReady as ServiceReady
from runner.events.jobs import StepEvent as StepEvent
from runner.events.jobs import StepFinished as StepFinished
from runner.events.jobs import StepStarted as StepStarted
from runner.events.run import EventsDropped as EventsDropped
from runner.events.run import FailedBatch as FailedBatch
from runner.events.run import FailuresRepeated as FailuresRepeated
from runner.events.run import ItemDeadLettered as ItemDeadLettered
from runner.events.run import ItemDropped as ItemDropped
from runner.events.run import ItemEvent as ItemEvent
from runner.events.run import ItemFailed as ItemFailed
from runner.events.run import ItemRedelivered as ItemRedelivered
from runner.events.run import ItemRetried as ItemRetried
from runner.events.run import ManagerExited as ManagerExited
from runner.events.run import ManagerSpawned as ManagerSpawned
from runner.events.run import ProcessEvent as ProcessEvent
from runner.events.run import QueueJoined as QueueJoined
from runner.events.run import RunFinished as RunFinished
from runner.events.run import RunOutcome as RunOutcome
from runner.events.run import RunProgress as RunProgress
from runner.events.run import RunRefused as RunRefused
from runner.events.run import RunResumed as RunResumed
from runner.events.run import RunStarted as RunStarted
from runner.events.run import RunStopping as RunStopping
from runner.events.run import RunWorkers as RunWorkers
from runner.events.run import ServerListening as ServerListening
from runner.events.run import StageFinished as StageFinished
from runner.events.run import StageTimed as StageTimed
from runner.events.run import StateCheckpointed as StateCheckpointed
from runner.events.run import StateHeld as StateHeld
from runner.events.run import WorkerClosing as WorkerClosing
from runner.events.run import WorkerEvent as WorkerEvent
from runner.events.run import WorkerExited as WorkerExited
from runner.events.run import WorkerLogged as WorkerLogged
from runner.events.run import WorkerOutcome as WorkerOutcome
from runner.events.run import WorkerReady as WorkerReady
from runner.events.run import WorkerRestarted as WorkerRestarted
from runner.events.run import WorkerSpawned as WorkerSpawned
from runner.events.run import WorkerStacks as WorkerStacks
from runner.events.run import WorkerTerminating as WorkerTerminating
from runner.spec.failures import OnError as OnError
from runner.spec.model import JobResult as JobResult

__all__ = [
    "CacheMissed",
    "CacheRestored",
    "CacheSaved",
    "Event",
    "EventsDropped",
    "FailedBatch",
    "FailuresRepeated",
    "ItemDeadLettered",
    "ItemDropped",
    "ItemEvent",
    "ItemFailed",
    "ItemRedelivered",
    "ItemRetried",
    "JobCancelled",
    "JobEvent",
    "JobFinished",
    "JobKept",
    "JobPrinted",
    "JobReady",
    "JobResult",
    "JobRetried",
    "JobSilent",
    "JobSkipped",
    "JobStarted",
    "JobWaiting",
    "ManagerExited",
    "ManagerSpawned",
    "OnError",
    "ProcessEvent",
    "QueueJoined",
    "RunFinished",
    "RunOutcome",
    "RunProgress",
    "RunRefused",
    "RunResumed",
    "RunStarted",
    "RunStopping",
    "RunWorkers",
    "ServerListening",
    "ServiceEvent",
    "ServiceExited",
    "ServiceReady",
    "StageFinished",
    "StageTimed",
    "StateCheckpointed",
    "StateHeld",
    "StepEvent",
    "StepFinished",
    "StepStarted",
    "WorkerClosing",
    "WorkerEvent",
    "WorkerExited",
    "WorkerLogged",
    "WorkerOutcome",
    "WorkerReady",
    "WorkerRestarted",
    "WorkerSpawned",
    "WorkerStacks",
    "WorkerTerminating",
]
