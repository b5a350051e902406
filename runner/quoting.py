"""References in a script for a POSIX shell: each becomes a parameter of the shell's own. Pure.

    rm ${{ item }} '${{ item.old }}'  ──as_script──►  rm "${1}" ''"${2}"''  and  ["${{ item }}", "${{ item.old }}"]

What a value holds never becomes part of the script itself, where a quote or a `;` in it would be obeyed. How a
parameter has to be written depends on where it stands; `_Reader` follows quotes, comments and here-documents that far.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

_REFERENCE = re.compile(r"(\$?)(\$\{\{.*?\}\})", re.DOTALL)
_ENDS_A_WORD = " \t\n;&|<>()"


class _Place(Enum):
    """Where in a script something stands, as far as quotes go."""

    BARE = 0
    QUOTED = 1
    """Between double quotes."""
    LITERAL = 2
    """Between single quotes."""
    HERE = 3
    """In a here-document, which is filled like a text in double quotes."""
    LITERAL_HERE = 4
    """In a here-document whose word is in quotes: nothing in it is filled."""


def as_script(text: str, name_of: Callable[[int], str]) -> tuple[str, list[str]]:
    """
    Return the script, and the references in their order; `name_of` names the parameter of the nth, 1 first.

    A reference that `unfillable` tells of is left as the shell would print it.
    """
    references: list[str] = []
    script = ""
    for piece, place in _pieces(text):
        if place is None:
            script += piece
            continue
        references.append(piece)
        script += _written(f"${{{name_of(len(references))}}}", place)
    return script, references


def unfillable(text: str) -> list[tuple[int, str]]:
    """Return the references that no shell can fill, each with where it starts: those in quoted here-documents."""
    found: list[tuple[int, str]] = []
    at = 0
    for piece, place in _pieces(text):
        at = text.index(piece, at)
        if place is _Place.LITERAL_HERE:
            found.append((at, piece))
        at += len(piece)
    return found


def _pieces(text: str) -> Iterator[tuple[str, _Place | None]]:
    """Cut a script into what stays as it is, and references with where they stand. `$${{` is a literal `${{`."""
    reader, done = _Reader(), 0
    for found in _REFERENCE.finditer(text):
        before = text[done : found.start()] + (found[2] if found[1] else "")
        reader.read(before)
        yield before, None
        done = found.end()
        if not found[1]:
            yield found[2], reader.place
            reader.read("x")  # whatever is filled in there, it opens and ends nothing
    yield text[done:], None


def _written(parameter: str, place: _Place) -> str:
    match place:
        case _Place.BARE:
            return f'"{parameter}"'
        case _Place.LITERAL:
            return f"'\"{parameter}\"'"
        case _:
            return parameter


@dataclass(slots=True)
class _Here:
    """A here-document: begun by `<<WORD` or `<<-WORD`, ended by a line that is the word."""

    word: str = ""
    literal: bool = False
    strips_tabs: bool = False
    quote: str = ""
    """The quote that is open within the word itself."""

    def is_ended_by(self, line: str) -> bool:
        return (line.lstrip("\t") if self.strips_tabs else line) == self.word


@dataclass(slots=True)
class _Reader:
    """Reads a script, a character at a time."""

    _quote: str = ""
    _outside: list[str] = field(default_factory=list)
    """For each `(` that is open, the quote that goes on behind its `)`: in `"$(x)"` the x stands in none."""
    _escaped: bool = False
    _dollar: bool = False
    """Whether the last character was a `$` that is not escaped."""
    _comment: bool = False
    _line: str = "\n"
    """The line so far, with the end of the one before it."""
    _begun: _Here | None = None
    """The here-document whose word is being read."""
    _announced: deque[_Here] = field(default_factory=deque)
    """Here-documents that begin with the next line, one after the other."""
    _inside: bool = False
    """Whether the first of these has begun."""

    @property
    def place(self) -> _Place:
        """Where the next character stands."""
        if self._inside:
            return _Place.LITERAL_HERE if self._announced[0].literal else _Place.HERE
        if not self._quote and self._is_arithmetic:
            return _Place.QUOTED  # where it is a text already, and `sh` takes no quotes
        return {"": _Place.BARE, '"': _Place.QUOTED, "'": _Place.LITERAL}[self._quote]

    def read(self, text: str) -> None:
        """Go on past `text`."""
        for character in text:
            if self._inside:
                self._read_document(character)
            elif self._begun is not None:
                self._read_word(self._begun, character)
            else:
                self._read_bare(character)
            self._line = "\n" if character == "\n" else self._line + character

    def _read_bare(self, character: str) -> None:
        before, escaped = self._line[-1], self._escaped
        self._escaped = False
        if self._comment:
            self._comment = character != "\n"  # an apostrophe in it opens nothing
        elif escaped:
            character = "x"  # it means itself
        elif character == "\\" and self._quote != "'":
            self._escaped = True
        elif character == "(" and (not self._quote or (self._quote == '"' and self._dollar)):
            self._outside.append(self._quote)
            self._quote = ""
        elif character == ")" and not self._quote and self._outside:
            self._quote = self._outside.pop()
        elif self._quote or character in "\"'":
            self._read_quote(character)
        elif character == "#" and (before.isspace() or before in ";&|("):
            self._comment = True
        elif character == "<" and before == "<" and not self._line.endswith("<<") and not self._is_arithmetic:
            self._begun = _Here()
        if character == "\n" and not self._quote:
            self._inside = bool(self._announced)
        self._dollar = character == "$"

    def _read_quote(self, character: str) -> None:
        if character == self._quote:
            self._quote = ""
        elif not self._quote:
            self._quote = character

    @property
    def _is_arithmetic(self) -> bool:
        """In `$(( 1 << 2 ))` the sign means something else."""
        return self._line.count("((") > self._line.count("))")

    def _read_word(self, here: _Here, character: str) -> None:
        """Read on in what follows `<<`, up to the end of the word."""
        if here.quote:
            here.quote = "" if character == here.quote else here.quote
            here.word += character if here.quote else ""
        elif character in "\"'\\":
            here.literal, here.quote = True, "" if character == "\\" else character
        elif character == "-" and self._line.endswith("<<"):
            here.strips_tabs = True
        elif character == "<" and self._line.endswith("<<"):
            self._begun = None  # `<<<` takes a text, and no document
        elif character in _ENDS_A_WORD and (here.word or here.literal or character not in " \t"):
            self._end_word(here, character)
        elif character not in " \t":
            here.word += character

    def _end_word(self, here: _Here, character: str) -> None:
        self._begun = None
        if here.word or here.literal:
            self._announced.append(here)
        self._read_bare(character)

    def _read_document(self, character: str) -> None:
        if character == "\n" and self._announced[0].is_ended_by(self._line[1:]):
            self._announced.popleft()
            self._inside = bool(self._announced)
