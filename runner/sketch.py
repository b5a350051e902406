"""Short, safe words for what users hand us: items, errors and tracebacks. For events, never for data.

    any object ────► sketch ─────────► one bounded line
    an exception ──► describe_error ─► "Type: message"
                 └─► user_traceback ─► the traceback, the user's frames only

Whatever an object's own `__repr__` or `__str__` does, nothing here raises, and no text is as big as it.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import EndOfStream, Stopping

if TYPE_CHECKING:
    from traceback import TracebackException

SKETCH_WIDTH = 200
ERROR_WIDTH = 500
TRACEBACK_WIDTH = 8000

_MEMBERS = 6
_LEVELS = 3
_SHORT_INT = 32  # bits, and more than it has characters
_LONGEST_INT = 1024  # bits; past some thousand digits Python refuses to write an int at all
_CUT = "…"
_SCALARS = frozenset({bool, float, type(None)})
_BRACKETS: tuple[tuple[type[Any], str, str], ...] = (
    (list, "[", "]"),
    (tuple, "(", ")"),
    (set, "{", "}"),
    (frozenset, "{", "}"),
    (deque, "[", "]"),
)
_IMPORT_MACHINERY = ("<frozen importlib", importlib.__file__)


def sketch(item: object, width: int = SKETCH_WIDTH) -> str:
    """Return a repr of `item`: one line, at most `width` characters, the first members of a big container."""
    if type(item) is int and item.bit_length() <= _SHORT_INT <= width:
        return repr(item)
    try:
        text = repr(item) if _is_small(item, width) else _draw(item, width, _LEVELS)
    except Exception as error:  # whatever an object raises on being looked at
        text = f"<{type(item).__name__}, whose repr raised {type(error).__name__}>"
    return _shorten(_printable(text.replace("\n", " ")), width)


def describe_error(error: BaseException, width: int = ERROR_WIDTH) -> str:
    """Return "Type: message", or only the type where there is no message."""
    kind = type(error).__name__
    try:
        message = str(error)
    except Exception:  # the message is the user's code
        message = "(its message could not be made)"
    return _shorten(_printable(f"{kind}: {message}" if message else kind), width)


def name_output(error: BaseException, value: object) -> None:
    """Note in an error what it was that could not be put: the item in hand is what that was made from."""
    if not isinstance(error, EndOfStream | Stopping):
        error.add_note(f"What could not be put is an output of the handler: {sketch(value)}")


def user_traceback(error: BaseException, own: Path, width: int = TRACEBACK_WIDTH) -> str:
    """Return the traceback of `error` without the frames of the package folder `own`, its causes included."""
    from traceback import TracebackException  # slow to import, and most runs have no error to show

    try:
        told = TracebackException.from_exception(error, compact=True)
        _drop_own_frames(told, str(own))
        text = "".join(told.format())
    except Exception:  # the traceback module reads attributes that a user's exception may have made its own
        text = describe_error(error)
    return _shorten(_printable(text).rstrip("\n"), width)


def _is_small(item: Any, width: int) -> bool:
    """Say whether the plain repr is sure to be quick and short: a scalar, or a container of a few."""
    kind = type(item)
    if kind is tuple or kind is list:
        return len(item) <= _MEMBERS and all(_is_scalar(member, width) for member in item)
    if kind is dict:
        members = item.items()
        return len(members) <= _MEMBERS and all(
            _is_scalar(k, width) and _is_scalar(v, width) for k, v in members
        )
    return _is_scalar(item, width)


def _is_scalar(item: Any, width: int) -> bool:
    if type(item) is str or type(item) is bytes:
        return len(item) <= width
    if type(item) is int:
        return item.bit_length() <= _LONGEST_INT
    return type(item) in _SCALARS


def _draw(item: Any, width: int, levels: int) -> str:
    """Draw any object from a bounded number of its parts. May raise what the object raises."""
    if isinstance(item, str | bytes | bytearray):
        return repr(item[:width]) + (_CUT if len(item) > width else "")
    if isinstance(item, int) and not isinstance(item, bool):
        return repr(item) if item.bit_length() <= _LONGEST_INT else f"<int of {item.bit_length()} bits>"
    if isinstance(item, dict):
        return _enclose(item, dict, "{", "}", _pairs(item, width, levels) if levels else ())
    for kind, left, right in _BRACKETS:
        if isinstance(item, kind):
            return _enclose(item, kind, left, right, _members(item, width, levels) if levels else ())
    return _draw_object(item, width, levels)


def _members(item: Iterable[object], width: int, levels: int) -> Iterator[str]:
    return (_draw(member, width, levels - 1) for member in islice(item, _MEMBERS))


def _pairs(item: dict[object, object], width: int, levels: int) -> Iterator[str]:
    for key, value in islice(item.items(), _MEMBERS):
        yield f"{_draw(key, width, levels - 1)}: {_draw(value, width, levels - 1)}"


def _enclose(item: Any, kind: type, left: str, right: str, drawn: Iterable[str]) -> str:
    parts = list(drawn)
    if len(item) > len(parts):
        parts.append(f"{_CUT} {len(item)} in all")
    body = left + ", ".join(parts) + right
    return body if type(item) is kind else f"{type(item).__name__}({body})"


def _draw_object(item: Any, width: int, levels: int) -> str:
    name = type(item).__name__
    if isinstance(item, type):
        return repr(item)
    if isinstance(item, memoryview):
        return f"<memory of {item.nbytes} bytes>"
    if dataclasses.is_dataclass(item):
        names = [field.name for field in dataclasses.fields(item) if field.repr] if levels else []
        drawn = (f"{one}={_draw(getattr(item, one), width, levels - 1)}" for one in names[:_MEMBERS])
        return f"{name}({', '.join(drawn)}{', ' + _CUT if len(names) > _MEMBERS or not levels else ''})"
    if hasattr(item, "dtype") and hasattr(item, "shape"):
        return f"<{name} of {item.dtype}, shape {item.shape}>"
    if hasattr(item, "itemsize") and hasattr(item, "typecode"):
        return f"<{name} of {len(item)} '{item.typecode}'>"
    return repr(item)


def _drop_own_frames(told: TracebackException, own: str) -> None:
    """Keep the frames that users can act on, in the error and in all that led to it."""
    waiting: list[TracebackException | None] = [told]
    while waiting:
        one = waiting.pop()
        if one is None:
            continue
        one.stack[:] = [frame for frame in one.stack if not _is_own(frame.filename, own)]
        waiting += [one.__cause__, one.__context__, *(one.exceptions or ())]


def _is_own(file: str, own: str) -> bool:
    if file.startswith(_IMPORT_MACHINERY):
        return True
    # The examples that ship inside the package are users' code that happens to live there.
    return file.startswith(own + "/") and not file.startswith(own + "/_shipped/")


def _printable(text: str) -> str:
    """Escape half characters, which no UTF-8 stream takes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _shorten(text: str, width: int) -> str:
    """Cut out the middle: a text's end says as much as its start."""
    if len(text) <= width:
        return text
    keep = width - len(_CUT)
    tail = keep // 3
    return text[: keep - tail] + _CUT + (text[-tail:] if tail else "")
