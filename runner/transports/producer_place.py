"""Where a producer begins, if it takes another's place, and what is kept for whoever takes its own.

it goes on behind `offset`, or its kind does    it makes what is not in
it has a parameter `resume`                     it is called with its last token ──┐
it begins again                                 it makes all once more ────────────┴──► what is in is left out
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable
from dataclasses import replace

from runner.handlers import python
from runner.handlers.arguments import OFFSET, TOKEN
from runner.handlers.kinds import QueueEnd, WorkerContext, one_by_one
from runner.ipc.status_page import Word
from runner.spec.plan import WorkerPlan
from runner.transports.base import WorkerEndpoint
from runner.transports.repetition import RepeatedOutbox, Repetition, pass_over

_NOTED_EVERY = 0.005
"""Seconds between two tokens that are kept: who notes one at each item must not pay for each."""


class ProducerPlace:
    """What a producer's worker does to begin where its predecessors were. Only where these can be told from."""

    def __init__(self, plan: WorkerPlan, endpoint: WorkerEndpoint) -> None:
        self._plan = plan
        self._endpoint = endpoint
        self._repeated: Repetition | None = None
        """What is not to be put, as it is in."""
        self._passing = False
        """Whether it makes such items now."""
        self._next_note = 0.0

    def begin(self, context: WorkerContext) -> WorkerContext:
        """Return what its handler is to be built with. Imports it; raises as `python.bind` does."""
        plan, endpoint = self._plan, self._endpoint
        asked = self._asked_for(context)
        if TOKEN in asked and not plan.deterministic:
            self._show_items()
            start, token = pickle.loads(endpoint.state) if endpoint.state else (0, None)
            self._leave_out_from(start)
            return replace(context, offset=start, token=token, state=b"", note_token=self._note)
        if plan.deterministic or not (OFFSET in asked or self._kind_goes_on()):
            self._show_items()
            if plan.deterministic or endpoint.resumed:
                self._leave_out_from(0)
                return replace(context, offset=0, state=b"")
        return context

    def left_of(self, items: Iterable[object]) -> Iterable[object]:
        """Have those items made that are in, and return the others."""
        if self._repeated is None:
            return items
        # Only kinds of ours make blocks.
        made = iter(items if self._plan.handler.kind == "python" else one_by_one(items))
        with self._endpoint.status.at_work():
            goes_on = pass_over(made, self._repeated, self._is_stopping)
        self._passing = False
        return made if goes_on else ()

    def outbox(self, outbox: QueueEnd) -> RepeatedOutbox | None:
        """Return an outbox that leaves them out; None where there are none."""
        return None if self._repeated is None else RepeatedOutbox(outbox, self._repeated, self._has_passed)

    def check_ended(self, outbox: RepeatedOutbox) -> None:
        """Its handler has returned. Raises `NotRepeated` where it has put less than is in."""
        if not self._is_stopping():
            outbox.check_ended()

    def _asked_for(self, context: WorkerContext) -> frozenset[str]:
        handler = self._plan.handler
        return python.producer_asks(handler.target, context) if handler.kind == "python" else frozenset()

    def _kind_goes_on(self) -> bool:
        handler = self._plan.handler
        if handler.kind == "python":
            return False
        from runner.handlers.registry import find_kind

        kind = find_kind(handler.kind).of_role(self._plan.role)
        return kind.live or kind.resumes(handler.options)

    def _show_items(self) -> None:
        if self._endpoint.show_items is not None:
            self._endpoint.show_items()

    def _leave_out_from(self, start: int) -> None:
        plan, endpoint = self._plan, self._endpoint
        if endpoint.offset > start:
            samples, declared = endpoint.samples, plan.deterministic
            self._repeated = Repetition(plan.stage, start, endpoint.offset, samples, declared=declared)
            self._passing = True

    def _has_passed(self) -> None:
        self._passing = False

    def _note(self, token: object) -> None:
        """Keep a token for whoever takes its place. One from among what is in already would be of no use."""
        now = time.monotonic()
        if self._passing or now < self._next_note or self._endpoint.count_made is None:
            return
        made = self._endpoint.count_made()
        self._endpoint.note_place(made, pickle.dumps((made, token), pickle.HIGHEST_PROTOCOL))
        self._next_note = now + _NOTED_EVERY

    def _is_stopping(self) -> bool:
        return bool(self._endpoint.status.words[Word.STOP])
