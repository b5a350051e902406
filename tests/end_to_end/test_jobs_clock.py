"""The time of a job runs while the job does, and not while its worker starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., Any]


@pytest.mark.slow
def test_the_start_of_a_slow_worker_is_not_the_jobs_time(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "slow.py").write_text("import time\ndef start(name):\n    time.sleep(1.5)\n")
    flow = tmp_path / "flow.yaml"
    flow.write_text(
        "name: x\njobs:\n  quick: {timeout: 1s, run: 'true'}\n  hangs: {timeout: 1s, run: sleep 60}\n"
    )

    done = run_mprun(
        "run", flow, env={"MPRUN_WORKER_HOOK": "slow:start", "PYTHONPATH": str(tmp_path)}, cwd=tmp_path
    )

    assert "✓ quick passed" in done.stdout + done.stderr
    assert "hangs" in done.stderr and "the job took longer than its timeout, 1s" in done.stdout + done.stderr
