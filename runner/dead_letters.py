"""Dead letters: items that failed for good, kept with their error and history, to be looked at and replayed.

    supervisor ── keep ──► <record>/dead-letters/<stage>.jsonl ◄── read ── mprun dlq, replay
                           one JSON object a line, added and never changed; only its owner may read it
                           <stage>.<number>.item     the bytes of a big item, copied bit by bit (bulk.py)
                           <stage>.replayed          numbers of letters that went back into their stage

An item stays in the frame in which it travelled, and nothing here opens that. Who unpickles it runs code of whoever
wrote it, so that is for a worker in a replay, or for a user who asks.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.bulk import Removal
from runner.dockets import Docket, rebuild
from runner.facts import Attempt, Remains
from runner.frames import unpack
from runner.plan import Plan
from runner.record import RunRecord
from runner.spec import OnError

FOLDER = "dead-letters"
_LETTERS, _REPLAYED, _ITEM = ".jsonl", ".replayed", ".item"
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
    bulk: str | None = None
    """The file, in the folder of the letters, with the bytes of a big item; its frame only says how they belong."""

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
            docket = Docket.decode(entry)
            return rebuild(docket, [whole[at : at + length] for at, length in docket.ranges])

        return next(unpack(base64.b64decode(self.frame), self.index, self.index + 1, fetch))

    def _read_bulk(self, folder: Path) -> bytearray:
        if self.bulk is None:
            return bytearray()
        try:
            return bytearray((folder / self.bulk).read_bytes())
        except OSError as error:
            raise LookupError(f"the item's file '{self.bulk}' can't be read: {error.strerror}") from error


class LetterBox:
    """Keeps the letters of a run that is under way. Makes no file before the first."""

    def __init__(self, record: RunRecord, plan: Plan) -> None:
        self._record = record
        self._plan = plan
        self._written: dict[str, int] = {}
        self._removals: deque[tuple[Removal, DeadLetter, Path]] = deque()
        """Big items that are being copied, with the letters to be written once they are."""

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
        """
        Write one letter, at once or bit by bit in `catch_up`, and return the file.

        Raises:
            OSError: it can't be written; no half of it is left behind.
        """
        number = self._written.get(stage, 0) + 1
        name = file_name(stage)
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
            bulk=None if remains.bulk is None else f"{name}.{number}{_ITEM}",
        )
        path = self._make_folder() / (name + _LETTERS)
        if remains.bulk is None:
            _write(letter, path)
        else:
            removal = Removal(remains.bulk, path.with_name(str(letter.bulk)))
            self._removals.append((removal, letter, path))
        self._written[stage] = number
        return str(path)

    @property
    def behind(self) -> bool:
        """Whether letters with big items are still to be written."""
        return bool(self._removals)

    def catch_up(self) -> None:
        """Write a little more of the oldest of them. Raises OSError where that one can't be kept."""
        removal, letter, path = self._removals.popleft()
        if removal.step():
            _write(letter, path)
        else:
            self._removals.appendleft((removal, letter, path))

    def _make_folder(self) -> Path:
        self._record.make()
        place = folder(self._record)
        place.mkdir(mode=0o700, exist_ok=True)
        return place


def letters_asked_by(plan: Plan) -> str | None:
    """Name a stage whose failed items are to be kept; None where none asks for it."""
    return next((w.stage for w in plan.workers if w.on_error is OnError.DEAD_LETTER), None)


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
            yield letter.unpickle(Path(path).parent)


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


def _as_json(attempt: Attempt) -> dict[str, Any]:
    at = datetime.fromtimestamp(attempt.at, UTC).isoformat(timespec="milliseconds")
    return {**asdict(attempt), "at": at.replace("+00:00", "Z")}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
