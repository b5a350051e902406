"""What a program is given to read, and the items in what it prints.

item ──► text or JSON ──► stdin            stdout ──► chunks ──► lines ──► items
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from runner.errors import CommandFailed, OutputFailed
from runner.handlers.command.options import OutputForm, Stdin
from runner.handlers.command.program import display_words
from runner.handlers.command.words import argument
from runner.handlers.sinks.forms import as_json, json_bytes
from runner.text import clip, visible

_MOST_SHOWN = 200


def given_to(stdin: Stdin, *, batch: bool) -> Callable[[object], bytes] | None:
    """Return what makes the standard input of one call from an item, or from the list of a batch; None for none."""
    if stdin is Stdin.NONE:
        return None
    if batch:
        line = line_of(stdin)
        return lambda items: b"".join(line(item) for item in items)  # type: ignore[attr-defined]
    return _json_line if stdin is Stdin.JSON else stdin_bytes


def line_of(stdin: Stdin) -> Callable[[object], bytes]:
    """Return what makes one line of an item, end included; ValueError for a text of several, or what has no form."""
    return _json_line if stdin is Stdin.JSON else _text_line


def stdin_bytes(item: object) -> bytes:
    """Return an item as a program reads it; a byte of a file name that is not UTF-8 is that byte again."""
    return item if isinstance(item, bytes) else os.fsencode(argument(item))


def _text_line(item: object) -> bytes:
    text = stdin_bytes(item)
    if b"\n" in text:
        raise ValueError(
            "the item has a line end in it, and would be several lines; `stdin: json` makes one of it"
        )
    return text + b"\n"


def _json_line(item: object) -> bytes:
    return json_bytes(as_json(item)) + b"\n"


def items_of(output: OutputForm, chunks: Iterable[bytes], words: list[str]) -> Iterator[object]:
    """Yield the items in what a program of these words prints. Raises CommandFailed for JSON that is none."""
    match output:
        case OutputForm.TEXT:
            yield decode_output(b"".join(chunks))
        case OutputForm.JSON:
            for number, line in enumerate(split_lines(chunks), start=1):
                yield json_of(line, words, f"line {number:,} of its output")
        case _:
            for line in split_lines(chunks):
                yield line.decode("utf-8", "surrogateescape")


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines in what comes in pieces, without their ends."""
    begun: list[bytes] = []
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if others:
            yield b"".join(begun)
            yield from others[:-1]
            begun = others[-1:]
    if last := b"".join(begun):
        yield last


def decode_output(line: bytes) -> str:
    """Return what a program printed as text. File names may hold any bytes: as an argument they are what they were."""
    return line.decode("utf-8", "surrogateescape")


def json_of(line: bytes, words: list[str], what: str) -> object:
    """Return what a line of JSON holds. Raises CommandFailed, which shows the line; `what` says which of its it is."""
    try:
        return json.loads(line.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        why = getattr(error, "msg", None) or str(error).partition(":")[0]
        got = clip(visible(line.decode("utf-8", "backslashreplace")), _MOST_SHOWN)
        raise CommandFailed(
            f"`{display_words(words)}`: {what} is not JSON: {why}: {got or 'it is empty'}"
        ) from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


def print_in_one_piece(descriptor: int, data: bytes) -> None:
    """
    Write all of some output, with nothing of another worker's in the middle of it.

    What several processes write to is locked where it is: each opens it once more, as a lock belongs to an opening.
    Raises OutputFailed where it can't be written.
    """
    if not data:
        return
    turn = _turn_at(descriptor)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as error:
        raise OutputFailed(f"the run's output can't be written: {error.strerror}") from error
    finally:
        if turn >= 0:
            fcntl.flock(turn, fcntl.LOCK_UN)


@cache
def _opened_again(descriptor: int) -> int:
    try:
        return os.open(
            f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK
        )
    except (
        OSError
    ):  # a socket, or somebody else's terminal: then what is short arrives whole, as the system has it
        return -1


def _turn_at(descriptor: int) -> int:
    """Wait until nobody else writes there; return what to unlock, -1 where it can't be locked."""
    turn = _opened_again(descriptor)
    if turn >= 0:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
        except OSError:
            return -1
    return turn
