"""What a job's steps leave for the jobs that need it: the file named by MPRUN_OUTPUT, read. Pure but for `read`.

    version=1.4                    a line `name=value`; the value may have more `=` in it
    notes<<END                     or as many lines as you like, up to one that is the word after `<<`
    first
    second
    END

This is the format of GITHUB_OUTPUT, and that variable names the same file. The later of two values counts.
What breaks the format fails the step that wrote it, with the line: an output must not get lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

VARIABLES = ("MPRUN_OUTPUT", "GITHUB_OUTPUT")
"""The environment variables that name the file."""
MOST_BYTES = 1 << 20
"""Of one job's outputs, as on GitHub. They are for facts; files are for data."""

_NAME = re.compile(r"[^\W\d][\w-]*")
_LINE_BREAK = re.compile("\r\n|\n")


@dataclass(frozen=True, slots=True)
class OutputMistake:
    """What is wrong with one line, which counts from 1."""

    line: int
    message: str
    help: str | None = None

    def __str__(self) -> str:
        return f"line {self.line} of the output file: {self.message}" + (
            f"; {self.help}" if self.help else ""
        )


@dataclass(frozen=True, slots=True)
class Outputs:
    """The values by name, and every mistake. Where there are mistakes, the rest was read all the same."""

    values: Mapping[str, str] = field(default_factory=dict)
    mistakes: tuple[OutputMistake, ...] = ()


def read_outputs(path: Path) -> Outputs:
    """Read the file that a job's steps wrote; one that is not there has nothing to say. Raises other OSErrors."""
    try:
        with path.open("rb") as stream:
            return parse_outputs(stream.read(MOST_BYTES + 1))
    except FileNotFoundError:
        return Outputs()


def parse_outputs(content: bytes) -> Outputs:
    """Return the outputs written in `content`, and what is wrong with it. Never raises."""
    if len(content) > MOST_BYTES:
        message = f"the outputs are larger than {MOST_BYTES >> 20} MiB"
        return Outputs(mistakes=(OutputMistake(1, message, "write a file, and its path as the output"),))
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Outputs(mistakes=(OutputMistake(line, f"byte 0x{content[error.start]:02x} is not UTF-8"),))
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        return Outputs(mistakes=(OutputMistake(line, "a NUL can't be in an output"),))
    values: dict[str, str] = {}
    mistakes: list[OutputMistake] = []
    for found in _entries(_LINE_BREAK.split(text)):
        if isinstance(found, OutputMistake):
            mistakes.append(found)
        else:
            values[found[0]] = found[1]
    return Outputs(values, tuple(mistakes))


def gather(legs: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """
    Return the outputs of a job with a matrix: by name, a map from leg label to value.

    GitHub keeps the value of whichever leg ended last; here none is lost, and the order is that of the legs.
    """
    gathered: dict[str, dict[str, str]] = {}
    for label, outputs in legs.items():
        for name, value in outputs.items():
            gathered.setdefault(name, {})[label] = value
    return gathered


def _entries(lines: Sequence[str]) -> Iterator[tuple[str, str] | OutputMistake]:
    """Yield each name with its value, or what is wrong there."""
    at = 0
    while at < len(lines):
        line, number = lines[at], at + 1
        at += 1
        if not line.strip():
            continue
        name, sign, rest = _parted(line)
        if not _NAME.fullmatch(name):
            yield _not_an_output(number, line, name if sign else None)
        elif sign == "=":
            yield name, rest
        if sign == "<<":
            end = _end_of(lines, at, rest)
            if end is None or not rest:
                yield _never_closed(number, name, rest)
                return
            if _NAME.fullmatch(name):
                yield name, "\n".join(lines[at:end])
            at = end + 1


def _parted(line: str) -> tuple[str, str, str]:
    """Cut a line at `=` or `<<`, whichever comes first: a value may hold the other. No sign, no name."""
    found = re.search(r"=|<<", line)
    return line.partition(found[0]) if found else ("", "", line)


def _end_of(lines: Sequence[str], start: int, word: str) -> int | None:
    return next((at for at in range(start, len(lines)) if lines[at] == word), None)


def _not_an_output(number: int, line: str, name: str | None) -> OutputMistake:
    if name is None:
        return OutputMistake(number, f"expected name=value or name<<WORD, got '{line[:40]}'")
    help_ = "a name begins with a letter or _ and has letters, digits, _ and -"
    if name != name.strip() and _NAME.fullmatch(name.strip()):
        help_ = f"write '{name.strip()}' without spaces round it"
    return OutputMistake(number, f"'{name[:40]}' is no name", help_)


def _never_closed(number: int, name: str, word: str) -> OutputMistake:
    if not word:
        return OutputMistake(
            number, f"no word comes after '{name}<<'", "write the word that will end the value"
        )
    message = f"no line is '{word[:40]}', which would end the value of '{name}'"
    return OutputMistake(number, message, "it has to stand alone on its line")
