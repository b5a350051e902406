"""What there is to read for a producer: its files, listed once for all of its workers, and what of them is whose.

    path: ["logs/*.gz", "-"] ──► list_inputs ──► InputFile(…), …      in the supervisor, when the stage begins
    InputFiles, share ──► ranges ──► Range(file, start, stop), …      in a worker: nothing is in two of them

A share is a range of bytes where a file can be cut, or whole files: big ones first, each to whoever has the least.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.errors import HandlerError
from runner.facts import dataclass
from runner.handlers.kinds import WorkerContext
from runner.spec.plan import InputFile, InputShare
from runner.spec.suggestions import did_you_mean

STDIN = "/dev/stdin"
"""What `-` stands for, as it does for programs."""

PATH_OPTION: dict[str, Any] = {
    "type": ["string", "array"],
    "minLength": 1,
    "minItems": 1,
    "items": {"type": "string", "minLength": 1},
    "description": (
        "A file, a pattern such as `logs/**/*.gz`, `-` for what mprun itself is given on its standard input, a URL of "
        "one file that `fsspec` understands, such as `s3://bucket/key` (`pip install 'mprun[fsspec]'`), or a list of "
        "these. What a pattern matches is read in order of the names. A relative path starts from the stage's working "
        "directory. What there is to read is settled when the stage begins."
    ),
}


def is_url(path: str) -> bool:
    """Say whether a path is for fsspec to open: `s3://…`, `https://…`, `memory://…`."""
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme.replace("+", "").replace("-", "").isalnum()


def paths_of(option: str | Sequence[str]) -> list[str]:
    """Return what the option `path` has, as a list."""
    return [option] if isinstance(option, str) else list(option)


def why_unshared(options: Mapping[str, Any]) -> str | None:
    """Say why several workers can't share what `path` names: it is a stream. For `HandlerKind.unshared`."""
    return "`-` is one stream, which one worker reads" if "-" in paths_of(options.get("path", ())) else None


def can_resume(options: Mapping[str, Any]) -> bool:
    """Say whether a worker can go on where another was: what was read of a stream is gone. For `resumes`."""
    return "-" not in paths_of(options.get("path", ()))


OF_STDIN = (('with `path: "-"`', {"path": "-"}),)
"""For `HandlerKind.otherwise`."""


def list_inputs(option: str | Sequence[str], folder: Path) -> list[InputFile]:
    """
    List the files that the option `path` means, each once, in order.

    Raises:
        HandlerError: one is not there or no file, or a pattern matches none.
    """
    found = (each for path in paths_of(option) for each in _matching(path, folder))
    return list({each.path: each for each in found}.values())


def inputs_of(options: Mapping[str, Any], folder: Path) -> list[InputFile]:
    """List the inputs of a kind with an option `path`: for `HandlerKind.inputs`."""
    return list_inputs(options["path"], folder)


def known_inputs(options: Mapping[str, Any], context: WorkerContext) -> Sequence[InputFile]:
    """Return the inputs that were listed for a worker; where nobody did, as in a test by hand, list them."""
    return inputs_of(options, Path()) if context.inputs is None else context.inputs


def _matching(path: str, folder: Path) -> Iterator[InputFile]:
    if path == "-":
        yield InputFile(STDIN, None)
    elif is_url(path):
        if "*" in path:
            raise HandlerError(f"'{path}': a URL names one file, and no pattern: list each")
        yield InputFile(path, 0)
    elif not glob.has_magic(path) or (folder / path).exists():
        yield _look_at(path, folder, str(Path(path).parent))
    else:
        yield from _matching_pattern(path, folder)


def _matching_pattern(pattern: str, folder: Path) -> Iterator[InputFile]:
    names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 - names as they are written
    files = [name for name in names if not (folder / name).is_dir()]
    if not files:
        raise HandlerError(f"no file matches '{pattern}'")
    root = fixed_part(pattern)
    for name in files:
        yield _look_at(name, folder, root)


def fixed_part(pattern: str) -> str:
    """Return the folder that all matches of a pattern are below: `data` of `data/**/*.csv`."""
    parts = Path(pattern).parts
    fixed = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(Path(*parts[:fixed]))


def _look_at(path: str, folder: Path, root: str) -> InputFile:
    place = folder / path
    try:
        found = place.stat()
    except FileNotFoundError:
        raise HandlerError(f"there is no file '{path}'{_nearest(place)}") from None
    except OSError as error:
        raise HandlerError(f"'{path}': {error.strerror}") from None
    if stat.S_ISDIR(found.st_mode):
        raise HandlerError(f"'{path}' is a folder; `{path.rstrip('/')}/*` is all that is in it")
    size = found.st_size if stat.S_ISREG(found.st_mode) else None
    return InputFile(path, size, found.st_mtime, root)


def _nearest(place: Path) -> str:
    try:
        there = [each.name for each in os.scandir(place.parent)]
    except OSError:
        return f": there is no folder '{place.parent}'"
    hint = did_you_mean(place.name, there) if there else None
    return f"; {hint}" if hint and hint.startswith("did you mean") else ""


# Shares.


@dataclass(frozen=True, slots=True)
class Range:
    """What of a file is one worker's: what begins at `start` or behind it, and before `stop`; None is all the rest."""

    file: InputFile
    start: int = 0
    stop: int | None = None

    @property
    def size(self) -> int:
        """Bytes, where they are known."""
        stop = self.file.size if self.stop is None else self.stop
        return max(0, (stop or 0) - self.start)


def ranges(
    files: Iterable[InputFile], share: InputShare, can_be_cut: Callable[[InputFile], bool]
) -> list[Range]:
    """Return what of `files` is one worker's. Those of all workers together are all there is, each byte once."""
    known = list(files)
    if share.of == 1:
        return [Range(each) for each in known]
    cut = [each for each in known if can_be_cut(each)]
    mine = {each.file.path: each for each in (*_cut(cut, share), *_dealt(known, cut, share))}
    return [mine[each.path] for each in known if each.path in mine]


def whole_files(files: Iterable[InputFile], share: InputShare) -> list[InputFile]:
    """Return those files that are one worker's, where none can be cut."""
    return [each.file for each in ranges(files, share, lambda _: False)]


def _cut(files: Sequence[InputFile], share: InputShare) -> Iterator[Range]:
    """Take the worker's stretch of all bytes, as if the files were one behind the other."""
    total = sum(each.size or 0 for each in files)
    first, behind = total * share.index // share.of, total * (share.index + 1) // share.of
    at = 0
    for each in files:
        size = each.size or 0
        start, stop = max(first - at, 0), min(behind - at, size)
        if start < stop:
            yield Range(each, start, stop)
        at += size


def _dealt(files: Sequence[InputFile], cut: Sequence[InputFile], share: InputShare) -> Iterator[Range]:
    """Deal the others out, the biggest first, each to whoever has the least so far."""
    loads = [0] * share.of
    for each in sorted((f for f in files if f not in cut), key=lambda f: (-(f.size or 0), f.path)):
        owner = loads.index(min(loads))
        loads[owner] += (each.size or 0) + 1
        if owner == share.index:
            yield Range(each)
