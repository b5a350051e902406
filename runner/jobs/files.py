r"""Files of `name=value` that a job reads and writes: variables before it runs, outputs after. Pure but for `read_…`.

Both kinds of file hold names and texts and nothing to run; a line that can't be read is a mistake with its place.

`.env` files are read strictly. Readers of such files disagree on `$NAME` and on what they can't read: most leave out a
broken line and go on. Here `$` is an ordinary character, since passwords have some.

    # a comment                        NAME=value       spaces at both ends go; ` #` begins a comment
    export PORT=8080                   NAME='as it is'  nothing is changed inside, lines may follow
    GREETING="two\nlines"              NAME="a\tb"      \n \r \t \\ \" \$ are escapes, lines may follow

The file named by MPRUN_OUTPUT is what steps leave for the jobs that need theirs. This is the format of GITHUB_OUTPUT,
and that variable names the same file. The later of two values counts. What breaks the format fails the step that wrote
it, with the line: an output must not get lost.

    version=1.4                    a line `name=value`; the value may have more `=` in it
    notes<<END                     or as many lines as you like, up to one that is the word after `<<`
    first
    END
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from runner.facts import dataclass
from runner.spec.diagnostics import LocatedDiagnostic, in_file_order
from runner.spec.source.positions import Text
from runner.text import clip

CODE = "dotenv-syntax"
MOST_BYTES = 1 << 20
"""Of either file, as on GitHub. They are for facts; files are for data."""

_NAME = re.compile(r"[^\W\d]\w*", re.ASCII)
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_START = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=#'\"]*)[ \t]*(=?)[ \t]*")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_LONGEST_NAME = 40
_MOST_SHOWN = 40
"""Characters of what is no output. A cut shows, so that what it leaves of a secret can be masked."""
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "\n": ""}


@dataclass(frozen=True, slots=True)
class Dotenv:
    """The variables of one file, in its order, and what is wrong with it."""

    values: Mapping[str, str] = field(default_factory=dict)
    diagnostics: tuple[LocatedDiagnostic, ...] = ()


def read_dotenv(path: Path, shown: str) -> Dotenv:
    """Read a file; problems call it `shown`, and show none of its lines, which may be secrets: any file may be named.

    Raises OSError: the place of that is where the file is named.
    """
    read = _read(path, shown)
    return replace(read, diagnostics=tuple(replace(each, snippet="") for each in read.diagnostics))


def _read(path: Path, shown: str) -> Dotenv:
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        at = Text(shown, "").location(0, 1)
        return Dotenv(diagnostics=(at.diagnostic(CODE, f"the file is larger than {MOST_BYTES >> 20} MiB"),))
    try:
        return parse_dotenv(content.decode("utf-8-sig"), shown)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode() + "\ufffd"
        at = Text(shown, before).location(len(before) - 1, len(before))
        message = f"a file of variables is UTF-8 text; byte 0x{content[error.start]:02x} is not"
        return Dotenv(diagnostics=(at.diagnostic(CODE, message, help="save the file as UTF-8"),))


def parse_dotenv(text: str, shown: str) -> Dotenv:
    """Return the variables written in `text`, and a problem for each line that is wrong. Never raises."""
    reading = _Reading(Text(shown, text.replace("\r\n", "\n")))
    if (nul := text.find("\0")) >= 0:
        at = reading.source.location(nul, nul + 1)
        return Dotenv(diagnostics=(at.diagnostic(CODE, "a NUL can't be in a variable", help="take it out"),))
    while reading.at < len(reading.source.text):
        reading.read_line()
    return Dotenv(reading.values, tuple(in_file_order(reading.diagnostics)))


def _shown(name: str) -> str:
    """Quote what may be a name; what is longer may be a secret that is broken into lines."""
    return f"'{name}'" if len(name) <= _LONGEST_NAME else "what is left of the ="


@dataclass(slots=True)
class _Reading:
    """One walk over a file. `at` only grows: each line is read once."""

    source: Text
    at: int = 0
    values: dict[str, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    diagnostics: list[LocatedDiagnostic] = field(default_factory=list)

    def read_line(self) -> None:
        """Read one entry, of one line or more, or a line without any."""
        text = self.source.text
        if blank := _BLANK.match(text, self.at):
            self.at = blank.end()
            return
        start = _START.match(text, self.at)
        if start is None or not start[2]:
            self._skip_line(self.at, self._line_end(), "expected NAME=value", "a comment begins with '#'")
        elif not _NAME.fullmatch(start[1]):
            help_ = "a name has the letters A to z, digits and _, and begins with no digit"
            self._skip_line(
                start.start(1), start.end(1), f"{_shown(start[1])} is no name of a variable", help_
            )
        else:
            self.at = start.end()
            self._read_variable(start[1], start.start(1))

    def _read_variable(self, name: str, place: int) -> None:
        value = self._value()
        if value is None:
            return
        if name in self.values:
            first = self.source.line_of(self.places[name])
            message = f"'{name}' is set twice; first on line {first}"
            self._report(place, place + len(name), message, "take one of them out")
        self.values[name] = value
        self.places[name] = place

    def _value(self) -> str | None:
        """Read a value and what is left of its line; None if it is wrong."""
        text, start = self.source.text, self.at
        quote = text[start : start + 1]
        if quote not in ("'", '"'):
            self.at = self._line_end() + 1
            return _COMMENT.sub("", text[start : self.at - 1]).strip()
        quoted = (_SINGLE if quote == "'" else _DOUBLE).match(text, start)
        if quoted is None:
            help_ = f"add a {quote} at the end of the value"
            self._skip_line(start, self._line_end(), f"this {quote} is not closed", help_)
            return None
        self.at = quoted.end()
        rest = _BLANK.match(text, self.at)
        if rest is None:
            message = "something follows the closed quotes"
            self._skip_line(self.at, self._line_end(), message, "put all of the value inside them")
            return None
        self.at = rest.end()
        return quoted[1] if quote == "'" else self._unescape(quoted)

    def _unescape(self, quoted: re.Match[str]) -> str:
        for escape in _ESCAPE.finditer(self.source.text, quoted.start(1), quoted.end(1)):
            if escape[1] not in _ESCAPES:
                help_ = r"write \\ for a backslash, or put the value in single quotes"
                self._report(escape.start(), escape.end(), f"'{escape[0]}' is no escape", help_)
        return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[0]), quoted[1])

    def _line_end(self) -> int:
        end = self.source.text.find("\n", self.at)
        return len(self.source.text) if end < 0 else end

    def _skip_line(self, start: int, end: int, message: str, help_: str) -> None:
        """Complain, and go on with the next line."""
        self._report(start, end, message, help_)
        self.at = self._line_end() + 1

    def _report(self, start: int, end: int, message: str, help_: str) -> None:
        self.diagnostics.append(self.source.location(start, end).diagnostic(CODE, message, help=help_))


VARIABLES = ("MPRUN_OUTPUT", "GITHUB_OUTPUT")
"""The environment variables that name the file of outputs."""

_OUTPUTS_NAME = re.compile(r"[^\W\d][\w-]*")
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


def outputs_by_leg(legs: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
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
        name, sign, rest = _split_line(line)
        if not _OUTPUTS_NAME.fullmatch(name):
            yield _not_an_output(number, line, name if sign else None)
        elif sign == "=":
            yield name, rest
        if sign == "<<":
            end = _end_of(lines, at, rest)
            if end is None or not rest:
                yield _never_closed(number, name, rest)
                return
            if _OUTPUTS_NAME.fullmatch(name):
                yield name, "\n".join(lines[at:end])
            at = end + 1


def _split_line(line: str) -> tuple[str, str, str]:
    """Cut a line at `=` or `<<`, whichever comes first: a value may hold the other. No sign, no name."""
    found = re.search(r"=|<<", line)
    return line.partition(found[0]) if found else ("", "", line)


def _end_of(lines: Sequence[str], start: int, word: str) -> int | None:
    return next((at for at in range(start, len(lines)) if lines[at] == word), None)


def _not_an_output(number: int, line: str, name: str | None) -> OutputMistake:
    if name is None:
        return OutputMistake(number, f"expected name=value or name<<WORD, got '{clip(line, _MOST_SHOWN)}'")
    help_ = "a name begins with a letter or _ and has letters, digits, _ and -"
    if name != name.strip() and _OUTPUTS_NAME.fullmatch(name.strip()):
        help_ = f"write '{name.strip()}' without spaces round it"
    return OutputMistake(number, f"'{clip(name, _MOST_SHOWN)}' is no name", help_)


def _never_closed(number: int, name: str, word: str) -> OutputMistake:
    if not word:
        return OutputMistake(
            number, f"no word comes after '{name}<<'", "write the word that will end the value"
        )
    message = f"no line is '{clip(word, _MOST_SHOWN)}', which would end the value of '{name}'"
    return OutputMistake(number, message, "it has to stand alone on its line")
