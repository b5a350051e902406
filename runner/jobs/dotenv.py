r"""Files of environment variables, such as `.env`, read strictly. Pure but for `read_dotenv`.

    # a comment                        NAME=value       spaces at both ends go; ` #` begins a comment
    export PORT=8080                   NAME='as it is'  nothing is changed inside, lines may follow
    GREETING="two\nlines"              NAME="a\tb"      \n \r \t \\ \" \$ are escapes, lines may follow

Readers of such files disagree on `$NAME` and on what they can't read: most leave out a broken line and go on. Here
`$` is an ordinary character, since passwords have some, and each broken line is a problem with its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.problems import Problem, in_file_order
from runner.source_marks import Text

CODE = "dotenv-syntax"
MOST_BYTES = 1 << 20

_NAME = re.compile(r"[^\W\d]\w*", re.ASCII)
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_START = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=#'\"]*)[ \t]*(=?)[ \t]*")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "\n": ""}


@dataclass(frozen=True, slots=True)
class Dotenv:
    """The variables of one file, in its order, and what is wrong with it."""

    values: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def read_dotenv(path: Path, shown: str) -> Dotenv:
    """Read a file; problems call it `shown`. Raises OSError: the place of that is where the file is named."""
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        at = Text(shown, "").location(0, 1)
        return Dotenv(problems=(at.problem(CODE, f"the file is larger than {MOST_BYTES >> 20} MiB"),))
    try:
        return parse_dotenv(content.decode("utf-8-sig"), shown)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode() + "\ufffd"
        at = Text(shown, before).location(len(before) - 1, len(before))
        message = f"a file of variables is UTF-8 text; byte 0x{content[error.start]:02x} is not"
        return Dotenv(problems=(at.problem(CODE, message, help="save the file as UTF-8"),))


def parse_dotenv(text: str, shown: str) -> Dotenv:
    """Return the variables written in `text`, and a problem for each line that is wrong. Never raises."""
    reading = _Reading(Text(shown, text.replace("\r\n", "\n")))
    if (nul := text.find("\0")) >= 0:
        at = reading.source.location(nul, nul + 1)
        return Dotenv(problems=(at.problem(CODE, "a NUL can't be in a variable", help="take it out"),))
    while reading.at < len(reading.source.text):
        reading.read_line()
    return Dotenv(reading.values, tuple(in_file_order(reading.problems)))


@dataclass(slots=True)
class _Reading:
    """One walk over a file. `at` only grows: each line is read once."""

    source: Text
    at: int = 0
    values: dict[str, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read_line(self) -> None:
        """Read one entry, of one line or more, or a line without any."""
        text = self.source.text
        if blank := _BLANK.match(text, self.at):
            self.at = blank.end()
            return
        start = _START.match(text, self.at)
        if start is None or not start[2]:
            self._refuse(self.at, self._line_end(), "expected NAME=value", "a comment begins with '#'")
        elif not _NAME.fullmatch(start[1]):
            help_ = "a name has the letters A to z, digits and _, and begins with no digit"
            self._refuse(start.start(1), start.end(1), f"'{start[1]}' is no name of a variable", help_)
        else:
            self.at = start.end()
            self._take(start[1], start.start(1))

    def _take(self, name: str, place: int) -> None:
        value = self._value()
        if value is None:
            return
        if name in self.values:
            first = self.source.line_of(self.places[name])
            message = f"'{name}' is set twice; first on line {first}"
            self._complain(place, place + len(name), message, "take one of them out")
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
            self._refuse(start, self._line_end(), f"this {quote} is not closed", help_)
            return None
        self.at = quoted.end()
        rest = _BLANK.match(text, self.at)
        if rest is None:
            message = "something follows the closed quotes"
            self._refuse(self.at, self._line_end(), message, "put all of the value inside them")
            return None
        self.at = rest.end()
        return quoted[1] if quote == "'" else self._unescaped(quoted)

    def _unescaped(self, quoted: re.Match[str]) -> str:
        for escape in _ESCAPE.finditer(self.source.text, quoted.start(1), quoted.end(1)):
            if escape[1] not in _ESCAPES:
                help_ = r"write \\ for a backslash, or put the value in single quotes"
                self._complain(escape.start(), escape.end(), f"'{escape[0]}' is no escape", help_)
        return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[0]), quoted[1])

    def _line_end(self) -> int:
        end = self.source.text.find("\n", self.at)
        return len(self.source.text) if end < 0 else end

    def _refuse(self, start: int, end: int, message: str, help_: str) -> None:
        """Complain, and go on with the next line."""
        self._complain(start, end, message, help_)
        self.at = self._line_end() + 1

    def _complain(self, start: int, end: int, message: str, help_: str) -> None:
        self.problems.append(self.source.location(start, end).problem(CODE, message, help=help_))
