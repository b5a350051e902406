"""The supervisor's hand on a Parquet file, or on a folder of them. It never imports pyarrow.

.out.d5fc.mprun/writer-1 ── converted ──► writer-1 4711.parquet ──► out.parquet      a second name: the first stays
  the spool: what is done                   made by its worker, or by a process of its own
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.handlers.outputs import (
    REMEDY,
    HiddenOutput,
    KeptOutput,
    Opening,
    OutputRefused,
    WriteMode,
    remedy,
)
from runner.handlers.sinks.files import PreparedFile, acknowledged_length, check_kept
from runner.handlers.sinks.hidden import begun_by, hidden, inode, remove_at_once
from runner.handlers.sinks.holds import refuse_writers, take
from runner.handlers.sinks.renames import exchange, sync_file, sync_folder

ROWS = 100_000
"""What a row group usually has."""
_NEW = "new"
_ASIDE = ".aside"
_CONVERTER = "runner.handlers.sinks.parquet"
_REPLACE = "`mode: replace` puts a new one in its place"


def converted(spool: str, length: int) -> str:
    """Name the file that is made of so much of a spool."""
    return f"{spool} {length}.parquet"


def set_aside(spool: str) -> None:
    """
    Let nobody take what was made of a spool for what is made of it from now on.

    A predecessor may have made it of more than was acknowledged: of other rows, and of as many bytes. It stays, as by
    it a file is known as the run's own that was put in place when the run was stopped.
    """
    path = Path(spool)
    made = re.compile(rf"{re.escape(path.name)} [0-9]+\.parquet")
    for each in list(path.parent.iterdir()):
        if made.fullmatch(each.name):
            each.rename(f"{each}{_ASIDE}")


class ParquetOutput:
    """The supervisor's hand on a Parquet file, or on a folder of them. It never imports pyarrow."""

    def __init__(self, path: str, mode: WriteMode, opening: Opening, options: Mapping[str, Any]) -> None:
        """See to it that it may be written. Raises `OutputRefused`, OSError."""
        self._is_folder = path.endswith("/")
        self._path, self._mode, self._run = Path(os.path.realpath(path)), mode, opening.run
        self._rows, self._columns = options.get("rows", ROWS), dict(options.get("columns", {}))
        self._sync = opening.fsync
        self._folder = hidden(self._path, self._run)
        self._descriptor = -1
        self._old: int | None = None
        """The inode of what is there, and may be replaced."""
        self.prepared = PreparedFile(str(self._folder), parts=True)
        if opening.before is None:
            self._prepare(path)
        else:
            self._prepare_again(path, opening.before)

    def _prepare(self, path: str) -> None:
        refuse_writers(self._path, self._run, path, shares=self._shares)
        self._check(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._old = inode(self._path)
        self._lock(path)

    @property
    def _shares(self) -> bool:
        return self._is_folder and self._mode is WriteMode.APPEND

    def _lock(self, path: str) -> None:
        is_new = not self._folder.exists()
        self._descriptor = take(self._folder, path, shares=self._shares)
        try:
            refuse_writers(self._path, self._run, path, shares=self._shares, removes=is_new)
        except OutputRefused:
            if is_new:
                remove_at_once(self._folder)
            os.close(self._descriptor)
            raise

    def kept(self) -> bytes:
        """Return what it takes to open it once more."""
        return json.dumps({"old": self._old}).encode()

    def _prepare_again(self, path: str, before: KeptOutput) -> None:
        self._old = json.loads(before.data)["old"]
        if self._folder.is_dir():
            for worker, state in before.states.items():
                spool = Path(self.prepared.of(worker).path)
                check_kept(spool, f"{path}: what {worker} had written", b"", [state])
            shutil.rmtree(self._folder / _NEW, ignore_errors=True)
            self._lock(path)
            if any(_is_same(each, self._path) for each in self._folder.iterdir()):
                self._old = inode(self._path)  # our own, of what was done when the run was stopped
        elif before.over and self._is_placed(before.states):
            remove_at_once(self._folder)
        else:
            raise OutputRefused(
                f"{path}: what the run had written is gone: '{self._folder}' was beside it; another run that writes it "
                "takes it away"
            )

    def _is_placed(self, states: Mapping[str, bytes]) -> bool:
        """Whether the last runner was killed when all was in its place. Without items nothing is made in a folder."""
        if not self._is_folder:
            return inode(self._path) not in (None, self._old)
        return not any(map(acknowledged_length, states.values())) or any(
            self._path.glob(f"part-{self._run}-*")
        )

    def _check(self, path: str) -> None:
        there = self._path.exists()
        if there and self._path.is_dir() is not self._is_folder:
            what = "a file, and a folder is" if self._is_folder else "a folder, and a file is"
            raise OutputRefused(f"{path}: it is {what} to be written")
        if there and self._mode is WriteMode.FAIL and not (self._is_folder and not any(self._path.iterdir())):
            others = REMEDY if self._is_folder else _REPLACE
            raise OutputRefused(f"{path}: it is there already; {remedy(begun_by(self._path), others)}")
        if there and not os.access(self._path, os.W_OK):
            raise OutputRefused(f"{path}: permission denied: it can't be written to")

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None, stays: bool = False) -> None:
        """Put files in their place; also what is done of a run that was stopped. Raises `OutputRefused`, OSError."""
        if self._descriptor < 0:
            return
        is_whole = False
        try:
            if complete or (self._mode is not WriteMode.REPLACE and not (stays and states is None)):
                self._publish(complete, dict(self._lengths(states)))
                if self._sync:
                    sync_folder(str(self._path if self._is_folder else self._path.parent))
            is_whole = complete
        finally:
            if is_whole or not stays:
                remove_at_once(self._folder)
            os.close(self._descriptor)

    def _lengths(self, states: Mapping[str, bytes] | None) -> Iterator[tuple[str, int]]:
        """Yield the spools, each with how much of it is done."""
        if states is not None:
            for worker, state in states.items():
                yield self.prepared.of(worker).path, acknowledged_length(state)
            return
        for spool in self._folder.iterdir():
            if spool.is_file() and not spool.name.endswith((".parquet", ".partial", ".placed", _ASIDE)):
                yield str(spool), spool.stat().st_size

    def _publish(self, complete: bool, lengths: Mapping[str, int]) -> None:
        made = {spool: self._made(spool, length) for spool, length in lengths.items() if length}
        if not self._is_folder:
            if complete and not made:
                empty = self._folder / "empty"
                empty.touch()
                made = {"empty": self._made(str(empty), 0)}
            for file in made.values():
                self._put_in_place(file)
            return
        target = self._folder / _NEW if self._mode is WriteMode.REPLACE else self._path
        target.mkdir(parents=True, exist_ok=True)
        for spool, file in made.items():
            _replace(file, target / f"part-{self._run}-{Path(spool).name}.parquet")
        if self._mode is WriteMode.REPLACE:
            exchange(target, self._path)

    def _put_in_place(self, file: str) -> None:
        if self._mode is WriteMode.FAIL and inode(self._path) != self._old:
            raise OutputRefused(
                f"{self._path}: somebody else has made it while the run wrote to it; {_REPLACE}"
            )
        if self._path.exists():
            os.chmod(file, stat.S_IMODE(self._path.stat().st_mode))  # noqa: PTH101
        _replace(file, self._path)

    def _made(self, spool: str, length: int) -> str:
        """Return the file made of a spool; where its worker did not come to that, another process makes it."""
        file = self._converted(spool, length)
        if self._sync:
            sync_file(file)
        return file

    def _converted(self, spool: str, length: int) -> str:
        file = converted(spool, length)
        if not os.path.exists(file):  # noqa: PTH110
            shape = str(length), str(self._rows), json.dumps(self._columns)
            command = [sys.executable, "-m", _CONVERTER, spool, *shape, str(self._path)]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or ["it was killed"]
                raise OutputRefused(f"{self._path}: its rows could not be put together: {last[0]}")
        return file


def spools_beside(path: str, run: str) -> list[HiddenOutput]:
    """Say what may be left beside a file, or a folder. See `Writes.hides`."""
    return [HiddenOutput(str(hidden(Path(os.path.realpath(path)), run)), run)]


def _replace(file: str, path: Path) -> None:
    """Give a file a second name, that of another. By the first, whoever comes after a kill knows it as the run's."""
    second = f"{file}.placed"
    try:
        os.link(file, second)
    except OSError:  # the file system has no links
        second = file
    os.replace(second, path)  # noqa: PTH105


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)
