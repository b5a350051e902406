"""Records of runs that nobody has run, for whatever reads records."""

from __future__ import annotations

import os
from pathlib import Path

from kept_cuts import keep_cut

from runner.record.fold import RunFold
from runner.record.writer import RunWriter
from runner.store.run_folder import RunFacts, RunFolder
from runner.store.run_lock import RunLock
from runner.transports.cut import Cut


def recorded(
    home: Path,
    run: str,
    workflow: str = "baozi",
    at: float = 1.0,
    *,
    outcome: str | None = "done",
    over: bool = True,
    cut: Cut | None = None,
) -> RunFolder:
    """Leave the record of a run that nobody runs any more, with its end unless `outcome` is None, and its last cut."""
    run_folder = RunFolder(run, home)
    RunLock(run_folder.make()).release()
    run_folder.write_facts(RunFacts(run, workflow, f"{workflow}.yaml", 4711, at))
    writer = RunWriter(
        run_folder.path,
        {"workflow": workflow, "file": f"{workflow}.yaml", "pid": os.getpid(), "at": at, "text": "-"},
        over=over,
    )
    fold = RunFold()
    fold.take("worker.spawned", at + 1, "info", {"worker": "neo", "stage": "chef"})
    writer.commit(fold, 0.0, last=True)
    if cut is not None:
        keep_cut(writer, cut, at + 1.5)
    if outcome is not None:
        writer.end({"at": at + 2, "outcome": outcome, "exit_code": 0, "report": None})
    writer.close()
    return run_folder
