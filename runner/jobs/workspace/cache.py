"""Files that are kept from run to run under a key, as one archive each: found, kept whole or not at all, bounded.

    cache/1f3a….json        an entry: its key, its paths, its archive with the digest; touched when it is used
    cache/1f3a…-5e2b.tar    its archive
    cache/….part            one that is being written, or was when its writer was killed
    cache/lock              held by who removes some

An entry is there once its `.json` is, which takes its place in one step. Readers wait for nobody: who reads an archive
that is removed meanwhile has it to its end. Of two that keep one key the first wins. An entry whose archive is not what
it was is removed, and was never there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.errors import UsageError
from runner.facts import dataclass
from runner.text import write_atomically
from runner.units import size

CACHE = "cache"
"""The folder in the home of runs."""
LIMIT = "MPRUN_CACHE_LIMIT"
_USUAL_LIMIT = "10GiB"
_LOCK = "lock"
_PART = ".part"
_WAITS = 10.0
"""Seconds."""
_LOOKS_AGAIN = 0.01
_ABANDONED = 3600.0
"""Seconds after which nobody writes any more to what has no entry."""


def cache_limit(environ: Mapping[str, str]) -> int:
    """Return how many bytes all entries may have. Raises UsageError."""
    written = environ.get(LIMIT) or _USUAL_LIMIT
    try:
        return size(written)
    except ValueError:
        raise UsageError(f"{LIMIT} is '{written}', and not a size such as 500MB or 10GiB") from None


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What is kept under one key."""

    key: str
    paths: tuple[str, ...]
    archive: str
    """The name of its file."""
    digest: str
    bytes: int
    files: int
    made: float
    """When, in seconds since the epoch."""
    used: float = 0.0
    """When last."""

    @property
    def name(self) -> str:
        """The name of its own file."""
        return f"{_identity(self.key, self.paths)}.json"


def _identity(key: str, paths: Sequence[str]) -> str:
    written = json.dumps([key, list(paths)]).encode()
    return hashlib.sha256(written).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class CacheStore:
    """All that is kept in one home."""

    folder: Path
    limit: int

    def entries(self) -> list[CacheEntry]:
        """Return what there is, the newest first. What can't be read is not there."""
        found = (self._read(path) for path in _within(self.folder) if path.name.endswith(".json"))
        return sorted((each for each in found if each is not None), key=lambda each: -each.made)

    def find(self, key: str, paths: Sequence[str], restore: Sequence[str]) -> CacheEntry | None:
        """Return the entry of a key, else the newest whose key begins with the first of `restore` that any does."""
        exact = self._read(self.folder / f"{_identity(key, paths)}.json")
        if exact is not None:
            return exact
        known = [each for each in self.entries() if each.paths == tuple(paths)] if restore else []
        matches = (each for prefix in restore for each in known if each.key.startswith(prefix))
        return next(matches, None)

    def has(self, key: str, paths: Sequence[str]) -> bool:
        """Say whether a key is there itself."""
        return self._read(self.folder / f"{_identity(key, paths)}.json") is not None

    def opened(self, entry: CacheEntry) -> int | None:
        """Open the archive of an entry, which counts as its use; None, and it is removed, if it is damaged or gone."""
        path = self.folder / entry.archive
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.remove(entry)
            return None
        with open(descriptor, "rb", closefd=False) as stream:
            is_whole = hashlib.file_digest(stream, "sha256").hexdigest() == entry.digest
        if not is_whole:
            os.close(descriptor)
            self.remove(entry)
            return None
        os.lseek(descriptor, 0, os.SEEK_SET)
        with suppress(OSError):
            os.utime(self.folder / entry.name)
        return descriptor

    def draft(self, key: str, paths: Sequence[str]) -> Path:
        """Return where to write the archive of a key. Raises OSError."""
        for folder in (self.folder.parent, self.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        return self.folder / f"{_identity(key, paths)}-{os.urandom(4).hex()}.tar{_PART}"

    def keep(self, draft: Path, key: str, paths: Sequence[str], digest: str, files: int) -> CacheEntry | None:
        """
        Make an entry of an archive that is written, and bring all within the limit.

        None where another has kept something under the key meanwhile, which stays. Raises OSError.
        """
        archive = draft.with_suffix("")
        now, bytes_ = time.time(), draft.stat().st_size
        entry = CacheEntry(key, tuple(paths), archive.name, digest, bytes_, files, now, now)
        facts = {"key": key, "paths": list(paths), "archive": archive.name, "digest": digest}
        text = json.dumps({**facts, "bytes": bytes_, "files": files, "made": now})
        with self._held():
            if self._read(self.folder / entry.name) is not None:
                draft.unlink()
                return None
            draft.rename(archive)
            write_atomically(self.folder / entry.name, text.encode(), 0o600)
            self._prune(self.limit, spare=entry.name)
        return entry

    def remove(self, entry: CacheEntry) -> None:
        """Remove an entry, if it is still that. Raises nothing."""
        with suppress(OSError), self._held():
            self._remove(entry)

    def prune(self, limit: int | None = None) -> list[CacheEntry]:
        """Remove the least recently used beyond the limit, or another; return these. And what killed writers left."""
        if not self.folder.exists():
            return []
        with self._held():
            return self._prune(self.limit if limit is None else limit)

    def _remove(self, entry: CacheEntry) -> None:
        now = self._read(self.folder / entry.name)
        with suppress(OSError):
            if now is not None and now.archive == entry.archive:  # else another took its place
                (self.folder / entry.name).unlink(missing_ok=True)
            (self.folder / entry.archive).unlink(missing_ok=True)

    def _prune(self, limit: int, spare: str = "") -> list[CacheEntry]:
        entries, gone = sorted(self.entries(), key=lambda each: each.used), []
        total = sum(each.bytes for each in entries)
        for entry in entries:
            if total > limit and entry.name != spare:
                self._remove(entry)
                gone.append(entry)
                total -= entry.bytes
        self._sweep({each.archive for each in entries})
        return gone

    def _sweep(self, known: set[str]) -> None:
        long_ago = time.time() - _ABANDONED
        for path in _within(self.folder):
            if path.name.endswith((".tar", _PART)) and path.name not in known:
                with suppress(OSError):
                    if path.stat().st_mtime < long_ago:
                        path.unlink()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep others from adding and removing, which takes them moments; where they take long, or can't be, go on."""
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + _WAITS
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() < until:
                        time.sleep(_LOOKS_AGAIN)
                        continue
                except OSError:  # there are no locks
                    pass
                break
            yield
        finally:
            os.close(descriptor)

    def _read(self, path: Path) -> CacheEntry | None:
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            entry = CacheEntry(
                str(known["key"]),
                tuple(map(str, known["paths"])),
                os.path.basename(known["archive"]),  # noqa: PTH119 - of a text
                str(known["digest"]),
                int(known["bytes"]),
                int(known["files"]),
                float(known["made"]),
                path.stat().st_mtime,
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):  # it is damaged
            with suppress(OSError):
                path.unlink()
            return None
        return entry if entry.name == path.name else None


def _within(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
