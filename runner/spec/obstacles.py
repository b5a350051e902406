"""What is in the way of going on with a run, by its plan and by how far it had come. Pure.

    check_resume ──────────► obstacles ─► what could be lacking, wherever the runner is killed      resume: required
    plan ──► run_obstacles ──┐            the same, as facts that a record keeps
    a cut ─► Reached ────────┴► in_the_way ─► Hindrance: why `mprun resume` refuses, or has to be asked

`mprun resume`, the last line of a run, its last event, `mprun history` and `mprun show` all ask `in_the_way`: what they
say is one thing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, field
from enum import StrEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath
from runner.spec.model import Role, StageSpec
from runner.spec.plan import Plan
from runner.spec.resources import PipeSpec, SharedSpec
from runner.spec.resume import OverDeath
from runner.units import counted

NO_CUT = "it ended before anything of it was kept to go on from"
"""Why a run of stages can't be gone on with of which there is no cut."""
_NOTHING_KEPT = "its file says `resume: none`"


class Lacking(StrEnum):
    """What is lacking where a run can't be gone on with."""

    CUT = "cut"
    """Nothing of it is kept."""
    LEDGER = "ledger"
    """Who knows what is in the queues."""
    SHARED = "shared"
    """What is in a shared object, or under way in a pipe."""
    STATE = "state"
    """What a handler kept."""
    POSITION = "position"
    """How far a stage is that is round no queue."""
    LIVE = "live"
    """What was on its way to a source that nobody can ask again."""
    INPUT = "input"
    """What was read of a stream."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a run of a file could not be gone on with."""

    lacking: Lacking
    path: DataPath
    why: str
    remedy: str
    stage: str = ""
    """Empty where it is not about one."""


def obstacles(
    transport: str, shared: Iterable[SharedSpec], pipes: Iterable[PipeSpec], stages: Iterable[StageSpec]
) -> Iterator[Obstacle]:
    """Yield all that is in the way of going on with a run. The stages know what becomes of them over a death."""
    if transport != "leased":
        why = f"under `{transport}` nobody knows what is in the queues once the runner is gone"
        yield Obstacle(Lacking.LEDGER, ("resume",), why, "use `leased`, or leave it out")
        return
    for each in shared:
        why = f"what is in the shared object '{each.name}' is gone with the runner"
        remedy = "put what has to last into items, or into a file or a database"
        yield Obstacle(Lacking.SHARED, ("shared", each.name), why, remedy)
    for pipe in pipes:
        why = f"what is under way in the pipe '{pipe.name}' is gone with the runner"
        yield Obstacle(Lacking.SHARED, ("pipes", pipe.name), why, "let a queue join the two stages")
    for stage in stages:
        if (found := _of_stage(stage)) is not None:
            lacking, why, remedy = found
            yield Obstacle(lacking, ("stages", stage.name, "run"), why, remedy, stage.name)


def loses_state(stage: StageSpec) -> bool:
    """Whether its handler is seen to keep something of its items, and nothing sees to that."""
    return stage.misses_state and stage.kept is not None and stage.kept.seen


def reads_stream(stage: StageSpec) -> bool:
    """Whether a source of ours reads something that is gone once it is read, as stdin."""
    own = stage.handler.is_known and stage.handler.kind not in ("python", "command")
    return own and stage.role is Role.PRODUCER and not stage.resumes


def _of_stage(stage: StageSpec) -> tuple[Lacking, str, str] | None:
    name = stage.name
    if loses_state(stage):
        assert stage.kept is not None
        why = f"what stage '{name}' keeps of its items in {stage.kept.shown} is gone with the runner"
        remedy = "`state: checkpoint` keeps it, `state: none` says that it does not matter"
        return Lacking.STATE, why, remedy
    if stage.role is Role.PLAIN:
        why = f"stage '{name}' is round no queue, so that nobody knows how far it is: it would begin anew"
        return Lacking.POSITION, why, "let it read or write a queue, or run it in a workflow of its own"
    live = stage.over_death is OverDeath.AT_MOST_ONCE
    if not live and not reads_stream(stage):
        return None
    why = f"stage '{name}' reads what can't be read again: what is on its way to it is lost with it"
    remedy = "let something else write it to a file, and read that"
    return (Lacking.LIVE if live else Lacking.INPUT), why, remedy


@dataclass(frozen=True, slots=True)
class RunObstacle:
    """What may be in the way of going on with one run. Plain facts, which its record keeps."""

    lacking: Lacking
    why: str
    """Of what a stage keeps: what that is."""
    remedy: str = ""
    stage: str = ""
    workers: tuple[str, ...] = ()
    """Whose own end takes it out of the way, all of them; nothing does where there are none."""
    queue: str = ""
    """Of what the stage keeps: the queue that it reads."""


def run_obstacles(plan: Plan) -> tuple[RunObstacle, ...]:
    """Return what may be in the way of going on with a run of this plan, however far it has come."""
    found = [] if plan.resume.keeps else [RunObstacle(Lacking.CUT, _NOTHING_KEPT)]
    if plan.jobs:  # of these stays what ended well
        return tuple(found)
    by_name = {stage.name: stage for stage in plan.stages}
    flow = sorted(plan.stages, key=lambda stage: stage.place)
    for each in obstacles(plan.transport, plan.shared, plan.pipes, (stage.spec for stage in flow)):
        if not each.stage:
            found.append(RunObstacle(each.lacking, each.why, each.remedy))
            continue
        stage = by_name[each.stage]
        names = tuple(worker.name for worker in stage.workers)
        if each.lacking is Lacking.STATE:
            assert stage.spec.kept is not None
            shown, queue = stage.spec.kept.shown, stage.receives or ""
            found.append(RunObstacle(each.lacking, shown, each.remedy, stage.name, names, queue))
        # A live source goes on with what comes, and a daemonic stage is never at its end.
        elif each.lacking is not Lacking.LIVE and not stage.spec.daemon:
            found.append(RunObstacle(each.lacking, each.why, each.remedy, stage.name, names))
    return tuple(found)


def obstacles_as_facts(found: Iterable[RunObstacle]) -> list[dict[str, Any]]:
    """Return them as JSON can hold them."""
    return [asdict(each) for each in found]


def obstacles_of_facts(told: Any) -> tuple[RunObstacle, ...]:
    """Make them again; none of what another version has written otherwise."""
    try:
        return tuple(
            RunObstacle(**{**each, "lacking": Lacking(each["lacking"]), "workers": tuple(each["workers"])})
            for each in told or ()
        )
    except (KeyError, TypeError, ValueError):
        return ()


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a run has come, as far as that has a bearing on whether it can be gone on with: what a cut says."""

    ended: Collection[str] = frozenset()
    """Workers that have come to their own end."""
    closed: Collection[str] = frozenset()
    """Workers that have closed as the run was ended."""
    added: Mapping[str, str] = field(default_factory=dict)
    """Workers that are not in the plan, with their stage."""
    done: Mapping[str, int] = field(default_factory=dict)
    """By queue, how many items are done."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a run is not gone on with at once."""

    why: str
    can_be_asked: bool = False
    """Whether it is all the same with `--changed ok`."""


def in_the_way(found: Sequence[RunObstacle], reached: Reached | None) -> list[Hindrance]:
    """
    Return why a run can't be gone on with, or has to be asked for; nothing where it simply can.

    `reached` is None where there is no cut of it.
    """
    if reached is None:
        for each in found:
            if each.lacking in (Lacking.CUT, Lacking.LEDGER):
                return [Hindrance(each.why)]
        return [Hindrance(NO_CUT)]
    return [hindrance for each in found if (hindrance := _hindrance(each, reached)) is not None]


def _hindrance(obstacle: RunObstacle, reached: Reached) -> Hindrance | None:
    if obstacle.lacking is Lacking.STATE:
        return _of_state(obstacle, reached)
    if obstacle.workers and set(reached.ended).issuperset(obstacle.workers):
        return None
    return Hindrance("; ".join(filter(None, (obstacle.why, obstacle.remedy))))


def _of_state(obstacle: RunObstacle, reached: Reached) -> Hindrance | None:
    """Say what the workers of a stage have taken along of items that are done; who closed could see to it."""
    added = [name for name, stage in reached.added.items() if stage == obstacle.stage]
    left = [name for name in (*obstacle.workers, *added) if name not in reached.ended]
    done = reached.done.get(obstacle.queue, 0)
    if not done or not left:
        return None
    kept = f"stage '{obstacle.stage}': what it kept of {counted(done, 'item')} in {obstacle.why}"
    if any(name not in reached.closed for name in left):
        return Hindrance(f"{kept} is lost with its workers; {obstacle.remedy}")
    return Hindrance(
        f"{kept} was in workers that closed when the run ended; new ones begin with nothing, and may write over what "
        "these wrote then; `--changed ok` goes on all the same, `state: none` says that it does not matter",
        can_be_asked=True,
    )
