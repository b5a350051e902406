"""Goes on with a run of stages: what is in the way, what is to be known before, and the run itself.

TakenRun: the last cut ──┐
plan then, plan now ─────┼──► Outlook ──┬── in the way ──► refused, exit 6, with the difference
handlers' files ─────────┘              └── notes ───────► told ──► run, as the next incarnation
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.options import RunOptions
from runner.cli.output import print_message
from runner.cli.past_runs.past import Past, difference
from runner.cli.past_runs.resume_check import StagesCheck, check_stages
from runner.cli.run import Prepared, run_prepared
from runner.errors import ResumeRefused
from runner.facts import dataclass
from runner.record.resumption import TakenRun, take_up
from runner.spec.obstacles import in_the_way, run_obstacles
from runner.spec.plan import Plan, make_plan
from runner.spec.plan_changes import PlanChange, Verdict, changes_between
from runner.store.run_folder import RunFolder
from runner.supervisor.cuts import listed_inputs
from runner.supervisor.way_on import changed_inputs
from runner.text import visible
from runner.transports.cut import Cut
from runner.units import counted

if TYPE_CHECKING:
    from runner.spec.model import WorkflowSpec

_MOST_LINES = 60


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would come of going on with a run."""

    obstacles: Sequence[str]
    """Why that can't be; empty where it can."""
    notes: Sequence[str]
    """What is otherwise than when the run began, and does no harm that anybody has to be asked about."""
    difference: Sequence[str]
    """What has changed in the file, as a unified diff."""


@dataclass(frozen=True, slots=True)
class StagesResumption:
    """A run of stages that is to be gone on with."""

    past: Past
    run_folder: RunFolder
    modules: Mapping[str, str | None]
    """The files that its handlers were in, and the digest of each."""
    not_repeated: str | None
    """Why it has ended, where a producer had not given again what it had given."""
    changed_ok: bool

    def check(self) -> StagesCheck:
        """Return what would be done, and start nothing. Raises `ResumeRefused`, `SpecError`."""
        plan, taken = make_plan(self._spec(show_warnings=True)), take_up(self.run_folder)
        try:
            outlook = self._outlook(plan, taken)
            self._refuse(outlook)
            return check_stages(plan, taken, outlook.notes)
        finally:
            taken.lock.release()

    def run(self, chosen: RunOptions) -> int:
        """Go on. Raises `ResumeRefused`, `SpecError`, and whatever a run does."""
        return run_prepared(self._prepare, chosen)

    def _prepare(self, *, show_warnings: bool) -> Prepared:
        plan, taken = make_plan(self._spec(show_warnings=show_warnings)), take_up(self.run_folder)
        try:
            outlook = self._outlook(plan, taken)
            self._refuse(outlook)
        except BaseException:
            taken.lock.release()
            raise
        for line in outlook.notes if show_warnings else ():
            print_message(f"mprun: {visible(line)}")
        return Prepared(plan, taken=taken)

    def _spec(self, *, show_warnings: bool) -> WorkflowSpec:
        from runner.cli.checking import checked_spec

        past = self.past
        params, overrides, text = past.params_now, past.overrides_now, past.text_to_check
        return checked_spec(past.file, params, overrides, show_warnings=show_warnings, text=text)

    def _outlook(self, plan: Plan, taken: TakenRun) -> Outlook:
        past, cut = self.past, taken.cut
        changed = [*past.difference_given(), *difference(past.text, past.file)]
        included = {name: difference(text, Path(name)) for name, text in past.included.items()}
        changes = self._changes(plan) if changed else []
        too_much = Verdict.ASKED if self.changed_ok else Verdict.NAMED
        obstacles = [str(change) for change in changes if change.verdict > too_much]
        if not self.changed_ok:
            obstacles += [
                f"'{name}', which the file includes, has changed" for name, d in included.items() if d
            ]
        hindrances = in_the_way(run_obstacles(plan), None if cut is None else cut.reached)
        obstacles += [each.why for each in hindrances if not (each.can_be_asked and self.changed_ok)]
        if self.not_repeated is not None and not self.changed_ok:
            way = "once it gives that again, `--changed ok` goes on"
            obstacles.append(f"it has ended with this: {self.not_repeated}; {way}")
        if cut is not None:
            obstacles += changed_inputs(plan, listed_inputs(cut), cut.ended)
        return Outlook(
            obstacles,
            [
                *(each.why for each in hindrances),
                *(str(change) for change in changes if change.verdict <= too_much),
                *self._changed_modules(plan, cut),
            ],
            [*changed, *(line for lines in included.values() for line in lines)],
        )

    def _changes(self, now: Plan) -> list[PlanChange]:
        then = _spec_then(self.past)
        if then is None:
            what = "the file as it was does not check any more, so that nobody can say what that means for the run"
            return [PlanChange("the file has changed", what, Verdict.ASKED)]
        return changes_between(make_plan(then), now)

    def _changed_modules(self, plan: Plan, cut: Cut | None) -> Iterator[str]:
        done = 0 if cut is None else cut.done(plan.last_queues)
        for path, digest in self.modules.items():
            if digest is not None and _digest(Path(path)) != digest:
                kept = f"; {counted(done, 'finished item')} {'keeps' if done == 1 else 'keep'} what the old code did"
                yield f"{Path(path).name} has changed since{kept if done else ''}"

    def _refuse(self, outlook: Outlook) -> None:
        if not outlook.obstacles:
            return
        run, lines = self.past.run, list(outlook.obstacles)
        way = f"`mprun rerun {run}` begins anew"
        head = f"run '{run}' can't be gone on with"
        one = len(lines) == 1
        message = (
            [f"{head}: {lines[0]}; {way}"] if one else [f"{head}; {way}", *(f"  {each}" for each in lines)]
        )
        shown = outlook.difference[:_MOST_LINES]
        more = len(outlook.difference) - len(shown)
        raise ResumeRefused(
            "\n".join(map(visible, [*message, *shown, *([f"… {more} more lines"] if more else [])]))
        )


def _spec_then(past: Past) -> WorkflowSpec | None:
    from runner.loader.load import check

    return check(past.file, params=past.params, overrides=past.overrides, text=past.text).spec


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
