"""Where one attempt of a job is at work: its tree, with what it gets of others; what of it is kept when it has passed.

make ──► a tree of its own, or the user's ──► what others made is laid into it ──► the request, with paths of there
hand_on ──► what it has made, for those that want it
leave ──► the tree is gone, or kept as the job has failed
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from runner.jobs.executor.process_group import Interruption
from runner.jobs.requests import JobRequest
from runner.jobs.workspace.cache import CacheStore
from runner.jobs.workspace.caching import JobCaches
from runner.jobs.workspace.handover import HandoverRefused, keep_made, lay, take_over
from runner.jobs.workspace.tree import JobTree, NoTree
from runner.spec.model import JobResult


class PlaceInterrupted(Exception):
    """The attempt is called off, or out of time, before its tree is made."""

    def __init__(self, interruption: Interruption) -> None:
        super().__init__(interruption.reason)
        self.interruption = interruption


class JobPlace:
    """The place of one attempt."""

    def __init__(
        self,
        request: JobRequest,
        interruption: Callable[[], Interruption | None],
        report: Callable[..., None],
    ) -> None:
        """`interruption` says why the attempt can't go on, if it can't; `report` tells of an event."""
        self.request = request
        """With the paths of the tree, once that is made."""
        self._interruption, self._report = interruption, report
        self._cache_hit: bool | None = None
        self._tree = JobTree(request.workspace, self._keep_going)
        self._hindrance: Interruption | None = None

    def make(self) -> Interruption | None:
        """Make it, once; return why there is none, where that is so."""
        if self._hindrance is None and not self._tree.is_made:
            try:
                self.request = self._made()
            except PlaceInterrupted as cut:
                self._hindrance = cut.interruption
            except (NoTree, HandoverRefused, OSError) as error:
                self._hindrance = Interruption(JobResult.FAILED, f"it has no tree: {_in_words(error)}")
        return self._hindrance

    @property
    def notes(self) -> Iterator[str]:
        """What who reads the log of the job may want to know of it."""
        yield from self._tree.notes

    def variables(self, env: dict[str, str]) -> dict[str, str]:
        """Return the variables of a process with those that say where it is, and whether its caches were there."""
        hit = {} if self._cache_hit is None else {"MPRUN_CACHE_HIT": str(self._cache_hit).lower()}
        return {**self._tree.variables(env), **hit}

    def restore_caches(self, say: Callable[[str], None]) -> Interruption | None:
        """Put back what is kept from run to run; return why the attempt can't go on, if it can't."""
        if self.request.workspace.caches:
            try:
                self._cache_hit = self._caches(say).restore()
            except PlaceInterrupted as cut:
                return cut.interruption
        return None

    def save_caches(self, say: Callable[[str], None]) -> None:
        """The job has passed: keep what is to be there in the next run. What can't be kept is told."""
        if self.request.workspace.caches:
            with suppress(PlaceInterrupted):
                self._caches(say).save()

    def _caches(self, say: Callable[[str], None]) -> JobCaches:
        asked = self.request.workspace
        store = CacheStore(Path(asked.cache), asked.cache_limit)
        root, directory = self._tree.root, self.request.directory
        return JobCaches(store, asked.caches, root, directory, self._keep_going, self._report, say)

    def leave(self, *, failed: bool = False) -> str | None:
        """Take the tree away; return where it is, if it is kept as the job has failed."""
        return self._tree.remove(failed=failed)

    def hand_on(self, *, is_over: bool = True) -> str | None:
        """Keep what the job has made for those that want it; return why it can't be. It may not be over yet."""
        folder, root = self.request.workspace.hand_on, self._tree.root
        if not folder:
            return None
        linked = is_over and self.request.workspace.is_own
        try:
            keep_made(root, self.request.directory, self.request.files, folder, linked=linked)
        except (HandoverRefused, OSError) as error:
            return f"what it made can't be handed on: {_in_words(error)}"
        return None

    def hand_on_again(self) -> bool:
        """Keep what it made when it last passed, as it is up to date; say whether that is there."""
        check, folder = self.request.up_to_date, self.request.workspace.hand_on
        if check is None or check.within is None or not folder:
            return self.hand_on() is None
        take_over(check.kept, folder)
        return os.path.isdir(folder)  # noqa: PTH112

    def _made(self) -> JobRequest:
        tree, request = self._tree, self.request
        tree.make()
        if request.workspace.handed:
            lay(request.workspace.handed, tree.root, self._keep_going)
        if not request.workspace.is_own:
            return request
        directory = tree.directory(request.directory)
        beside = [(name, tree.moved(name)) for name in request.dotenv]
        check = request.up_to_date
        return replace(
            request,
            directory=directory,
            # Git ignores most of them: then it is the user's own.
            dotenv=tuple(moved if os.path.exists(moved) else name for name, moved in beside),  # noqa: PTH110
            up_to_date=check and replace(check, root=directory, within=os.path.relpath(directory, tree.root)),
        )

    def _keep_going(self) -> None:
        if (cut := self._interruption()) is not None:
            raise PlaceInterrupted(cut)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"'{error.filename}': {error.strerror}" if error.filename else error.strerror
    return str(error)
