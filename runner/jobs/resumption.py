"""What of a past run's jobs is kept, what runs again, and why. Pure.

    record ────────► PastLeg ──┐               ┌─► KeptLeg: ended well, is what it was, nothing before it runs again
    file as it is ─► JobSpec ──┼► decide_legs ─┤
                  └► digests ──┘               └─► RunLeg: with the reason, and the attempts that it has had

What is kept comes into the run with its outputs, as if it had just passed. What runs again takes along all that needs
it: a job must not rest on what another has made anew. One in the background runs where something runs that needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field, fields, replace
from functools import partial
from typing import Any

from runner.facts import dataclass
from runner.jobs.contexts.of_leg import asked_values
from runner.jobs.outcomes import JobOutcome, LegOutcomes, need_context
from runner.jobs.templates import names_of_leg
from runner.spec.expressions.evaluate import NeedContext
from runner.spec.graph import depths
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.spec.model import JobResult

WAITING, RUNNING, RETRYING = "waiting", "running", "retrying"
"""States of a leg that has not come to its end; one that has is in the state that its `JobResult` names."""
ENDED_WELL = (JobResult.PASSED, JobResult.ALLOWED, JobResult.SKIPPED)
_NOT_KEPT_SINCE: Mapping[str, str] = {
    WAITING: "it had not begun",
    RUNNING: "attempt {attempts} was lost with the runner",
    RETRYING: "it was about to be tried again",
    JobResult.FAILED: "it had failed",
    JobResult.TIMED_OUT: "it had timed out",
    JobResult.CANCELLED: "it had been cancelled",
}
_IRRELEVANT = frozenset(
    {"id", "job", "label", "strategy", "timeout", "idle_timeout", "attempts", "concurrency", "cache"}
)
"""What has no part in what a leg does, only in how long it may take, how often it is tried and when it has its turn."""
_WORDS = {"condition": "if", "may_fail": "continue-on-error", "directory": "working-directory"}
"""How keys are called in a file, where that is not the name of their field."""
_RELEVANT = {
    _WORDS.get(each.name, each.name): each.name for each in fields(LegSpec) if each.name not in _IRRELEVANT
}

_NOT_NEEDED = "nothing that needs it is left to run"

Digests = Mapping[str, str]
"""What a leg is, as digests by the key of the file: two that are equal do the same."""
Stale = Callable[[LegSpec, Mapping[str, NeedContext]], str | None]
"""Says of a leg why what it has made is not good any more, given what the jobs that it needs came to; None if it is."""


@dataclass(frozen=True, slots=True)
class PastLeg:
    """What is known of a leg in a past run."""

    state: str
    attempts: int = 0
    lost: int = 0
    """Of its attempts, those that do not count since the runner was killed, or because it began anew."""
    outputs: Mapping[str, str] | None = None
    """None where they are not known, as where a secret is in them."""
    digests: Digests | None = None
    reason: str = ""
    exitcode: int | None = None
    signal: str | None = None
    seconds: float = 0.0
    ended: float = 0.0
    """When it did, in seconds since the epoch."""
    log: str = ""

    @property
    def outcome(self) -> JobOutcome:
        """What those who need it get to see of one that is kept."""
        return JobOutcome(
            JobResult(self.state),
            self.reason,
            self.exitcode,
            self.signal,
            self.seconds,
            outputs=self.outputs or {},
        )


@dataclass(frozen=True, slots=True)
class JobNote:
    """What a run keeps of a leg beside its events, so that another can go on from there."""

    leg: str
    digests: Digests
    outputs: Mapping[str, str] | None = None
    """Once it is over."""
    lost: int | None = None
    """Once it has begun."""


@dataclass(frozen=True, slots=True)
class KeptLeg:
    """A leg is as it was, and stays so."""

    leg: LegSpec
    past: PastLeg


@dataclass(frozen=True, slots=True)
class RunLeg:
    """A leg runs, or is asked again whether it does."""

    leg: LegSpec
    reason: str
    attempts: int = 0
    """That it has had."""
    lost: int = 0
    """Of these, the ones that do not count."""
    changed: tuple[str, ...] = ()
    """Keys that are not what they were when it began the last time."""
    was_cut_off: bool = False
    """It ran when the runner was killed: nobody has cleaned up behind it."""


LegDecision = KeptLeg | RunLeg


@dataclass(frozen=True, slots=True)
class JobsPast:
    """What a run takes over of a past one: what it has kept, and how often the others were tried."""

    run: str = ""
    """The id of the past run, which is its own where it goes on."""
    kept: Mapping[str, PastLeg] = field(default_factory=dict)
    begun: Mapping[str, RunLeg] = field(default_factory=dict)


NO_PAST = JobsPast()


def past_of(run: str, decisions: Sequence[LegDecision], *, goes_on: bool) -> JobsPast:
    """Return what a run takes over. One that does not go on, but is another, numbers its attempts anew."""
    kept = {each.leg.id: each.past for each in decisions if isinstance(each, KeptLeg)}
    begun = {each.leg.id: each for each in decisions if isinstance(each, RunLeg) and each.attempts}
    return JobsPast(run, kept, begun if goes_on else {})


def with_unrecorded(past: Mapping[str, PastLeg], logged: Mapping[str, int]) -> dict[str, PastLeg]:
    """
    Add the attempts that were begun in the last moment before all was killed: of these nobody knows but their logs.

    `logged` has the last attempt of each leg that has left one. Such a number is not given again.
    """
    found = dict(past)
    for leg, attempt in logged.items():
        known = past.get(leg, PastLeg(WAITING))
        if attempt > known.attempts:
            goes_on = known.state in (WAITING, RUNNING, RETRYING)
            # One that had come to its end had begun anew.
            lost = known.lost if goes_on else known.attempts
            found[leg] = replace(known, state=RUNNING, attempts=attempt, lost=lost)
    return found


def digests_of(
    job: JobSpec, leg: LegSpec, params: Mapping[str, Any], contexts: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return what a leg is, as far as it has a bearing on what it does, by the words of the file."""
    parts = {word: value for word, field in _RELEVANT.items() if (value := getattr(leg, field))}
    if leg.condition or any(step.condition for step in (*leg.steps, *leg.ensure)):
        parts["params"] = sorted(params.items())  # whichever of them it asks for
        if contexts and (asked := asked_values(names_of_leg(leg), contexts)):
            parts["contexts"] = asked
    if job.needs:
        parts["needs"] = job.needs
    if job.values:
        parts["outputs"] = leg.outputs, job.values
    return {word: _digest(value) for word, value in parts.items()}


def decide_legs(
    jobs: Sequence[JobSpec],
    past: Mapping[str, PastLeg],
    digests: Mapping[str, Digests],
    *,
    again: Mapping[str, str] | None = None,
    stale: Stale = lambda _leg, _needs: None,
) -> list[LegDecision]:
    """
    Decide about every leg of `jobs`; one comes behind all that it needs.

    `again` are the ids of legs that are to run in any case, with the reason. `stale` is only asked of what would be
    kept otherwise.
    """
    deep = depths({job.name: [need.job for need in job.needs] for job in jobs})
    then, past = past, {**past, **_as_used(jobs, past)}
    decisions: list[LegDecision] = []
    kept: dict[str, LegOutcomes] = {}
    by_name = {job.name: job for job in jobs}
    for job in sorted(jobs, key=lambda job: deep[job.name]):
        open_need = next((need.job for need in job.needs if need.job not in kept), None)
        needs = {need.job: need_context(by_name[need.job], kept.get(need.job, {})) for need in job.needs}
        own = [
            _decide_leg(
                leg,
                past.get(leg.id, PastLeg(WAITING)),
                digests[leg.id],
                (again or {}).get(leg.id) or (f"'{open_need}', which it needs, runs" if open_need else None),
                partial(stale, leg, needs),
            )
            for leg in job.legs
        ]
        decisions += own
        if all(isinstance(each, KeptLeg) for each in own):
            kept[job.name] = {each.leg.id: past[each.leg.id].outcome for each in own}
    cut_off = {leg for leg, was in then.items() if was.state == RUNNING}
    return _with_what_they_use(jobs, decisions, deep, cut_off)


def _as_used(jobs: Sequence[JobSpec], past: Mapping[str, PastLeg]) -> dict[str, PastLeg]:
    """
    Return the legs in the background as those that used them have seen them: as ready.

    Nobody has rested on their end, so that one that was killed with the runner, stopped or cancelled makes nothing that
    has passed run again. One that had never begun has not been used; one that had failed may have failed those.
    """
    used = (JobResult.CANCELLED, RUNNING)
    needed = {need.job for job in jobs for need in job.needs}
    return {
        leg.id: replace(was, state=JobResult.PASSED, reason=_NOT_NEEDED, outputs=was.outputs or {})
        for job in jobs
        for leg in job.legs
        if leg.background
        and job.name in needed
        and (was := past.get(leg.id)) is not None
        and was.state in used
    }


def _with_what_they_use(
    jobs: Sequence[JobSpec],
    decisions: Sequence[LegDecision],
    deep: Mapping[str, int],
    cut_off: Collection[str],
) -> list[LegDecision]:
    """Have those in the background run that something needs which runs: it has to be there, whatever became of it."""
    users: dict[str, list[str]] = {}
    for job in jobs:
        for need in job.needs:
            users.setdefault(need.job, []).append(job.name)
    run = {each.leg.job: each.leg.id for each in reversed(decisions) if isinstance(each, RunLeg)}
    found = list(decisions)
    for at in sorted(range(len(found)), key=lambda at: -deep[found[at].leg.job]):
        each = found[at]
        user = next((run[name] for name in users.get(each.leg.job, ()) if name in run), None)
        if isinstance(each, KeptLeg) and each.leg.background and user is not None:
            had = each.past.attempts
            reason = f"'{user}', which needs it, runs"
            found[at] = RunLeg(each.leg, reason, had, had, was_cut_off=each.leg.id in cut_off)
            run.setdefault(each.leg.job, each.leg.id)
    return found


def changed_in(decisions: Sequence[LegDecision]) -> dict[str, Sequence[str]]:
    """Return the legs that were begun as something else than they are now, with the keys that say so."""
    return {each.leg.id: each.changed for each in decisions if isinstance(each, RunLeg) and each.changed}


def _decide_leg(
    leg: LegSpec, past: PastLeg, digests: Digests, wanted: str | None, stale: Callable[[], str | None]
) -> LegDecision:
    changed = tuple(_changed(past.digests, digests)) if past.digests is not None else ()
    reason = (
        _why_not_kept(past)
        or (changed and f"{_listed(changed)} changed")
        or wanted
        or _outputs_lost(past)
        or stale()
    )
    if not reason:
        return KeptLeg(leg, past)
    cut_off = past.state == RUNNING
    # What was cut off has the attempts left that it had; what came to its end begins anew.
    counts = past.attempts - past.lost - cut_off if past.state in (RUNNING, RETRYING) else 0
    return RunLeg(leg, reason, past.attempts, past.attempts - counts, changed, cut_off)


def _why_not_kept(past: PastLeg) -> str | None:
    if past.state in ENDED_WELL:
        return None
    return _NOT_KEPT_SINCE.get(past.state, "what became of it is not known").format(attempts=past.attempts)


def _outputs_lost(past: PastLeg) -> str | None:
    if past.outputs is None:
        return "what it hands on has a secret in it, or was not kept"
    return None if past.digests is not None else "what it was is not known"


def _changed(before: Digests, now: Digests) -> list[str]:
    return [word for word in sorted(before.keys() | now.keys()) if before.get(word) != now.get(word)]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _digest(value: object) -> str:
    # All of it is frozen facts, texts and numbers, whose `repr` says all that they are, and is quick to make.
    return hashlib.sha256(repr(value).encode(errors="surrogateescape")).hexdigest()[:16]
