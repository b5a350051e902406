"""Dead letters, items that failed for good, kept with their error and history, and the queue that a replay reads.

    supervisor ── keep ──► <run>/dead-letters/<stage>.jsonl ◄── read ── mprun dlq, replay
                           one JSON object a line, added and never changed; only its owner may read it
                           <stage>.<number>.item     the bytes of a big item, copied bit by bit (`Spill`)
                           <stage>.replayed          numbers of letters that went back into their stage

An item stays in the frame in which it travelled, and nothing here opens that. Who unpickles it runs code of whoever
wrote it, so that is for a worker in a replay, or for a user who asks.

The letters of one stage of one run are a `DeadLetterQueue`. A replay puts those that are left in it back into their
stage: the same workflow, begun in its middle, with the letters as a stage like any other, so that it has the bounds,
retries and reports of an ordinary run.

    chef ──► steamer ──► eater ──► …         as it was written
             letters ──► eater ──► …         what a replay runs: the producers and all else upstream are left out
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.errors import UsageError
from runner.events.report import Report
from runner.events.report_fields import StageLine
from runner.facts import dataclass
from runner.handlers.registry import find_kind
from runner.ipc.frames import Resumed, unpack
from runner.ipc.messages import DeliveryAttempt, FailedItem, ItemFailure
from runner.ipc.shm.handles import BufferHandle, Spill, rebuild
from runner.spec.failures import OnError
from runner.spec.graph import reachable
from runner.spec.model import HandlerRef, Role, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, WorkerPlan
from runner.spec.resources import QueueSpec
from runner.store.run_folder import (
    RunFolder,
    all_run_folders,
    home,
    join_ids,
    matching,
    only_match,
    require_private,
)

FOLDER = "dead-letters"
_LETTERS, _REPLAYED, _ITEM = ".jsonl", ".replayed", ".item"
_LONGEST_NAME = 200
_WAITING_PER_WORKER = 2
SOURCE = HandlerRef("python", "runner.store.dead_letters:items")
"""The handler of the stage that puts letters back: a run that has one is a replay."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One item that failed for good. Times are ISO 8601 in UTC."""

    number: int
    """1 for the first of its stage in its run."""
    at: str
    run: str
    workflow: str
    file: str
    stage: str
    queue: str | None
    worker: str
    item: str
    error: str
    traceback: str
    attempts: tuple[Mapping[str, Any], ...]
    frame: str | None
    """The frame that holds the item, in base64; None if it could not be had."""
    index: int
    """Where in the frame the item is."""
    bulk: str | None = None
    """The file, in the folder of the letters, with the bytes of a big item; its frame only says how they belong."""
    outputs: int = 0
    """How many outputs of the item had gone on when it failed; a replay leaves these out."""
    position: str = ""
    """Where a source has found what it could make no item of, which is then what is kept: `access.log:17`."""

    def unpickle(self, folder: Path) -> object:
        """
        Return the item; `folder` is where the letter was read. Runs code of whoever wrote the item.

        Raises:
            UnpackError: it can't be unpickled here.
            LookupError: it was not kept, or its file is gone.
        """
        if self.frame is None:
            raise LookupError("the item could not travel, so it was not kept")
        whole = memoryview(self._read_bulk(folder))

        def fetch(entry: memoryview) -> object:
            handle = BufferHandle.decode(entry)
            return rebuild(handle, [whole[at : at + length] for at, length in handle.ranges])

        return next(unpack(base64.b64decode(self.frame), self.index, self.index + 1, fetch))

    def _read_bulk(self, folder: Path) -> bytearray:
        if self.bulk is None:
            return bytearray()
        try:
            return bytearray((folder / self.bulk).read_bytes())
        except OSError as error:
            raise LookupError(f"the item's file '{self.bulk}' can't be read: {error.strerror}") from error


class DeadLetterStore:
    """Keeps the letters of a run that is under way. Makes no file before the first."""

    def __init__(self, run_folder: RunFolder, plan: Plan) -> None:
        self._run_folder = run_folder
        self._plan = plan
        self._written: dict[str, int] = {}
        self._spills: deque[tuple[Spill, DeadLetter, Path]] = deque()
        """Big items that are being copied, with the letters to be written once they are."""

    def keep(self, worker: WorkerPlan, failure: ItemFailure, failed_item: FailedItem) -> str:
        """
        Write one letter, at once or bit by bit in `catch_up`, and return the file.

        Raises:
            OSError: it can't be written; no half of it is left behind.
        """
        number = self._written.get(worker.stage, 0) + 1
        name = file_name(worker.stage)
        letter = DeadLetter(
            number=number,
            at=_now(),
            run=self._run_folder.run,
            workflow=self._plan.name,
            file=str(self._plan.path.absolute()),
            stage=worker.stage,
            queue=worker.counted_in,
            worker=worker.name,
            item=failure.item,
            error=failure.error,
            traceback=failure.traceback,
            attempts=tuple(map(_as_json, failed_item.attempts)),
            frame=None if failed_item.frame is None else base64.b64encode(failed_item.frame).decode("ascii"),
            index=failed_item.index,
            bulk=None if failed_item.bulk is None else f"{name}.{number}{_ITEM}",
            outputs=failed_item.outputs,
            position=failure.position,
        )
        path = self._make_folder() / (name + _LETTERS)
        if failed_item.bulk is None:
            _write(letter, path)
        else:
            spill = Spill(failed_item.bulk, path.with_name(str(letter.bulk)))
            self._spills.append((spill, letter, path))
        self._written[worker.stage] = number
        return str(path)

    def lengths(self) -> dict[str, int]:
        """Return how long the file of each stage is that has letters, in bytes."""
        folder = letters_folder(self._run_folder)
        return {stage: (folder / (file_name(stage) + _LETTERS)).stat().st_size for stage in self._written}

    def resume(self, lengths: Mapping[str, int]) -> None:
        """
        Cut back the files that an earlier runner has written to these lengths: what is behind comes again.

        Raises:
            OSError: they can't be written.
        """
        folder = letters_folder(self._run_folder)
        for stage in self._plan.stages:
            path, length = folder / (file_name(stage.name) + _LETTERS), lengths.get(stage.name, 0)
            if path.exists():
                os.truncate(path, min(length, path.stat().st_size))
                if length:
                    self._written[stage.name] = path.read_bytes().count(b"\n")

    @property
    def behind(self) -> bool:
        """Whether letters with big items are still to be written."""
        return bool(self._spills)

    def catch_up(self) -> str | None:
        """Write a little more of the oldest of them; return its file once all of it is there.

        Raises:
            OSError: that one can't be kept.
        """
        spill, letter, path = self._spills.popleft()
        if spill.step():
            try:
                _write(letter, path)
            except OSError:
                path.with_name(str(letter.bulk)).unlink(missing_ok=True)
                raise
            return str(path)
        self._spills.appendleft((spill, letter, path))
        return None

    def _make_folder(self) -> Path:
        self._run_folder.make()
        place = letters_folder(self._run_folder)
        place.mkdir(mode=0o700, exist_ok=True)
        return place


def stage_with_dead_letters(plan: Plan) -> str | None:
    """Name a stage whose failed items are to be kept; None where none asks for it."""
    return next((w.stage for w in plan.workers if w.on_error is OnError.DEAD_LETTER), None)


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """The letters of one stage of one run."""

    run_folder: RunFolder
    file: Path
    letters: tuple[DeadLetter, ...]
    """Oldest first."""
    replayed: frozenset[int]

    @property
    def stage(self) -> str:
        """The stage that failed on them."""
        return self.letters[0].stage

    @property
    def left(self) -> list[int]:
        """The numbers of those that were not replayed and can be, in the order in which a replay puts them back."""
        return [
            each.number
            for each in self.letters
            if each.number not in self.replayed and each.frame is not None
        ]

    @property
    def half_done(self) -> list[DeadLetter]:
        """Those of `left` of which some outputs had gone on."""
        left = frozenset(self.left)
        return [each for each in self.letters if each.outputs and each.number in left]

    def require_private(self) -> None:
        """Raise `UsageError` if others may have written what a replay obeys and unpickles."""
        place = self.file.parent
        for each in (
            self.run_folder.home / "runs",
            self.run_folder.path,
            place,
            *self.run_folder.path.iterdir(),
        ):
            require_private(each)
        for each in place.iterdir():
            require_private(each)

    def remove(self) -> None:
        """Remove the letters, and the folder of their run if nothing else is in it. Raises OSError."""
        # By their names, not by what the letters say.
        item = re.compile(rf"{re.escape(self.file.stem)}\.\d+{re.escape(_ITEM)}")
        bulks = [each for each in self.file.parent.iterdir() if item.fullmatch(each.name)]
        for each in (*bulks, self.file.with_suffix(_REPLAYED), self.file):
            each.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # those of another stage are in it
            self.file.parent.rmdir()
            self.run_folder.remove_if_empty()

    def letter(self, number: int) -> DeadLetter:
        """Return one letter by its number. Raises `UsageError` if there is none."""
        for letter in self.letters:
            if letter.number == number:
                return letter
        last = max(letter.number for letter in self.letters)
        raise UsageError(f"stage '{self.stage}' has letters 1 to {last}, not {number}")

    def mark(self, report: Report, source: str) -> int:
        """
        Mark those of `left` that a replay has put back and seen through; return how many. Raises OSError.

        `source` is the stage of the replay that put them. It puts them in order, so what it had put when it ended, or
        was ended, are the first ones; and they are through if no queue of the replay has anything left. A letter that
        failed once more is through as well: it is a letter of the replay's own run. Where such a one could not be
        written, the old letters are all that is left of the items.
        """
        queue = next((each for each in report.queues if each.name == self.letters[0].queue), None)
        if (
            queue is None
            or queue.dropped
            or queue.lost
            or any(each.waiting or each.leased for each in report.queues)
        ):
            return 0
        put = next((_tried(stage) for stage in report.stages if stage.name == source), 0)
        if through := self.left[:put]:
            mark_replayed(self.file, through, report.run)
        return len(through)


def dead_letter_queues() -> list[DeadLetterQueue]:
    """Every queue there is, run by run, oldest first."""
    return _queues_of(all_run_folders())


def letters_of(run_folder: RunFolder) -> list[DeadLetterQueue]:
    """Return the queues of one run, by its stages."""
    return _queues_of([run_folder])


def find_dead_letter_queues(run: str) -> list[DeadLetterQueue]:
    """
    Return the queues of the one run that `run` means: the beginning of its id, or the name of its workflow.

    Of several runs those count that have letters, and of several such those that have letters left to replay.

    Raises:
        UsageError: there is no such run, or there are several.
    """
    known = all_run_folders()
    found = matching(run, known)
    if not found:
        raise UsageError(f"there is no run '{run}' under {home()}; there: {join_ids(known)}")
    found = _prefer(found, lambda run_folder: bool(letter_files(run_folder)))
    found = _prefer(found, lambda run_folder: any(queue.left for queue in _queues_of([run_folder])))
    return _queues_of([only_match(run, found, "runs with dead letters")])


def _prefer(run_folders: list[RunFolder], wanted: Callable[[RunFolder], bool]) -> list[RunFolder]:
    """Leave out what is not wanted, where more than one is there and one is wanted."""
    return (list(filter(wanted, run_folders)) or run_folders) if len(run_folders) > 1 else run_folders


def _queues_of(run_folders: Iterable[RunFolder]) -> list[DeadLetterQueue]:
    queues = []
    for run_folder in run_folders:
        for file in letter_files(run_folder):
            if letters := tuple(read_letters(file)):
                queues.append(DeadLetterQueue(run_folder, file, letters, replayed(file)))
    return queues


def replay_spec(spec: WorkflowSpec, letters: Mapping[str, tuple[Path, Sequence[int]]]) -> WorkflowSpec:
    """
    Return the workflow that puts `letters` into their stages: by stage, the file and the numbers in it.

    Raises:
        UsageError: the workflow has no such stage any more, or the stage reads no queue.
    """
    known = {stage.name: stage for stage in spec.stages}
    for name in letters:
        if name not in known or known[name].role is Role.PLAIN:
            raise UsageError(
                f"'{spec.path}' has no stage '{name}' that reads a queue: its letters have nowhere to go"
            )
    # Another stage that reads the same queue would take letters that are not its own.
    queues_to_refill = {known[name].receives for name in letters} - {None}
    rivals = {s.name for s in spec.stages if s.name not in letters and s.receives in queues_to_refill}
    replaced = {name for name in letters if known[name].role is Role.PRODUCER}
    kept = reachable(letters, lambda name: _readers_of(spec, known[name].writes)) - rivals - replaced
    stages = [replace(s, needs=tuple(n for n in s.needs if n in kept)) for s in spec.stages if s.name in kept]
    sources = [_source(spec, known[name], *where) for name, where in letters.items()]
    used = {queue for stage in [*stages, *sources] for queue in (stage.receives, *stage.writes)}
    workers = {
        queue: len(known[name].workers) if known[name].receives else _count_readers(spec, queue)
        for name, source in zip(letters, sources, strict=True)
        for queue in source.targets
    }
    queues = tuple(_bounded(queue, workers) for queue in spec.queues if queue.name in used)
    return replace(spec, stages=(*sources, *stages), queues=queues)


def _tried(source: StageLine) -> int:
    """Count what the source of a replay has put back, or could make no item of once more, which is a letter again."""
    return source.sent + source.failed


def _readers_of(spec: WorkflowSpec, queues: Collection[str]) -> list[str]:
    return [stage.name for stage in spec.stages if stage.receives in queues]


def _count_readers(spec: WorkflowSpec, queue: str) -> int:
    return max(1, sum(len(stage.workers) for stage in spec.stages if stage.receives == queue))


def _bounded(queue: QueueSpec, workers: Mapping[str, int]) -> QueueSpec:
    """Let few letters wait: a replay that is stopped works off what is in its queues, and knows those to be through."""
    if queue.name not in workers:
        return queue
    most = _WAITING_PER_WORKER * workers[queue.name]
    return replace(queue, maxsize=most if queue.maxsize is None else min(most, queue.maxsize))


def source_name(spec: WorkflowSpec, stage: str) -> str:
    """Name the stage of the replay that puts the letters of `stage` back: a producer's own are put in its place."""
    if any(each.name == stage and each.role is Role.PRODUCER for each in spec.stages):
        return stage
    taken = {name for each in spec.stages for name in (each.name, *each.workers)}
    name = f"letters of {stage}"
    while name in taken:
        name += "'"
    return name


def _source(spec: WorkflowSpec, stage: StageSpec, file: Path, numbers: Sequence[int]) -> StageSpec:
    name = source_name(spec, stage.name)
    arguments: dict[str, Any] = {"path": str(file), "numbers": list(numbers)}
    if stage.role is not Role.PRODUCER:
        return StageSpec(name, SOURCE, arguments, (name,), sends=stage.receives, deterministic=True)
    arguments |= {"kind": stage.handler.kind, "options": stage.handler.options}
    return replace(
        StageSpec(
            name, SOURCE, arguments, (name,), sends=stage.sends, routes=stage.routes, deterministic=True
        ),
        on_error=stage.on_error,
        errors_to=stage.errors_to,
        cwd=stage.cwd,
    )


def items(path: str, numbers: list[int], kind: str = "python", options: object = None) -> Iterator[object]:
    """
    Yield the items of some letters: what a replay has instead of producers. Runs code of whoever wrote them.

    What a source of some `kind` could make no item of, it tries once more, with the `options` that it has now.
    """
    wanted = frozenset(numbers)
    remake = None if kind == "python" else find_kind(kind).of_role(Role.PRODUCER).remake
    for letter in read_letters(Path(path)):
        if letter.number in wanted:
            item = letter.unpickle(Path(path).parent)
            if remake is not None and letter.position:
                item = remake(options, item, letter.position)
            yield Resumed(item, letter.outputs) if letter.outputs else item


def letters_folder(run_folder: RunFolder) -> Path:
    """Where a run's letters are, if it has any."""
    return run_folder.path / FOLDER


def file_name(stage: str) -> str:
    """Return a file's name for a stage of any name: what a path can't hold is spelt out, what is long is cut."""
    safe = stage.replace("%", "%25").replace("/", "%2F")
    safe = "%2E" + safe[1:] if safe.startswith(".") else safe
    if len(safe.encode()) <= _LONGEST_NAME:
        return safe
    import hashlib  # slow to import, and few names are that long

    return f"{safe[:40]}-{hashlib.sha256(stage.encode()).hexdigest()[:16]}"


def letter_files(run_folder: RunFolder) -> list[Path]:
    """Return the files with letters, one a stage."""
    return sorted(letters_folder(run_folder).glob(f"*{_LETTERS}"))


def read_letters(file: Path) -> Iterator[DeadLetter]:
    """Yield the letters of one file in order. A line that is not whole is left out."""
    known = {each.name for each in fields(DeadLetter)}
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                payload = json.loads(line)
                yield DeadLetter(**{key: value for key, value in payload.items() if key in known})
            except (ValueError, TypeError, AttributeError):
                continue


def replayed(file: Path) -> frozenset[int]:
    """Return the numbers of the letters in this file that have been replayed."""
    try:
        lines = file.with_suffix(_REPLAYED).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    return frozenset(number for line in lines for number in _numbers(line))


def mark_replayed(file: Path, numbers: Iterable[int], by_run: str) -> None:
    """Note that these letters went back into their stage, in the run `by_run`. Raises OSError."""
    _append(
        file.with_suffix(_REPLAYED), json.dumps({"at": _now(), "run": by_run, "numbers": sorted(numbers)})
    )


def _numbers(line: str) -> list[int]:
    try:
        return [int(number) for number in json.loads(line)["numbers"]]
    except (ValueError, TypeError, KeyError):
        return []


def _write(letter: DeadLetter, path: Path) -> None:
    _append(path, json.dumps(asdict(letter), ensure_ascii=False))


def _append(path: Path, line: str) -> None:
    """Add one whole line, or nothing."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(out).st_size
        raw = (line + "\n").encode("utf-8", "backslashreplace")
        if os.write(out, raw) < len(raw):  # a disk takes what fits before it says that it is full
            os.ftruncate(out, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(out)


def _as_json(attempt: DeliveryAttempt) -> dict[str, Any]:
    at = datetime.fromtimestamp(attempt.at, UTC).isoformat(timespec="milliseconds")
    return {**asdict(attempt), "at": at.replace("+00:00", "Z")}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
