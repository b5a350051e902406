"""What one attempt does about its caches: put back before its first step, kept when it has passed.

    a path of the job ──► t/ in its tree · h/ in the home folder · a/ anywhere else ──► the archive ──► the same place

So what was kept in one tree comes back in another. Each file is written aside and takes its place in one step; one that
is there and newer stays. Nothing about a cache makes a job fail.
"""

from __future__ import annotations

import glob
import hashlib
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from runner.facts import dataclass
from runner.jobs.workspace.cache import CacheEntry, CacheStore
from runner.spec.jobs.workspace import CacheSpec
from runner.text import printable
from runner.units import format_size

_MOST_SHOWN = 120
_CHUNK = 1 << 20
_TREE, _HOME, _ANYWHERE = "t", "h", "a"

KeepGoing = Callable[[], None]
Told = Callable[..., None]


@dataclass(frozen=True, slots=True)
class JobCaches:
    """The caches of one attempt."""

    store: CacheStore
    caches: Sequence[CacheSpec]
    root: str
    """The folder of its tree."""
    directory: str
    """The folder that relative paths start at."""
    keep_going: KeepGoing
    report: Told
    """Called with the name of an event, and its fields."""
    say: Callable[[str], None]
    """Writes a line into the log of the job."""

    def restore(self) -> bool:
        """Put back what there is; say whether each was there under its own key. Raises what `keep_going` does."""
        hits = [self._restore(cache) for cache in self.caches]
        return all(hits)

    def save(self) -> None:
        """Keep what is not there under its key yet. Raises what `keep_going` does."""
        for cache in self.caches:
            if not self.store.has(cache.name, cache.paths):
                try:
                    self._save(cache)
                except (OSError, tarfile.TarError) as error:
                    self._tell_missed(cache.name, f"could not be kept: {_in_words(error)}")

    def _restore(self, cache: CacheSpec) -> bool:
        began = time.monotonic()
        while (entry := self.store.find(cache.name, cache.paths, cache.restore)) is not None:
            descriptor = self.store.opened(entry)
            if descriptor is None:
                self._tell_missed(entry.key, "was damaged, and is removed")
                continue
            try:
                with open(descriptor, "rb") as stream:  # noqa: PTH123 - of a descriptor
                    self._extract(stream)
            except (OSError, tarfile.TarError) as error:
                self._tell_missed(entry.key, f"could not be put back: {_in_words(error)}")
                return False
            self._tell("cache.restored", cache.name, entry, time.monotonic() - began)
            return entry.key == cache.name
        self._tell_missed(cache.name, "is not there yet")
        return False

    def _tell(self, event: str, key: str, entry: CacheEntry, seconds: float) -> None:
        seconds = round(seconds, 6)
        self.report(event, key=key, found=entry.key, bytes=entry.bytes, files=entry.files, seconds=seconds)
        word = "restored" if event == "cache.restored" else "kept"
        of = f" for '{_shown(key)}'" if entry.key != key else ""
        with suppress(OSError):
            self.say(f"cache '{_shown(entry.key)}' {word}{of}, {format_size(entry.bytes)} in {seconds:.1f} s")

    def _tell_missed(self, key: str, reason: str) -> None:
        self.report("cache.missed", key=key, reason=f"cache '{_shown(key)}' {reason}")
        with suppress(OSError):
            self.say(f"cache '{_shown(key)}' {reason}")

    # What is kept.

    def _save(self, cache: CacheSpec) -> None:
        began, found = time.monotonic(), dict.fromkeys(self._found(cache.paths))
        total = sum(os.lstat(place).st_size for place in found)
        if not found:
            self._tell_missed(cache.name, f"is not kept: there is nothing at {', '.join(cache.paths)}")
            return
        if total > self.store.limit:
            most = format_size(self.store.limit)
            self._tell_missed(
                cache.name, f"is not kept: it has {format_size(total)}, and all may have {most}"
            )
            return
        draft = self.store.draft(cache.name, cache.paths)
        try:
            digest, files = self._write(draft, found)
            entry = self.store.keep(draft, cache.name, cache.paths, digest, files)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        if entry is not None:
            self._tell("cache.saved", cache.name, entry, time.monotonic() - began)

    def _found(self, paths: Sequence[str]) -> Iterator[str]:
        for pattern in paths:
            absolute = os.path.join(self.directory, os.path.expanduser(pattern))  # noqa: PTH111, PTH118
            for place in glob.iglob(os.path.normpath(absolute), recursive=True, include_hidden=True):  # noqa: PTH207
                yield from _all_of(place)

    def _write(self, draft: Path, found: Iterator[str] | dict[str, None]) -> tuple[str, int]:
        files = 0
        with draft.open("xb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            hashed = _Hashed(stream)
            with tarfile.open(
                fileobj=cast("IO[bytes]", hashed), mode="w|", format=tarfile.PAX_FORMAT
            ) as archive:
                for place in found:
                    self.keep_going()
                    member = archive.gettarinfo(place, self._stored(place))
                    if member is None or not (
                        member.isreg() or member.isdir() or member.issym() or member.islnk()
                    ):
                        continue
                    _add(archive, member, place)
                    files += not member.isdir()
        return hashed.digest.hexdigest(), files

    def _stored(self, place: str) -> str:
        bases = ((_TREE, self.root), (_HOME, os.path.expanduser("~")), (_ANYWHERE, "/"))  # noqa: PTH111
        for word, base in bases:
            path = os.path.relpath(place, base)
            if not path.startswith("../") and path != "..":
                return f"{word}/{path}"
        return f"{_ANYWHERE}/{place.lstrip('/')}"

    # What is put back.

    def _extract(self, stream: BinaryIO) -> None:
        folders: list[tuple[str, tarfile.TarInfo]] = []
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for number, member in enumerate(archive):
                self.keep_going()
                place = self._place(member.name)
                if member.isdir():
                    os.makedirs(place, exist_ok=True)  # noqa: PTH103
                    folders.append((place, member))
                    continue
                os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
                _put_back(archive, member, place, f"{place}.{os.getpid()}-{number}{_DRAFT}")
        for place, member in reversed(folders):
            with suppress(OSError):
                os.chmod(place, member.mode & 0o777)  # noqa: PTH101

    def _place(self, name: str) -> str:
        word, _, path = name.partition("/")
        base = {_TREE: self.root, _HOME: os.path.expanduser("~"), _ANYWHERE: "/"}.get(word)  # noqa: PTH111
        if base is None or ".." in path.split("/"):
            raise tarfile.TarError(f"'{_shown(name)}' in it leads nowhere")
        place = os.path.normpath(os.path.join(base, path))  # noqa: PTH118
        folder = os.path.realpath(os.path.dirname(place))  # noqa: PTH120
        if word == _TREE and not f"{folder}/".startswith(f"{os.path.realpath(base)}/") and place != base:
            raise tarfile.TarError(f"'{_shown(path)}' in it is behind a link that leads out of the tree")
        return place


_DRAFT = ".mprun-part"


class _Hashed:
    """A file to write to, and the digest of what was written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._stream.write(data)


def _all_of(place: str) -> Iterator[str]:
    yield place
    if os.path.isdir(place) and not os.path.islink(place):  # noqa: PTH112, PTH114
        for folder, folders, names in os.walk(place):
            yield from (os.path.join(folder, name) for name in sorted((*folders, *names)))  # noqa: PTH118


def _add(archive: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> None:
    if member.islnk():  # each is a file of its own: its other name may not come back
        member.type, member.linkname, member.size = tarfile.REGTYPE, "", os.lstat(place).st_size
    if not member.isreg():
        archive.addfile(member)
        return
    with open(place, "rb") as content:  # noqa: PTH123 - its name may be no UTF-8
        archive.addfile(member, content)


def _put_back(archive: tarfile.TarFile, member: tarfile.TarInfo, place: str, draft: str) -> None:
    if _is_newer(place, member) or (os.path.isdir(place) and not os.path.islink(place)):  # noqa: PTH112, PTH114
        return
    try:
        if member.issym():
            os.symlink(member.linkname, draft)  # noqa: PTH211
        elif member.isreg() and (content := archive.extractfile(member)) is not None:
            _write(draft, content, member)
        else:
            return
        os.replace(draft, place)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)  # noqa: PTH108
        raise


def _write(draft: str, content: IO[bytes], member: tarfile.TarInfo) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:  # noqa: PTH123 - of a descriptor
        while chunk := content.read(_CHUNK):
            stream.write(chunk)
        os.fchmod(stream.fileno(), member.mode & 0o777)
    os.utime(draft, (member.mtime, member.mtime))


def _is_newer(place: str, member: tarfile.TarInfo) -> bool:
    try:
        facts = os.lstat(place)
    except OSError:
        return False
    same = facts.st_size == member.size or not member.isreg()
    return facts.st_mtime > member.mtime + 1e-3 or (same and abs(facts.st_mtime - member.mtime) <= 1e-3)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"'{error.filename}': {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _shown(text: str) -> str:
    return printable(text, _MOST_SHOWN)
