"""What a run needs and what the machine has: judged from plain data, and once against what is really opened."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from holdings import open_descriptors

from runner.composition import run
from runner.errors import StartFailed
from runner.events.base import Event
from runner.process import cgroup, preflight
from runner.process.cgroup import Limit
from runner.process.preflight import Capacity, Headroom, Requirements
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec


def plan_of(workers: int, transport: str, folder: Path = Path("/nowhere")) -> Plan:
    eaters = tuple(f"e{n}" for n in range(workers - 1))
    stages = (
        StageSpec("chef", HandlerRef("python", "kitchen:count"), {}, ("chef",), sends="q"),
        StageSpec("eater", HandlerRef("python", "kitchen:eat"), {}, eaters, receives="q"),
    )
    return make_plan(WorkflowSpec("t", folder / "t.yaml", stages, (QueueSpec("q", 2),), transport))


PLENTY = Headroom(10**6, 10**6, "the limit", "nothing")


def test_what_fits_is_short_of_nothing() -> None:
    room = Capacity(PLENTY, (PLENTY,), (PLENTY,))

    assert [] == preflight.shortages(preflight.requirements(plan_of(1000, "leased")), room)


def test_what_is_short_is_said_with_need_limit_and_remedy() -> None:
    needs = Requirements(workers=1000, processes=1008, descriptors=6064, memory=2000 << 20)
    room = Capacity(
        Headroom(1014, 1024, "the limit", "`ulimit -n 8192`"),
        (PLENTY, Headroom(100, 100, "the container's limit", "raise pids.max")),
        (Headroom(512, 512, "what is free", "use fewer workers"),),
    )

    assert [
        "1,000 workers need 6,064 descriptors, the limit is 1,024 and 10 are in use: `ulimit -n 8192`",
        "1,000 workers need 1,008 processes, the container's limit is 100: raise pids.max",
        "1,000 workers need 2,000 MiB of memory, what is free is 512: use fewer workers",
    ] == preflight.shortages(needs, room)


def test_one_process_needs_nothing_of_the_machine() -> None:
    assert Requirements(1000, 0, 0, 0) == preflight.requirements(plan_of(1000, "inline"))


def test_this_machine_has_room_for_a_small_run() -> None:
    needs = preflight.requirements(plan_of(4, "leased"))

    assert [] == preflight.shortages(needs, preflight.read_capacity(needs))


def test_of_the_groups_on_the_way_up_the_one_with_the_least_left_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cgroup, "process_limits", lambda: (Limit(50, 10), Limit(100, 95), Limit(400, 0)))

    bounds = preflight.read_capacity(preflight.requirements(plan_of(4, "leased"))).processes

    assert [(5, 100)] == [(b.left, b.limit) for b in bounds if b.source == "the container's limit"]


def test_a_run_that_can_never_fit_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        preflight, "read_capacity", lambda _: Capacity(Headroom(10, 10, "the limit", "`ulimit -n 64`"))
    )

    with pytest.raises(StartFailed, match=r"3 workers need .* descriptors, the limit is 10: `ulimit -n 64`"):
        preflight.ensure_capacity(plan_of(3, "leased")).__enter__()


def test_the_soft_limit_is_put_back() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    plan = plan_of(20, "leased")
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, hard))
    try:
        with preflight.ensure_capacity(plan):
            during = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        after = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (True, 80) == (during >= preflight.requirements(plan).descriptors, after)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["leased", "joinable"])
def test_a_run_opens_no_more_than_was_said_and_not_much_less(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts per worker are kept by hand; here they meet what a transport really opens."""
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    (tmp_path / "kitchen.py").write_text("def count():\n    yield 1\ndef eat(item):\n    pass\n")
    plan = plan_of(40, transport, tmp_path)
    counts = []

    class Counting:
        def observe(self, event: Event) -> None:
            if event.kind == "worker.spawned":
                counts.append(len(open_descriptors() - before))

        def close(self) -> None: ...

    before = open_descriptors()
    report = run(plan, [Counting()])

    said, opened = preflight.requirements(plan).descriptors, max(counts)
    while_born = 2 * 40  # what is closed here once they are born, before anybody is told of them
    assert "done" == report.outcome, report.reason
    assert opened <= said
    assert said - opened < 0.5 * 40 + 70 + while_born
