"""What an expression makes of the path of a file: `${{ stem(item.path) }}`, `if: suffix(params.x) == '.gz'`. Pure.

| of `photos/2024/a.tar.gz` | |
|---|---|
| `basename` | `a.tar.gz`: the last name of the path |
| `dirname` | `photos/2024`: all before that; `.` where there is nothing |
| `stem` | `a.tar`: the last name without its suffix |
| `suffix` | `.gz`: the last dot of the last name and what follows; nothing where there is none |

They look at the text alone, never at a disk. An item that is a text itself has them as its parts too, by the names of
`pathlib`: `${{ item.stem }}`, `.suffix`, `.name` and `.parent`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from runner.spec.suggestions import did_you_mean


def _basename(path: str) -> str:
    return PurePosixPath(path).name


def _dirname(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix


PATH_FUNCTIONS: Mapping[str, Callable[[str], str]] = {
    "basename": _basename,
    "dirname": _dirname,
    "stem": _stem,
    "suffix": _suffix,
}


PATH_PARTS: Mapping[str, str] = {"name": "basename", "stem": "stem", "suffix": "suffix", "parent": "dirname"}
"""The parts of a text that is a path, under the names of Python's `pathlib`, with the function of each."""


def path_part(name: str, path: str) -> str:
    """Return what `${{ item.stem }}` stands for where the item is a text."""
    return PATH_FUNCTIONS[PATH_PARTS[name]](path)


def apply_functions(functions: Iterable[str], value: object) -> object:
    """
    Return what functions of the table, outermost first, make of a value: itself where there are none.

    Raises:
        TypeError: it is no path; the message says what it is.
    """
    for name in reversed(tuple(functions)):
        value = PATH_FUNCTIONS[name](_path_text(name, value))
    return value


def _path_text(function: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | os.PathLike):
        return os.fsdecode(value)
    fields = [str(key) for key in value] if isinstance(value, Mapping) else []
    hint = f"; name a field of it, such as '{'path' if 'path' in fields else fields[0]}'" if fields else ""
    raise TypeError(f"{function}() takes the path of a file, got {type(value).__name__}{hint}")


def no_function(name: str) -> str | None:
    """Return what to do about a function that is not there."""
    return did_you_mean(name, PATH_FUNCTIONS)
