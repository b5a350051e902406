"""What a plan declares is opened before any worker, and given back whatever happens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from holdings import nothing_left

from runner.errors import StartFailed
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import LockSpec, PipeSpec, SharedSpec
from runner.supervisor.resources import open_resources


def plan_of(*, port: int = 0, serves: bool = True, **more: Any) -> Plan:
    serve = HandlerRef("serve", "serve", {"handler": "m:talk", "port": port})
    stages = [StageSpec(name, HandlerRef("python", "m:f"), workers=(name,)) for name in ("a", "b")]
    if serves:
        stages.append(StageSpec("door", serve, workers=("door-1",)))
    return make_plan(WorkflowSpec("w", Path("w.yaml"), tuple(stages), **more))


EVERYTHING: dict[str, Any] = {
    "locks": (LockSpec("mutex"),),
    "shared": (SharedSpec("board", "dict"),),
    "pipes": (PipeSpec("wire", ("a", "b")),),
}


def test_each_worker_gets_what_it_may_ask_for() -> None:
    plan = plan_of(**EVERYTHING)
    with open_resources(plan) as opened:
        given = {worker.name: sorted(opened.providers.resources_for(worker)) for worker in plan.workers}

    assert {
        "a": ["board", "mutex", "wire"],
        "b": ["board", "mutex", "wire"],
        "door-1": ["(listener)", "board", "mutex"],
    } == given


def test_nothing_is_left_open_afterwards() -> None:
    with open_resources(plan_of(**EVERYTHING)):
        pass  # what multiprocessing opens once and for all is open now

    with nothing_left(), open_resources(plan_of(**EVERYTHING)) as resources:
        assert resources.monitor.manager is not None
        pid = resources.monitor.manager.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_nothing_is_left_open_where_one_thing_can_t_be_had() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        nothing_left(),
        pytest.raises(StartFailed),
        open_resources(plan_of(port=other.getsockname()[1], **EVERYTHING)),
    ):
        pass


def test_a_file_that_declares_nothing_pays_nothing() -> None:
    """
    A process of its own is needed: in this one, other tests have imported what is to be left out.
    """
    program = (
        "import sys; from pathlib import Path; from runner.supervisor.resources import open_resources;"
        "from runner.spec.plan import *;"
        "from runner.spec.model import *;"
        "stage = StageSpec('a', HandlerRef('python', 'm:f'), workers=('a',));"
        "plan = make_plan(WorkflowSpec('w', Path('w'), (stage,)));"
        "open_resources(plan).__enter__();"
        "late = {'multiprocessing.managers', *(f'runner.process.resources.{name}' for name in ('shared', 'pipes'))};"
        "print(*sorted(late & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert "" == done.stdout.strip()
