"""What a run needs and what the machine has: judged from plain data, and once against what is really opened."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from runner import machine
from runner.errors import StartFailed
from runner.events import Event
from runner.machine import Bound, Needs, Room
from runner.plan import Plan, make_plan
from runner.run import run
from runner.spec import HandlerRef, QueueSpec, StageSpec, WorkflowSpec


def plan_of(workers: int, transport: str, folder: Path = Path("/nowhere")) -> Plan:
    eaters = tuple(f"e{n}" for n in range(workers - 1))
    stages = (
        StageSpec("chef", HandlerRef("python", "kitchen:count"), {}, ("chef",), sends="q"),
        StageSpec("eater", HandlerRef("python", "kitchen:eat"), {}, eaters, receives="q"),
    )
    return make_plan(WorkflowSpec("t", folder / "t.yaml", stages, (QueueSpec("q", 2),), transport))


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


PLENTY = Bound(10**6, 10**6, "the limit", "nothing")


def test_what_fits_is_short_of_nothing() -> None:
    room = Room(PLENTY, (PLENTY,), (PLENTY,))

    assert [] == machine.shortages(machine.needs(plan_of(1000, "leased")), room)


def test_what_is_short_is_said_with_need_limit_and_remedy() -> None:
    needs = Needs(workers=1000, processes=1008, descriptors=6064, memory=2000 << 20)
    room = Room(
        Bound(1014, 1024, "the limit", "`ulimit -n 8192`"),
        (PLENTY, Bound(100, 100, "the container's limit", "raise pids.max")),
        (Bound(512, 512, "what is free", "use fewer workers"),),
    )

    assert [
        "1,000 workers need 6,064 descriptors, the limit is 1,024 and 10 are in use: `ulimit -n 8192`",
        "1,000 workers need 1,008 processes, the container's limit is 100: raise pids.max",
        "1,000 workers need 2,000 MiB of memory, what is free is 512: use fewer workers",
    ] == machine.shortages(needs, room)


def test_one_process_needs_nothing_of_the_machine() -> None:
    assert Needs(1000, 0, 0, 0) == machine.needs(plan_of(1000, "inline"))


def test_this_machine_has_room_for_a_small_run() -> None:
    needs = machine.needs(plan_of(4, "leased"))

    assert [] == machine.shortages(needs, machine.read_room(needs))


def test_a_run_that_can_never_fit_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "read_room", lambda _: Room(Bound(10, 10, "the limit", "`ulimit -n 64`")))

    with pytest.raises(StartFailed, match=r"3 workers need .* descriptors, the limit is 10: `ulimit -n 64`"):
        machine.fit(plan_of(3, "leased")).__enter__()


def test_the_soft_limit_is_put_back() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    plan = plan_of(20, "leased")
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, hard))
    try:
        with machine.fit(plan):
            during = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        after = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (True, 80) == (during >= machine.needs(plan).descriptors, after)


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
            if event.name == "worker.spawned":
                counts.append(open_descriptors())

        def close(self) -> None: ...

    before = open_descriptors()
    report = run(plan, [Counting()])

    said, opened = machine.needs(plan).descriptors, max(counts) - before
    each = (counts[29] - counts[9]) / 20
    assert "done" == report.outcome, report.reason
    assert opened <= said
    assert said - opened < 0.5 * 40 + 70, f"{each} a worker"
