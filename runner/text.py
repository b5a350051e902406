"""Text for people, made safe: what users hand us in bounded words, what terminals show, how columns stay straight.

    any object ────► safe_repr ──────► one bounded line                  for events, never for data
    a YAML value ──► describe_value ─► what its writer would call it: the text 'ten', a list
    an exception ──► describe_error ─► "Type: message"
                 ├─► user_traceback ─► the traceback, the user's frames only
    a stack dump ──► own_frames ─────► the same, of what `faulthandler` says
    any text ──────► visible ────────► no escape codes, no hidden marks; `cells`, `truncate`, `clip`, `pad`, `columns`

Whatever an object's own `__repr__` or `__str__` does, nothing here raises, and no text is as big as it.

Chinese characters take two cells, combining marks none, a family of emoji two for all its members, and control
characters must not reach a terminal. Widths are those of rich, which draws the tables, so that both agree.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from runner.errors import WorkerSignal

if TYPE_CHECKING:
    from traceback import TracebackException

TAB = "    "
# Joiners hold emoji and several scripts together: invisible, but meant.
_ZERO_WIDTH_JOINER = "\u200d"
_JOINERS = "\u200c" + _ZERO_WIDTH_JOINER
_ELLIPSIS = "…"
_WIDEST_VALUE = 40
_WRITABLE_INT = 10_000
"""In bits. Python refuses to write out integers of many thousand digits."""


class _LatePattern:
    def __init__(self, text: str, flags: int) -> None:
        self._text, self._flags = text, flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(self._text, self._flags), name)
        self.__dict__[name] = found
        return found


def late_pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """
    Return a pattern that is compiled when it is first asked for a match: for what most files have no use for.

    It is not for the functions of `re`, only for its own methods.
    """
    return cast("re.Pattern[str]", _LatePattern(text, flags))


def cells(text: str) -> int:
    """Count the terminal cells that `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only those with such text wait for it

    return cell_len(text)


def clusters(text: str) -> Iterator[str]:
    """Split `text` into what a terminal shows as one: a character with the marks, selectors and joined ones behind it.

    Their cells add up to those of the text.
    """
    cluster = ""
    for char in text:
        if cluster and not cluster.endswith(_ZERO_WIDTH_JOINER) and cells(char):
            yield cluster
            cluster = ""
        cluster += char
    if cluster:
        yield cluster


def truncate(text: str, most: int) -> str:
    """Shorten `text` to `most` cells, where it is longer: an ellipsis ends it, and what is joined stays whole."""
    if cells(text) <= most:
        return text
    return "".join(_first(clusters(text), most - cells(_ELLIPSIS))) + _ELLIPSIS


def cut_middle(text: str, most: int) -> str:
    """Shorten `text` to `most` cells, at least 1, where it is longer: an ellipsis stands for what was in its middle."""
    if cells(text) <= most:
        return text
    parts, room = list(clusters(text)), most - cells(_ELLIPSIS)
    head, tail = _first(parts, room - room // 2), _first(reversed(parts), room // 2)
    return "".join([*head, _ELLIPSIS, *reversed(tail)])


def _first(parts: Iterable[str], most: int) -> list[str]:
    """As many of the first parts as have room in `most` cells."""
    taken = 0
    kept = []
    for part in parts:
        taken += cells(part)
        if taken > most:
            break
        kept.append(part)
    return kept


def clip(text: str, most: int) -> str:
    """Shorten `text` to `most` characters, where it is longer: for names and messages, which line up with nothing."""
    return text if len(text) <= most else text[: most - 1] + _ELLIPSIS


def printable(text: str, most: int) -> str:
    """Shorten `text` to `most` characters, on one line; what can't be printed shows as a question mark in a diamond."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: most + 1])
    return clip(shown, most)


def visible(text: str) -> str:
    """
    Spell out what a terminal would obey or hide: escape codes, text-direction marks, odd spaces.

    A tab becomes four spaces, so that what is printed below can line up with it.
    """
    if text.isprintable():
        return text
    return "".join(_visible_char(char) for char in text)


def colour_allowed(stream: TextIO) -> bool:
    """Say whether colour may be used on `stream`: a terminal, and nobody asked for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def pad(text: str, width: int) -> str:
    """Fill `text` with spaces on the right until it takes `width` cells."""
    return text + " " * (width - cells(text))


def columns(rows: Sequence[Sequence[str]], *, gap: str = "  ", indent: str = "") -> list[str]:
    """Lay out `rows` of equal length as lines with straight columns; the first row may be a heading."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(*shown, strict=True)]
    return [
        (indent + gap.join(pad(cell, width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in shown
    ]


def summarize(names: Sequence[str], most: int) -> str:
    """Join names for a sentence, the first `most` of them: `a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return f"{shown} {and_more(len(names) - most)}" if len(names) > most else shown


def and_more(left_out: int) -> str:
    """Say behind a list how many it leaves out, `and 3 more`; nothing where that is none."""
    return f"and {left_out} more" if left_out > 0 else ""


def _visible_char(char: str) -> str:
    if char == "\t":
        return TAB
    if char.isprintable() or char in _JOINERS:
        return char
    return char.encode("unicode_escape").decode("ascii")


REPR_WIDTH = 200
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


def safe_repr(item: object, width: int = REPR_WIDTH) -> str:
    """Return a repr of `item`: one line, at most `width` characters, the first members of a big container."""
    if type(item) is int and item.bit_length() <= _SHORT_INT <= width:
        return repr(item)
    is_text = type(item) is str or type(item) is bytes
    try:
        if is_text or _is_small(item, width):  # then it is one line, and encodable, whatever is in it
            return _shorten(_draw_text(item, width) if is_text else repr(item), width)
        text = _draw(item, width, _LEVELS)
    except (WorkerSignal, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever an object raises on being looked at
        text = f"<{type(item).__name__}, whose repr raised {type(error).__name__}>"
    return _shorten(_encodable(text.replace("\n", " ")), width)


def describe_value(value: object) -> str:
    """Say what a value of a file is, with the value itself where it is short: `the text 'ten'`, `a list`."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() >= _WRITABLE_INT:
            return "a huge number"
        case int() | float():
            return f"the number {printable(str(value), _WIDEST_VALUE)}"
        case str():
            return f"the text '{printable(value, _WIDEST_VALUE)}'" if value else "an empty text"
        case Mapping():
            return "a mapping" if value else "an empty mapping"
        case Sequence():
            return "a list" if value else "an empty list"
    return f"a {type(value).__name__}"


def describe_error(error: BaseException, width: int = ERROR_WIDTH) -> str:
    """Return "Type: message", or only the type where there is no message."""
    kind = type(error).__name__
    try:
        message = str(error)
    except (WorkerSignal, KeyboardInterrupt):
        raise
    except BaseException:  # the message is the user's code
        message = "(its message could not be made)"
    return _shorten(_encodable(f"{kind}: {message}" if message else kind), width)


def note_output(error: BaseException, value: object) -> None:
    """Note in an error what it was that could not be put: the item in hand is what that was made from."""
    error.add_note(f"What could not be put is an output of the handler: {safe_repr(value)}")


def user_traceback(error: BaseException, own: Path, width: int = TRACEBACK_WIDTH) -> str:
    """Return the traceback of `error` without the frames of the package folder `own`, its causes included."""
    from traceback import TracebackException  # slow to import, and most runs have no error to show

    try:
        shown = TracebackException.from_exception(error, compact=True)
        _drop_own_frames(shown, str(own))
        text = "".join(shown.format())
    except (WorkerSignal, KeyboardInterrupt):
        raise
    except BaseException:
        # The traceback module reads attributes that a user's exception may have made its own.
        text = describe_error(error)
    return _shorten(_encodable(text).rstrip("\n"), width)


def _is_small(item: Any, width: int) -> bool:
    """Say whether the plain repr is sure to be quick and short: a scalar, or a container of a few."""
    kind = type(item)
    if kind is tuple or kind is list:
        return len(item) <= _MEMBERS and _are_scalars(item, width)
    if kind is dict:
        return (
            len(item) <= _MEMBERS and _are_scalars(item.keys(), width) and _are_scalars(item.values(), width)
        )
    return _are_scalars((item,), width)


def _are_scalars(members: Iterable[Any], width: int) -> bool:
    """A loop, as every item passes here under some transports."""
    for member in members:
        kind = type(member)
        if kind is str or kind is bytes:
            if len(member) > width:
                return False
        elif kind is int:
            if member.bit_length() > _LONGEST_INT:
                return False
        elif kind not in _SCALARS:
            return False
    return True


def _draw(item: Any, width: int, levels: int) -> str:
    """Draw any object from a bounded number of its parts. May raise what the object raises."""
    if type(item) in _SCALARS:
        return repr(item)
    if isinstance(item, (str, bytes, bytearray)):  # of a union it takes twice as long
        return _draw_text(item, width)
    if isinstance(item, int) and not isinstance(item, bool):
        return repr(item) if item.bit_length() <= _LONGEST_INT else f"<int of {item.bit_length()} bits>"
    if isinstance(item, dict):
        return _enclose(item, dict, "{", "}", _pairs(item, width, levels) if levels else ())
    for kind, left, right in _BRACKETS:
        if isinstance(item, kind):
            return _enclose(item, kind, left, right, _members(item, width, levels) if levels else ())
    return _draw_object(item, width, levels)


def _draw_text(item: Any, width: int) -> str:
    return repr(item) if len(item) <= width else repr(item[:width]) + _CUT


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
    if dataclasses.is_dataclass(item) and not _has_own_repr(item):
        names = [field.name for field in dataclasses.fields(item) if field.repr] if levels else []
        drawn = (f"{one}={_draw(getattr(item, one), width, levels - 1)}" for one in names[:_MEMBERS])
        return f"{name}({', '.join(drawn)}{', ' + _CUT if len(names) > _MEMBERS or not levels else ''})"
    if hasattr(item, "dtype") and hasattr(item, "shape"):
        return f"<{name} of {item.dtype}, shape {item.shape}>"
    if hasattr(item, "itemsize") and hasattr(item, "typecode"):
        return f"<{name} of {len(item)} '{item.typecode}'>"
    return repr(item)


def _has_own_repr(item: Any) -> bool:
    """Say whether a dataclass says itself how it is shown, and so bounds that itself."""
    kind: Any = type(item)
    return not kind.__dataclass_params__.repr and kind.__repr__ is not object.__repr__


def _drop_own_frames(error: TracebackException, own: str) -> None:
    """Keep the frames that users can act on, in the error and in all that led to it."""
    waiting: list[TracebackException | None] = [error]
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


def _encodable(text: str) -> str:
    """Escape half characters, which no UTF-8 stream takes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _shorten(text: str, width: int) -> str:
    """Cut out the middle: a text's end says as much as its start."""
    if len(text) <= width:
        return text
    keep = width - len(_CUT)
    tail = keep // 3
    return text[: keep - tail] + _CUT + (text[-tail:] if tail else "")


_WORKER = re.escape(str(Path(__file__).with_name("transports") / "worker.py"))
_ROOT = re.compile(rf'^  File "{_WORKER}", line \d+ in \w+$')


def own_frames(dump: str) -> str:
    """Drop from each stack what lies below the worker's own frames; a stack without them is left whole.

    handler ◄── loops of the transport ◄── worker ◄── multiprocessing ◄── supervisor        innermost frame first
    └────────── kept ────────────────┘      └── the same in every worker: left out ──┘
    """
    kept = []
    below = False
    for line in dump.splitlines():
        if not line.startswith("  "):
            below = False  # the head of another thread's stack
        below = below or _ROOT.match(line) is not None
        if not below:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def write_atomically(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file whole or not at all: whoever reads it finds the old one or the new one.

    Raises OSError, and then leaves nothing behind.
    """
    # A name of its own: two processes may do this at once.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
            out.write(data)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def write_document(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; what is no plain file, such as /dev/stdout, as it is: nothing takes its place.

    Raises OSError.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
    else:
        write_atomically(path, data)
