"""Reading files in big blocks: compression by suffix, whole lines, a share of a file, and what was read before skipped.

Range ──► open_file ──► bytes, some at a time ──► Block: whole lines, and where they are ──► a kind of source
             │ .gz .bz2 .xz .zst · fsspec                └── what earlier workers have put: counted, not split
"""

from __future__ import annotations

import glob
import select
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any, cast

from runner.errors import HandlerError
from runner.facts import dataclass
from runner.handlers.kinds import WorkerContext
from runner.handlers.sources.inputs import STDIN, Range, is_url, paths_of, why_unshared
from runner.spec.plan import InputFile
from runner.units import format_size

BLOCK = 1 << 16
"""Bytes that are read at once: enough to be quick, and so few that they stay in the cache, and in memory that is used
again: more would be mapped anew for each block."""

LONGEST_LINE = 1 << 28
"""Bytes of a line: more would be all of a file that is no text, in memory."""
_LOOK = 100
"""Milliseconds between two looks whether the worker is to end."""

COMPRESSION_OPTION: dict[str, Any] = {
    "enum": ["auto", "none", "gzip", "bz2", "xz", "zstd"],
    "default": "auto",
    "description": (
        "How the files are compressed; `auto` goes by the suffix: `.gz`, `.bz2`, `.xz` and `.zst`, the last with "
        "`pip install 'mprun[zstd]'`."
    ),
}
_SUFFIXES = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
_MODULES = {"gzip": "gzip", "bz2": "bz2", "xz": "lzma"}
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def compression_of(path: str, option: str = "auto") -> str:
    """Return how a file is compressed: `none`, `gzip`, …"""
    if option != "auto":
        return option
    return next((name for suffix, name in _SUFFIXES.items() if path.endswith(suffix)), "none")


def compression_in(data: bytes) -> str | None:
    """Return how data that was taken for text is compressed, as its first bytes tell."""
    return next((name for magic, name in _MAGIC.items() if data.startswith(magic)), None)


def require(module: str, extra: str, what: str) -> Any:
    """Return a module of an extra. Raises `HandlerError` with the line to type where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise HandlerError(
            f"{what} needs the package '{error.name or module}': pip install 'mprun[{extra}]'"
        ) from error


def can_be_cut(compression: str) -> Callable[[InputFile], bool]:
    """Return what tells whether several workers may read parts of a file."""
    return lambda each: (
        each.size is not None and not is_url(each.path) and compression_of(each.path, compression) == "none"
    )


def why_whole(options: Mapping[str, Any]) -> str | None:
    """Say why several workers can't share the input: it is a stream, or one file, compressed. For `unshared`."""
    path = the_one_file(options)
    how = "none" if path is None else compression_of(path, options.get("compression", "auto"))
    if how != "none":
        return f"'{path}' is one file, and a file in {how} is read from its beginning"
    return why_unshared(options)


def the_one_file(options: Mapping[str, Any]) -> str | None:
    """Return what `path` names, where that is one file, whatever there is."""
    paths = paths_of(options.get("path", ()))
    return paths[0] if len(paths) == 1 and not glob.has_magic(paths[0]) else None


@dataclass(slots=True)
class OpenFile:
    """A file that is being read: its content, and how far that is in the file itself."""

    content: IO[bytes]
    raw: IO[bytes] | None
    """The file itself, where the content is not what is in it; None where it can't tell how far it was read."""

    def tell(self) -> int | None:
        """Return how many bytes of the file itself were read, where that is known."""
        return None if self.raw is None else self.raw.tell()


@contextmanager
def open_file(
    file: InputFile, compression: str = "auto", stopping: Callable[[], bool] = lambda: False
) -> Iterator[OpenFile]:
    """
    Open a file to read what is in it, uncompressed. A stream that gives nothing ends where `stopping` says so.

    Raises:
        HandlerError: it can't be opened, has become shorter since the stage began, or needs what is not installed.
    """
    how = compression_of(file.path, compression)
    with _open_raw(file) as opened:
        raw = opened if file.size is not None else cast("IO[bytes]", _Stream(opened, stopping))
        if how == "none":
            try:
                yield OpenFile(raw, None)
            except OSError as error:
                raise HandlerError(f"'{file.path}' can't be read: {error.strerror or error}") from error
            return
        content = _decompressed(raw, how)
        try:
            yield OpenFile(content, raw)
        except (EOFError, OSError, ValueError) as error:
            raise error if isinstance(error, HandlerError) else _broken(file.path, how, error) from error
        except (
            Exception
        ) as error:  # zlib.error, lzma.LZMAError and zstandard.ZstdError have no base in common
            if type(error).__module__.partition(".")[0] in ("zlib", "_lzma", "lzma", "zstandard", "zstd"):
                raise _broken(file.path, how, error) from error
            raise
        finally:
            content.close()


def _broken(path: str, how: str, error: Exception) -> HandlerError:
    if isinstance(error, EOFError):
        return HandlerError(f"'{path}' is cut short: the {how} data in it has no end")
    return HandlerError(f"'{path}' can't be read as {how}: {error}")


def open_url(url: str) -> IO[bytes]:
    """Open a URL with fsspec. Raises `HandlerError`, which names it, whatever its file system raises."""
    fsspec = require("fsspec", "fsspec", f"'{url}'")
    try:
        opened: IO[bytes] = fsspec.open(url, "rb").open()
    except FileNotFoundError as error:  # with the path in place of what went wrong, often
        raise HandlerError(f"'{url}' can't be opened: there is no such file") from error
    except Exception as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise HandlerError(f"'{url}' can't be opened: {why}") from error
    return opened


def _open_raw(file: InputFile) -> IO[bytes]:
    try:
        if is_url(file.path):
            return open_url(file.path)
        # Unbuffered: a pipe gives what is there, and of a file whole blocks are read anyway.
        raw: IO[bytes] = open(file.path, "rb", buffering=0)  # noqa: PTH123, SIM115 - the caller closes it
    except OSError as error:
        raise HandlerError(f"'{file.path}' can't be opened: {error.strerror or error}") from error
    if file.size and raw.seek(0, 2) < file.size:
        raw.close()
        raise HandlerError(f"'{file.path}' has become shorter since the stage began")
    if file.size:
        raw.seek(0)
    return raw


def _decompressed(raw: IO[bytes], how: str) -> IO[bytes]:
    if how == "zstd":
        return cast("IO[bytes]", _ZstdReader(raw))
    opened: IO[bytes] = import_module(_MODULES[how]).open(raw, "rb")
    return opened


class _Stream:
    """A pipe or a terminal: whoever waits for it may be asked to end meanwhile."""

    def __init__(self, raw: IO[bytes], stopping: Callable[[], bool]) -> None:
        self._raw = raw
        self._stopping = stopping
        self._poll = select.poll()
        self._poll.register(raw, select.POLLIN)

    def read(self, size: int = BLOCK) -> bytes:
        """Return what is there, waiting for some; nothing at the end."""
        while not self._poll.poll(_LOOK):
            if self._stopping():
                return b""
        return self._raw.read(size)

    def tell(self) -> int:
        """Nobody knows how much there is, so how far it was read says nothing."""
        return 0


class _ZstdReader:
    """Reads what is in Zstandard frames. The package's own reader takes a frame that is cut short for a whole one."""

    def __init__(self, raw: IO[bytes]) -> None:
        zstandard = require("zstandard", "zstd", "a .zst file")
        self._raw = raw
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._rest = b""

    def read1(self, size: int) -> bytes:
        """Return some of the content; nothing at its end. Raises EOFError where that is missing."""
        while packed := self._rest or self._raw.read(size):
            if self._frame is None:
                self._frame = self._new()
            found: bytes = self._frame.decompress(packed)
            self._rest = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
            if found:
                return found
        if self._frame is not None:
            raise EOFError
        return b""

    def read(self, size: int) -> bytes:
        """The same."""
        return self.read1(size)

    def close(self) -> None:
        """Nothing is held."""


class LineNumbers:
    """Knows the numbers of lines in a file. Where they can be counted later, they are: few are ever asked for."""

    def __init__(self, part: Range, *, later: bool) -> None:
        self._file, self._later = part.file, later
        self._at = self._lines = 0
        """So many lines end before this byte."""

    def passed(self, data: bytes) -> None:
        """Count the lines of a block that is behind us, where that can't be done later."""
        if not self._later:
            self._lines += data.count(b"\n")

    def before(self, at: int) -> int:
        """Count the lines that end before a byte. Only for bytes that lie behind those asked for so far."""
        if self._later and at > self._at:
            with _open_raw(self._file) as raw:
                raw.seek(self._at)
                while self._at < at and (data := raw.read(min(BLOCK, at - self._at))):
                    self._lines += data.count(b"\n")
                    self._at += len(data)
        return self._lines


@dataclass(slots=True)
class Block:
    """Some whole lines of a file."""

    range: Range
    at: int
    """Where in the content they begin."""
    data: bytes
    numbers: LineNumbers
    skipped: int = 0
    """Lines before them that were read with them, and are left out."""

    def behind(self, end: int) -> Block:
        """Return the block without what comes before `end`."""
        skipped = self.skipped + self.data.count(b"\n", 0, end)
        return Block(self.range, self.at, self.data[end:], self.numbers, skipped)

    @property
    def is_first(self) -> bool:
        """Whether it begins at the top of the file."""
        return self.at == 0 and not self.skipped

    def number(self, index: int) -> int:
        """Return the number, in its file, of a line of the block. The first of a file is 1."""
        return self.numbers.before(self.at) + self.skipped + index + 1

    def position(self, index: int) -> str:
        """Return where a line of the block is: `access.log:17`."""
        return f"{input_name(self.range.file)}:{self.number(index)}"


def input_name(file: InputFile) -> str:
    """Return what a file is called in messages."""
    return "stdin" if file.path == STDIN else file.path


def read_blocks(
    parts: Iterable[Range],
    context: WorkerContext,
    compression: str,
    count: Callable[[bytes], int],
    skip: Callable[[bytes, int], int],
) -> Iterator[Block]:
    """
    Read files in blocks of whole lines, behind what earlier generations of the worker have put.

    `count` says how many items a block comes to, and `skip` where in it so many of them end.
    """
    progress = _Progress.of(parts, context)
    left = context.offset
    for part in progress.parts:
        with open_file(part.file, compression, context.stopping) as opened:
            numbers = LineNumbers(part, later=opened.raw is None and part.file.size is not None)
            for at, data in _whole_lines(opened.content, part):
                progress.note(at + len(data) - part.start, opened.tell())
                block = Block(part, at, data, numbers)
                items = count(data) if left else 0
                if not left:
                    yield block
                elif items <= left:
                    left -= items
                else:
                    yield block.behind(skip(data, left))
                    left = 0
                numbers.passed(data)
        progress.behind += part.size


@dataclass(slots=True)
class _Progress:
    """Tells how far a worker has come in its share."""

    parts: Sequence[Range]
    tell: Callable[[int, int], None]
    total: int
    """Bytes; 0 where that is not known."""
    behind: int = 0
    """Bytes of what was read to its end."""

    @classmethod
    def of(cls, parts: Iterable[Range], context: WorkerContext) -> _Progress:
        known = list(parts)
        unknown = any(each.file.size is None or is_url(each.file.path) for each in known)
        return cls(known, context.progress, 0 if unknown else sum(each.size for each in known))

    def note(self, content: int, raw: int | None) -> None:
        """So much of the content was read, which took so much of the file itself."""
        if self.total:
            self.tell(min(self.behind + (content if raw is None else raw), self.total), self.total)


def _whole_lines(content: IO[bytes], part: Range) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, each with where it begins: those lines that begin within the range."""
    at, stop = part.start, part.stop
    is_first = part.start > 0
    if is_first:
        at -= 1
        content.seek(at)
    parts: list[bytes] = []
    # What decompresses fails at its end where that is cut off: so far as it got it has to give what it has.
    read = getattr(content, "read1", content.read)
    while stop is None or at < stop:
        data = read(BLOCK)
        if not data:
            if parts and not is_first:
                yield at, b"".join(parts)
            return
        end = data.rfind(b"\n") + 1
        if not end:
            parts.append(data)
            if len(parts) * BLOCK > LONGEST_LINE and sum(map(len, parts)) > LONGEST_LINE:
                where = f"'{input_name(part.file)}': the line that begins at byte {at:,}"
                raise HandlerError(f"{where} is longer than {format_size(LONGEST_LINE)}: is this text?")
            continue
        whole, parts = b"".join((*parts, data[:end])), [data[end:]] if end < len(data) else []
        if is_first:  # the line that began before the range is another worker's
            is_first, begin = False, whole.find(b"\n") + 1
            at, whole = at + begin, whole[begin:]
        if stop is not None and at + len(whole) >= stop > at:
            yield at, whole[: whole.find(b"\n", stop - at - 1) + 1]
            return
        if whole and (stop is None or at < stop):
            yield at, whole
        at += len(whole)


def count_lines(data: bytes) -> int:
    """Count the lines of a block; the last of a file may have no end."""
    return data.count(b"\n") + (not data.endswith(b"\n") and data != BOM_UTF8)


def skip_lines(data: bytes, lines: int) -> int:
    """Return where in a block so many lines end."""
    at = 0
    for _ in range(lines):
        at = data.find(b"\n", at) + 1
    return at
