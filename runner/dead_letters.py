"""Dead letters: items that failed for good, kept with their error and history, to be looked at and replayed.

    supervisor ── keep ──► <record>/dead-letters/<stage>.jsonl ◄── read ── mprun dlq, replay
                           one JSON object a line, added and never changed; only its owner may read it
                           <stage>.replayed     numbers of letters that went back into their stage

An item stays in the frame in which it travelled, and nothing here opens that. Who unpickles it runs code of whoever
wrote it, so that is for a worker in a replay, or for a user who asks.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.facts import Attempt, Remains
from runner.frames import unpack
from runner.plan import Plan
from runner.record import RunRecord

FOLDER = "dead-letters"
_LETTERS, _REPLAYED = ".jsonl", ".replayed"
_LONGEST_NAME = 200


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

    def unpickle(self) -> object:
        """Return the item. Runs code of whoever wrote it. Raises `UnpackError`, or LookupError if there is no item."""
        if self.frame is None:
            raise LookupError("the item could not travel, so it was not kept")
        return next(unpack(base64.b64decode(self.frame), self.index, self.index + 1))


class LetterBox:
    """Keeps the letters of a run that is under way. Makes no file before the first."""

    def __init__(self, record: RunRecord, plan: Plan) -> None:
        self._record = record
        self._plan = plan
        self._written: dict[str, int] = {}

    def keep(
        self,
        stage: str,
        queue: str | None,
        worker: str,
        item: str,
        error: str,
        traceback: str,
        remains: Remains,
    ) -> str:
        """Write one letter and return the file. Raises OSError, and leaves no half of it behind."""
        number = self._written.get(stage, 0) + 1
        letter = DeadLetter(
            number=number,
            at=_now(),
            run=self._record.run,
            workflow=self._plan.name,
            file=str(self._plan.path.absolute()),
            stage=stage,
            queue=queue,
            worker=worker,
            item=item,
            error=error,
            traceback=traceback,
            attempts=tuple(map(_as_json, remains.attempts)),
            frame=None if remains.frame is None else base64.b64encode(remains.frame).decode("ascii"),
            index=remains.index,
        )
        self._record.make()
        path = folder(self._record) / (file_name(stage) + _LETTERS)
        _append(path, json.dumps(asdict(letter), ensure_ascii=False))
        self._written[stage] = number
        return str(path)


def folder(record: RunRecord) -> Path:
    """Where a run's letters are, if it has any."""
    return record.folder / FOLDER


def file_name(stage: str) -> str:
    """Return a file's name for a stage of any name: what a path can't hold is spelt out, what is long is cut."""
    safe = stage.replace("%", "%25").replace("/", "%2F")
    safe = "%2E" + safe[1:] if safe.startswith(".") else safe
    if len(safe.encode()) <= _LONGEST_NAME:
        return safe
    import hashlib  # slow to import, and few names are that long

    return f"{safe[:40]}-{hashlib.sha256(stage.encode()).hexdigest()[:16]}"


def letter_files(record: RunRecord) -> list[Path]:
    """Return the files with letters, one a stage."""
    return sorted(folder(record).glob(f"*{_LETTERS}"))


def read_letters(file: Path) -> Iterator[DeadLetter]:
    """Yield the letters of one file in order. A line that is not whole is left out."""
    known = {each.name for each in fields(DeadLetter)}
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                said = json.loads(line)
                yield DeadLetter(**{key: value for key, value in said.items() if key in known})
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


def items(path: str, numbers: list[int]) -> Iterator[object]:
    """Yield the items of some letters: what a replay has instead of producers. Runs code of whoever wrote them."""
    wanted = frozenset(numbers)
    for letter in read_letters(Path(path)):
        if letter.number in wanted:
            yield letter.unpickle()


def _numbers(line: str) -> list[int]:
    try:
        return [int(number) for number in json.loads(line)["numbers"]]
    except (ValueError, TypeError, KeyError):
        return []


def _append(path: Path, line: str) -> None:
    """Add one whole line, or nothing."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(out).st_size
        raw = (line + "\n").encode("utf-8", "backslashreplace")
        if os.write(out, raw) < len(raw):  # a disk takes what fits before it says that it is full
            os.ftruncate(out, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(out)


def _as_json(attempt: Attempt) -> dict[str, Any]:
    at = datetime.fromtimestamp(attempt.at, UTC).isoformat(timespec="milliseconds")
    return {**asdict(attempt), "at": at.replace("+00:00", "Z")}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
