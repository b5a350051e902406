"""Who carries the items: a script each, which runs one workload in a fresh interpreter."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from alternate import Command
from measure import python

HERE = Path(__file__).parent

FLOOR = "in one process"
BASE = "by hand"
JOINABLE, LEASED = "mprun joinable", "mprun leased"
POOL_1, POOL_8 = "Pool by 1", "Pool by 8"
FIFO, JOBLIB, MPIRE, PYPELN, RAY = "faster-fifo", "joblib", "mpire", "pypeln", "ray.util.queue"
PASS, PLAIN = "python -c pass", "without it"
"""What commands, and workflows with a feature, are compared with."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who carries items."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    needs: str | None = None
    """The module that it can't do without."""

    @property
    def installed(self) -> bool:
        return self.needs is None or importlib.util.find_spec(self.needs.partition(".")[0]) is not None

    def command(self, workload: str, count: int, maxsize: int) -> Command:
        return python(HERE / self.script, workload, str(count), str(maxsize), *self.arguments)


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(FLOOR, "by_one_process.py"),
        Contender(BASE, "by_hand.py"),
        Contender(JOINABLE, "by_mprun.py", ("joinable",)),
        Contender(LEASED, "by_mprun.py", ("leased",)),
        Contender(POOL_1, "by_pool.py", ("1",)),
        Contender(POOL_8, "by_pool.py", ("8",)),
        Contender(FIFO, "by_faster_fifo.py", needs="faster_fifo"),
        Contender(JOBLIB, "by_joblib.py", needs="joblib"),
        Contender(MPIRE, "by_mpire.py", needs="mpire"),
        Contender(PYPELN, "by_pypeln.py", needs="pypeln"),
        Contender(RAY, "by_ray.py", needs="ray"),
    )
}

MPRUN = (BASE, JOINABLE, LEASED)
QUEUES = (*MPRUN, FIFO)
"""Those that have processes of their own at both ends, and something between them that one might use instead."""
POOLS = (POOL_1, POOL_8, JOBLIB, MPIRE)
"""Those whose workers do one thing, with what the calling process makes."""


def missing() -> list[str]:
    """Those that are not installed."""
    return [name for name, contender in CONTENDERS.items() if not contender.installed]
