"""Text files, line by line: the kind `lines`.

access.log ──► blocks of bytes ──► decoded and split in bulk ──► "GET /", "GET /buns"
                                        └── a line that is not so encoded ──► Malformed
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import SMALL, Handler, HandlerKind, ItemBlock, Malformed, Source, WorkerContext
from runner.handlers.sources.inputs import (
    OF_STDIN,
    PATH_OPTION,
    Range,
    can_resume,
    inputs_of,
    known_inputs,
    ranges,
    whole_files,
)
from runner.handlers.sources.reading import (
    BLOCK,
    COMPRESSION_OPTION,
    Block,
    can_be_cut,
    compression_in,
    count_lines,
    input_name,
    open_file,
    read_blocks,
    skip_lines,
    why_whole,
)
from runner.spec.model import Role
from runner.spec.plan import InputFile

ENCODING_OPTION: dict[str, Any] = {
    "type": "string",
    "default": "utf-8",
    "description": "How the text is encoded. A line that is not so is an item that fails, and `on_error` says how.",
}
NUL = "nul"
_BOM = codecs.BOM_UTF8
_WINDOW = SMALL // 4


def cuts_lines(encoding: str) -> bool:
    """Whether a line of text in this encoding ends where its bytes have a newline. Raises LookupError."""
    return "\n".encode(encoding) == b"\n"


def decode(
    block: Block, encoding: str, *, whole: bool = False
) -> Iterator[tuple[list[str], int] | Malformed]:
    """
    Yield the lines of a block, as many at once as there are, with the index of the first; and what is no text.

    `whole`: a line ends where its newline is, and a carriage return before that belongs to it.
    """
    data = block.data
    if block.is_first and data.startswith(_BOM) and codecs.lookup(encoding).name == "utf-8":
        data = data[
            len(_BOM) :
        ]  # a mark of the byte order, as some editors write, is no part of the first line
    try:
        yield _split(data.decode(encoding), whole), 0
    except UnicodeDecodeError:
        yield from _one_by_one(block, data, encoding, "" if whole else "\r")


def _split(text: str, whole: bool) -> list[str]:
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]
    return [line.removesuffix("\r") for line in lines] if not whole and "\r" in text else lines


def _one_by_one(
    block: Block, data: bytes, encoding: str, end: str
) -> Iterator[tuple[list[str], int] | Malformed]:
    lines = data.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    good: list[str] = []
    for index, line in enumerate(lines):
        try:
            good.append(line.decode(encoding).removesuffix(end))
        except UnicodeDecodeError as error:
            if good:
                yield good, index - len(good)
            good = []
            yield _not_text(block, index, line, encoding, error)
    if good:
        yield good, len(lines) - len(good)


def _not_text(block: Block, index: int, line: bytes, encoding: str, error: UnicodeDecodeError) -> Malformed:
    position = block.position(index)
    packed = compression_in(line) if block.is_first and index == 0 else None
    byte = f"byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line"
    hint = "`encoding` may say another"
    if packed is not None:
        hint = f"this is a {packed} file: say `compression: {packed}`"
    return Malformed(
        line, ValueError(f"{position}: not {encoding}: {byte}: {error.reason}; {hint}"), position
    )


def text_blocks(
    parts: Iterable[Range],
    options: Mapping[str, Any],
    context: WorkerContext,
    count: Callable[[bytes], int] = count_lines,
    skip: Callable[[bytes, int], int] = skip_lines,
) -> Iterator[tuple[Block, list[str], int] | Malformed]:
    """
    Yield the lines of files, as many at once as there are: their block, they, and the index of the first in it.

    `count` and `skip` say how many items are in a block: see `read_blocks`.
    """
    encoding, compression = options.get("encoding", "utf-8"), options.get("compression", "auto")
    for block in read_blocks(parts, context, compression, count, skip):
        for each in decode(block, encoding):
            yield each if isinstance(each, Malformed) else (block, *each)


def parts_of(options: Mapping[str, Any], context: WorkerContext) -> list[Range]:
    """Return a worker's share of files that can be cut at the ends of lines."""
    can_be = can_be_cut(options.get("compression", "auto"))
    return ranges(known_inputs(options, context), context.share, can_be)


def in_blocks(lines: list[str], data: bytes) -> Iterator[object]:
    """Yield the lines in some data as a block; alone, where any of them is long."""
    # A look at each would cost as much as to decode them all. No line is longer than two windows that have an end.
    windows = range(0, len(data) - _WINDOW, _WINDOW)
    if all(data.find(b"\n", at, at + _WINDOW) >= 0 for at in windows) or max(map(len, lines)) < SMALL:
        yield ItemBlock(lines)
    else:
        yield from lines


def _lines(options: Mapping[str, Any], context: WorkerContext) -> Iterator[object]:
    if options.get("end") == NUL:
        yield from _nul_lines(options, context)
        return
    if not cuts_lines(options.get("encoding", "utf-8")):
        yield from _wide_lines(options, context)
        return
    for each in text_blocks(parts_of(options, context), options, context):
        if isinstance(each, Malformed):
            yield each
        else:
            yield from in_blocks(each[1], each[0].data)


def _nul_lines(options: Mapping[str, Any], context: WorkerContext) -> Iterator[object]:
    """Texts that end with a NUL byte, as `find -print0` writes them; a newline is part of them."""
    files = whole_files(known_inputs(options, context), context.share)
    texts = (text for file in files for text in _nul_lines_of(file, options))
    yield from islice(texts, context.offset, None)


def _nul_lines_of(file: InputFile, options: Mapping[str, Any]) -> Iterator[object]:
    encoding, rest, number = options.get("encoding", "utf-8"), b"", 0
    with open_file(file, options.get("compression", "auto")) as opened:
        while data := opened.content.read(BLOCK):
            *texts, rest = (rest + data).split(b"\0")
            for text in texts:
                number += 1
                yield _decoded(text, encoding, file, number)
    if rest:
        yield _decoded(rest, encoding, file, number + 1)


def _decoded(text: bytes, encoding: str, file: InputFile, number: int) -> str | Malformed:
    try:
        return text.decode(encoding)
    except UnicodeDecodeError as error:
        position = f"{input_name(file)}:{number}"
        return Malformed(text, ValueError(f"{position}: not {encoding}: {error.reason}"), position)


def _wide_lines(options: Mapping[str, Any], context: WorkerContext) -> Iterator[str]:
    """Lines in an encoding such as UTF-16, whose bytes can't be cut: decoded from the beginning of each file."""
    files = whole_files(known_inputs(options, context), context.share)
    lines = (line for file in files for line in _wide_lines_of(file, options))
    yield from islice(lines, context.offset, None)


def _wide_lines_of(file: InputFile, options: Mapping[str, Any]) -> Iterator[str]:
    encoding, number, rest = options["encoding"], 1, ""
    decoder = codecs.getincrementaldecoder(encoding)()
    with open_file(file, options.get("compression", "auto")) as opened:
        while True:
            data = opened.content.read(BLOCK)
            try:
                *lines, rest = (rest + decoder.decode(data, final=not data)).split("\n")
            except UnicodeError as error:
                raise HandlerError(
                    f"{input_name(file)}: not {encoding} behind line {number:,}: {error}"
                ) from None
            number += len(lines)
            yield from (line.removesuffix("\r") for line in lines)
            if not data:
                break
    if rest:
        yield rest


def check_encoding(name: str) -> None:
    """Raise `HandlerError` where there is no such encoding."""
    try:
        codecs.lookup(name)
    except LookupError:
        raise HandlerError(f"there is no encoding '{name}'; `utf-8` and `latin-1` are some") from None


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    check_encoding(options.get("encoding", "utf-8"))
    return Source(lambda: _lines(options, context))


def line_text(options: Mapping[str, Any], raw: object, position: str) -> str | Malformed:
    """Return what was kept of a line as text: the bytes of one that was none are decoded anew."""
    encoding = options.get("encoding", "utf-8")
    try:
        return raw.decode(encoding).removesuffix("\r") if isinstance(raw, bytes) else str(raw)
    except UnicodeDecodeError as error:
        return Malformed(raw, ValueError(f"{position}: not {encoding}: {error.reason}"), position)


LINES = HandlerKind(
    name="lines",
    summary=(
        "Make an item of each line of text files. Several workers share them: parts of a file, or whole ones where "
        "they are compressed. A killed worker's successor goes on where it was."
    ),
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "path": PATH_OPTION,
            "encoding": ENCODING_OPTION,
            "compression": COMPRESSION_OPTION,
            "end": {
                "enum": ["newline", NUL],
                "default": "newline",
                "description": "What ends a line: `nul` is a NUL byte, as `find -print0` writes it.",
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  reader:
    run: {lines: {path: access.log}}
    to: requests
""",
    build=_build,
    unshared=why_whole,
    inputs=inputs_of,
    rereads=True,
    resumes=can_resume,
    otherwise=OF_STDIN,
    rejects=True,
    remake=line_text,
)
