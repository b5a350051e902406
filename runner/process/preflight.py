"""What the system can give, against what a run takes: looked at before anything starts. Reading and judging are apart.

    requirements(plan) ──┐
                         ├──► shortages ──► StartFailed: "1,000 workers need 6,064 descriptors, the limit is 1,024: …"
    read_capacity() ─────┘

What may still be refused half-way, since others use the machine too, is rolled back by the supervisor.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import StartFailed
from runner.facts import dataclass
from runner.process import cgroup, memory
from runner.spec.plan import Plan

_SPARE_DESCRIPTORS = 64
"""For the supervisor's own: events, signals, watchdog, selector, control socket, files that it reads in passing."""
_SPARE_PROCESSES = 8
"""For the watchdog, those that show and record events, and a helper of multiprocessing where workers are spawned."""
_DESCRIPTORS_PER_WORKER = {"leased": 3, "joinable": 2, "inline": 0}
"""Channel and pidfd; under `leased` the stream."""
_PER_SPAWNED = 2
"""Two pipes' ends that multiprocessing keeps."""
_BORN_AT_ONCE = 64
"""Workers whose own ends of all that are open here too, while they are born."""
_DESCRIPTORS_PER_QUEUE = {"leased": 1, "joinable": 2, "inline": 0}
_BYTES_PER_WORKER = {"fork": 2 << 20, "spawn": 12 << 20}
"""What a worker takes before its handler is imported, beyond what it shares with the supervisor: a floor."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a run takes of the machine while all its workers live."""

    workers: int
    processes: int
    descriptors: int
    memory: int


@dataclass(frozen=True, slots=True)
class Headroom:
    """Something that is limited: how much of it is left, who says so, and what would help."""

    left: int
    limit: int
    source: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machine has left."""

    descriptors: Headroom
    processes: tuple[Headroom, ...] = ()
    memory: tuple[Headroom, ...] = ()


def requirements(plan: Plan) -> Requirements:
    """Add up what a plan takes. Pure."""
    workers = plan.workers
    inline = plan.transport == "inline"
    return Requirements(
        workers=len(workers),
        processes=0 if inline else len(workers) + _SPARE_PROCESSES,
        descriptors=0 if inline else _descriptors_of(plan),
        memory=0 if inline else sum(_BYTES_PER_WORKER[worker.start_method] for worker in workers),
    )


def _descriptors_of(plan: Plan) -> int:
    each, queue = _DESCRIPTORS_PER_WORKER[plan.transport], _DESCRIPTORS_PER_QUEUE[plan.transport]
    spawned = sum(worker.start_method != "fork" for worker in plan.workers)
    meanwhile = (each - 1) * min(len(plan.workers), _BORN_AT_ONCE)
    kept = len(plan.workers) * each + spawned * _PER_SPAWNED + len(plan.queues) * queue
    return kept + meanwhile + _SPARE_DESCRIPTORS


def shortages(required: Requirements, capacity: Capacity) -> list[str]:
    """Say what there is too little of, one sentence each; nothing where the run fits. Pure."""
    short = [
        _shortage(required, "descriptors", required.descriptors, capacity.descriptors),
        *(_shortage(required, "processes", required.processes, headroom) for headroom in capacity.processes),
        *(
            _shortage(required, "MiB of memory", required.memory >> 20, headroom)
            for headroom in capacity.memory
        ),
    ]
    return [sentence for sentence in short if sentence is not None]


def _shortage(required: Requirements, what: str, amount: int, headroom: Headroom) -> str | None:
    if amount <= headroom.left:
        return None
    used = f" and {headroom.limit - headroom.left:,} are in use" if headroom.limit != headroom.left else ""
    workers = "1 worker needs" if required.workers == 1 else f"{required.workers:,} workers need"
    return f"{workers} {amount:,} {what}, {headroom.source} is {headroom.limit:,}{used}: {headroom.remedy}"


@contextmanager
def ensure_capacity(plan: Plan) -> Iterator[None]:
    """
    Make sure that a plan fits on the machine; where it takes more descriptors than usual, allow them meanwhile.

    Raises:
        StartFailed: it does not fit. Says what is short and what would help.
    """
    required = requirements(plan)
    if short := shortages(required, read_capacity(required)):
        raise StartFailed("the run could not be started: " + "; ".join(short))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = required.descriptors + _open_descriptors()
    raised = soft != resource.RLIM_INFINITY and wanted > soft
    if raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        if raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_capacity(required: Requirements) -> Capacity:
    """Look what is left. What can't be read bounds nothing."""
    return Capacity(
        descriptors=_descriptors(required),
        processes=tuple(
            headroom
            for headroom in (_user_processes(), _threads(), _group_processes())
            if headroom is not None
        ),
        memory=_memory(),
    )


def _descriptors(required: Requirements) -> Headroom:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _finite(hard)
    used = _open_descriptors()
    return Headroom(most - used, most, "the limit", f"`ulimit -n {_round_up(required.descriptors + used)}`")


def _user_processes() -> Headroom | None:
    """What one user may have. Others of this user's processes count too; to count them all would take too long."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if os.geteuid() == 0:
        return None  # the kernel does not hold root to it
    return Headroom(_finite(soft), _finite(soft), "the user's limit", "`ulimit -u` raises it")


def _threads() -> Headroom | None:
    """What the whole machine may have: every process and thread takes a number."""
    most = min(cgroup.read_number(cgroup.PROC / "sys/kernel" / name) for name in ("pid_max", "threads-max"))
    found = re.search(r"/(\d+) ", cgroup.read_kernel_file(cgroup.PROC / "loadavg"))
    used = int(found[1]) if found is not None else 0
    return Headroom(
        most - used, most, "the machine's limit", "`sysctl kernel.pid_max` and kernel.threads-max raise it"
    )


def _group_processes() -> Headroom | None:
    """What the control groups of this process may have, such as a container: the one with the least left."""
    limit = min(cgroup.process_limits(), key=lambda limit: limit.left, default=None)
    if limit is None:
        return None
    return Headroom(
        limit.left, limit.most, "the container's limit", "raise pids.max, or `docker run --pids-limit`"
    )


def _memory() -> tuple[Headroom, ...]:
    try:
        free = memory.available() >> 20
    except OSError:
        return ()
    return (Headroom(free, free, "what is free", "use fewer workers"),)


def _finite(limit: int) -> int:
    return cgroup.UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _open_descriptors() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0


def _round_up(number: int) -> int:
    return 1 << (number - 1).bit_length()
