"""What the machine can give, against what a run needs: looked at before anything starts. Reading and judging are apart.

    needs(plan) ──┐
                  ├──► shortages ──► StartFailed: "1,000 workers need 6,064 descriptors, the limit is 1,024: …"
    read_room() ──┘

What may still be refused half-way, since others use the machine too, is rolled back by the supervisor.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner import memory
from runner.errors import StartFailed
from runner.plan import Plan

_SPARE_DESCRIPTORS = 64
"""For the supervisor's own: events, signals, warden, selector, control socket, files that it reads in passing."""
_SPARE_PROCESSES = 8
"""For the warden, the process that shows events, and a helper of multiprocessing where workers are spawned."""
_DESCRIPTORS_PER_WORKER = {"leased": 7, "joinable": 6, "inline": 0}
"""Status page, once open and once mapped, channel and pidfd; two pipes' ends that multiprocessing keeps; under
`leased` the stream."""
_DESCRIPTORS_PER_QUEUE = {"leased": 1, "joinable": 2, "inline": 0}
_BYTES_PER_WORKER = {"fork": 2 << 20, "spawn": 12 << 20}
"""What a worker takes before its handler is imported, beyond what it shares with the supervisor: a floor."""
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run takes of the machine while all its workers live."""

    workers: int
    processes: int
    descriptors: int
    memory: int


@dataclass(frozen=True, slots=True)
class Bound:
    """Something that is limited: how much of it is left, who says so, and what would help."""

    left: int
    limit: int
    source: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Room:
    """What the machine has left."""

    descriptors: Bound
    processes: tuple[Bound, ...] = ()
    memory: tuple[Bound, ...] = ()


def needs(plan: Plan) -> Needs:
    """Add up what a plan takes. Pure."""
    workers = plan.workers
    each, queue = _DESCRIPTORS_PER_WORKER[plan.transport], _DESCRIPTORS_PER_QUEUE[plan.transport]
    inline = plan.transport == "inline"
    return Needs(
        workers=len(workers),
        processes=0 if inline else len(workers) + _SPARE_PROCESSES,
        descriptors=0 if inline else len(workers) * each + len(plan.queues) * queue + _SPARE_DESCRIPTORS,
        memory=0 if inline else sum(_BYTES_PER_WORKER[worker.start_method] for worker in workers),
    )


def shortages(need: Needs, room: Room) -> list[str]:
    """Say what there is too little of, one sentence each; nothing where the run fits. Pure."""
    short = [
        _shortage(need, "descriptors", need.descriptors, room.descriptors),
        *(_shortage(need, "processes", need.processes, bound) for bound in room.processes),
        *(_shortage(need, "MiB of memory", need.memory >> 20, bound) for bound in room.memory),
    ]
    return [sentence for sentence in short if sentence is not None]


def _shortage(need: Needs, what: str, amount: int, bound: Bound) -> str | None:
    if amount <= bound.left:
        return None
    used = f" and {bound.limit - bound.left:,} are in use" if bound.limit != bound.left else ""
    workers = "1 worker needs" if need.workers == 1 else f"{need.workers:,} workers need"
    return f"{workers} {amount:,} {what}, {bound.source} is {bound.limit:,}{used}: {bound.remedy}"


@contextmanager
def fit(plan: Plan) -> Iterator[None]:
    """
    Make sure that a plan fits on the machine; where it takes more descriptors than usual, allow them meanwhile.

    Raises:
        StartFailed: it does not fit. Says what is short and what would help.
    """
    need = needs(plan)
    if short := shortages(need, read_room(need)):
        raise StartFailed("the run could not be started: " + "; ".join(short))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = need.descriptors + _open_descriptors()
    raised = soft != resource.RLIM_INFINITY and wanted > soft
    if raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        if raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_room(need: Needs) -> Room:
    """Look what is left. What can't be read bounds nothing."""
    return Room(
        descriptors=_descriptors(need),
        processes=tuple(
            bound for bound in (_user_processes(), _threads(), *_cgroup_processes()) if bound is not None
        ),
        memory=_memory(),
    )


def _descriptors(need: Needs) -> Bound:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _finite(hard)
    used = _open_descriptors()
    return Bound(most - used, most, "the limit", f"`ulimit -n {_round_up(need.descriptors + used)}`")


def _user_processes() -> Bound | None:
    """What one user may have. Others of this user's processes count too; to count them all would take too long."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if os.geteuid() == 0:
        return None  # the kernel does not hold root to it
    return Bound(_finite(soft), _finite(soft), "the user's limit", "`ulimit -u` raises it")


def _threads() -> Bound | None:
    """What the whole machine may have: every process and thread takes a number."""
    most = min(_number(_PROC / "sys/kernel/pid_max"), _number(_PROC / "sys/kernel/threads-max"))
    found = re.search(r"/(\d+) ", _text(_PROC / "loadavg"))
    used = int(found[1]) if found is not None else 0
    return Bound(
        most - used, most, "the machine's limit", "`sysctl kernel.pid_max` and kernel.threads-max raise it"
    )


def _cgroup_processes() -> Iterator[Bound]:
    """What this process's control group may have, such as a container."""
    for line in _text(_PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "pids"):
            folder = Path("/sys/fs/cgroup") / controllers / path.lstrip("/")
            most = _number(folder / "pids.max")
            if most < _UNLIMITED:
                used = _number(folder / "pids.current", 0)
                yield Bound(
                    most - used, most, "the container's limit", "raise pids.max, or `docker run --pids-limit`"
                )


def _memory() -> tuple[Bound, ...]:
    try:
        free = memory.available() >> 20
    except OSError:
        return ()
    return (Bound(free, free, "what is free", "use fewer workers"),)


_UNLIMITED = 1 << 62


def _finite(limit: int) -> int:
    return _UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _open_descriptors() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0


def _round_up(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _number(file: Path, otherwise: int = _UNLIMITED) -> int:
    text = _text(file).strip()
    return int(text) if text.isdecimal() else otherwise


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
