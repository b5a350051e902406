"""References in a script for a POSIX shell: each becomes a parameter of the shell's own. Pure.

    rm ${{ item }} '${{ item.old }}'  ──as_script──►  rm "${1}" ''"${2}"''  and  ["${{ item }}", "${{ item.old }}"]

What a value holds never becomes part of the script itself, where a quote or a `;` in it would be obeyed. How a
parameter has to be written depends on where it stands; `_Reader` follows quotes, comments and here-documents that far.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import field
from enum import Enum

from runner.facts import dataclass
from runner.text import late_pattern

POSIX = ("sh", "bash", "dash", "ksh", "zsh", "ash")
"""The shells whose scripts can be given a variable in the place of a reference."""

_REFERENCE = late_pattern(r"(\$?)(\$\{\{.*?\}\})", re.DOTALL)
_ENDS_A_WORD = " \t\n;&|<>()"


class _QuoteContext(Enum):
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
    for _, piece, place in _pieces(text):
        if place is None:
            script += piece
            continue
        references.append(piece)
        script += _written(f"${{{name_of(len(references))}}}", place)
    return script, references


def unfillable(text: str) -> list[tuple[int, str]]:
    """Return the references that no shell can fill, each with where it starts: those in quoted here-documents."""
    return [(at, piece) for at, piece, place in _pieces(text) if place is _QuoteContext.LITERAL_HERE]


def parts_of_words(text: str) -> list[tuple[int, str]]:
    """Return the references that are no word of their own, each with where it starts: no list can stand there."""
    return [
        (at, piece)
        for at, piece, place in _pieces(text)
        if place is not None and not _is_word(text[:at], text[at + len(piece) :], place)
    ]


def _is_word(before: str, after: str, place: _QuoteContext) -> bool:
    """Say whether what stands between `before` and `after` is a word, and no file that is read or written."""
    quote = {_QuoteContext.BARE: "", _QuoteContext.QUOTED: '"', _QuoteContext.LITERAL: "'"}.get(place)
    if quote is None or not before.endswith(quote) or not after.startswith(quote):
        return False
    before, after = before.removesuffix(quote), after.removeprefix(quote)
    is_apart = before[-1:] in ("", *" \t\n;&|(") and after[:1] in ("", *_ENDS_A_WORD)
    return is_apart and before.rstrip(" \t")[-1:] not in ("<", ">")


_COMMAND = r"(?:^|[\s;&|(`])"
_CODE_READERS = late_pattern(
    _COMMAND + r"((?:eval|trap|watch)(?=\s)|ssh(?=\s+(?:-\S+\s+)*[^-\s]\S*\s)|su\s(?:[^;&|\n]*\s)?-\w*c(?=\s)"
    r"|(?:\S*/)?(?:(?:ba|da|k|z|a)?sh\s+(?:-\S+\s+)*-\w*c|(?:python[0-9.]*|php)\s+(?:-\w+\s+)*-\w*[cr]"
    r"|(?:perl|ruby|node)\s+(?:-\w+\s+)*-\w*e|env\s+(?:-\w+\s+)*-\w*S"
    # A script of theirs may run programs, by `system`, `e`, `.shell` and `\\!`. What comes behind it is no script.
    r"|(?:psql|mysql|mariadb)\s(?:[^;&|\n]*\s)?(?:-\w*[ce]|--command|--execute)"
    r"|sqlite3\s+(?:-\S+\s+)*[^-\s]\S*)(?=\s)"
    r"|(?:[gmn]?awk|sed)(?=\s+(?:-\S+\s+)*(?:'[^']*\Z|\"(?:[^\"\\]|\\.)*\Z|\Z)))"
)
# What follows is of shells that obey an index, as in `a[$(…)]`, where they want a number or the name of a variable.
_INTEGER_READERS = late_pattern(_COMMAND + r"(let|(?:declare|typeset|local)\s+-\w*[in]\w*)\s")
_NAME_READERS = late_pattern(
    _COMMAND + r"(read(?=(?:\s+-[aers]+)*\s+[\"']?$)|printf\s+-v|(?:test|\[\[?)\s+-v|declare|typeset)"
    r"(?:\s+-[a-zA-Z]+)*\s+[\"']?$"
)
_SUBSCRIPT = late_pattern(r"\$\{[#!]?\w+(?:\[[^\]}]*|:(?![-=?+])[^}]*)$|" + _COMMAND + r"\w+\[[^\]\s]*$")
_ARITHMETIC = late_pattern(r"\[\[(?:(?!\]\]).)*\s-(?:eq|ne|lt|le|gt|ge)\s(?:(?!\]\]).)*\]\]")
_WHOLE_QUOTES = late_pattern(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")


def read_as_code(text: str, at: int, *, evaluates: bool) -> str | None:
    """
    Return what would read as code, once more, the value of the reference at `at`, as far as its line shows.

    Quotes are no help there: `eval`, a shell of its own, and, in shells that `evaluates` is said of, arithmetic, which
    obeys what a variable holds.
    """
    start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    before = text[start:at]
    readers = [*_CODE_READERS.finditer(before), *(_INTEGER_READERS.finditer(before) if evaluates else ())]
    for reader in readers:
        rest = _WHOLE_QUOTES.sub("", before[reader.end() :])
        if any(quote in rest for quote in "'\"") or not any(sign in rest for sign in ";&|"):
            return " ".join(reader[1].split())
    if evaluates and (named := _NAME_READERS.search(before)):
        return " ".join(named[1].split())
    if evaluates and _SUBSCRIPT.search(before):
        return "${… […] …}" if "${" in before else "…[…]"
    if evaluates and before.count("((") > before.count("))"):
        return "(( … ))"
    if evaluates and before.rpartition("$[")[1] and "]" not in before.rpartition("$[")[2]:
        return "$[ … ]"
    line = text[start : end if end >= 0 else len(text)]
    if evaluates and any(start + f.start() < at < start + f.end() for f in _ARITHMETIC.finditer(line)):
        return "[[ … -eq … ]]"
    return None


_SURE = frozenset({"echo", "printf", "yes", "seq", "true", ":"})
"""Commands before a pipe that can hardly fail."""
_IN_CONDITION = late_pattern(r"(?:^|[\s;])(?:if|elif|while|until|!)\s")
_BEFORE_COMMAND = late_pattern(
    r"&&|(?<!>)&(?!>)|[|;\n()`]|(?:^|(?<=\s))[{}](?=[\s;])|(?:^|\s)(?:do|then|else|in)\s"
)


def hidden_failure(text: str) -> tuple[int, int] | None:
    """
    Return where the first command of a script is whose failure a pipe hides from a shell without `pipefail`.

    Left out are those that can hardly fail, and pipes that are conditions, whose last command is what is asked. Of what
    stands in brackets the pipe behind it is shown.
    """
    bare = "" if "pipefail" in text else _bare(text)
    for found in re.finditer(r"(?<![|>])\|(?!\|)", bare):
        start = max([0, *(end.end() for end in _BEFORE_COMMAND.finditer(bare, 0, found.start()))])
        command = bare[start : found.start()]
        if not _is_condition(bare, found.start()) and not _is_pattern(bare, found.start()):
            if not command.strip() and bare[:start].rstrip()[-1:] in (")", "}"):
                return found.start(), 1
            if re.search(r"\w", command) and command.split()[0] not in _SURE and "[[" not in command:
                return start + len(command) - len(command.lstrip()), len(command.strip())
    return None


def _is_condition(bare: str, at: int) -> bool:
    line = bare[bare.rfind("\n", 0, at) + 1 : at]
    behind = re.split(r"[;\n]", bare[at:], maxsplit=1)[0]
    return bool(_IN_CONDITION.search(line)) or "&&" in behind or "||" in behind


def _is_pattern(bare: str, at: int) -> bool:
    """Say whether it is that of a `case`, as in `a|b)`: the bracket that closes it was never opened."""
    behind = bare[at:].split("\n", 1)[0]
    return bare.count("(", 0, at) <= bare.count(")", 0, at) and behind.count(")") > behind.count("(")


def _bare(text: str) -> str:
    """Return a script with all that stands in quotes, comments, references and here-documents blanked out."""
    reader, bare = _Reader(), ""
    for at, piece, place in _pieces(text):
        bare = bare.ljust(at, "x")  # literal braces are written one sign longer
        for character in piece if place is None else ():
            stands_bare = reader.is_bare and character not in "'\""
            reader.read(character)
            bare += character if character == "\n" or (stands_bare and reader.is_bare) else "x"
        if place is not None:
            reader.read("x")
            bare += "x" * len(piece)
    return re.sub(r"\$\{[^}\n]*\}", lambda one: "x" * len(one[0]), bare)


def _pieces(text: str) -> Iterator[tuple[int, str, _QuoteContext | None]]:
    """Cut a script into what stays as it is, and references with how they stand; `$${{` is a literal `${{`.

    Each piece comes with where it begins in `text`.
    """
    reader, done = _Reader(), 0
    for found in _REFERENCE.finditer(text):
        before = text[done : found.start()] + (found[2] if found[1] else "")
        reader.read(before)
        yield done, before, None
        done = found.end()
        if not found[1]:
            yield found.start(), found[2], reader.place
            reader.read("x")  # whatever is filled in there, it opens and ends nothing
    yield done, text[done:], None


def _written(parameter: str, place: _QuoteContext) -> str:
    match place:
        case _QuoteContext.BARE:
            return f'"{parameter}"'
        case _QuoteContext.LITERAL:
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
    def place(self) -> _QuoteContext:
        """Where the next character stands."""
        if self._inside:
            return _QuoteContext.LITERAL_HERE if self._announced[0].literal else _QuoteContext.HERE
        if not self._quote and self._is_arithmetic:
            return _QuoteContext.QUOTED  # where it is a text already, and `sh` takes no quotes
        return {"": _QuoteContext.BARE, '"': _QuoteContext.QUOTED, "'": _QuoteContext.LITERAL}[self._quote]

    @property
    def is_bare(self) -> bool:
        """Whether the next character, if it is a sign of the shell's, is read as one."""
        return self.place is _QuoteContext.BARE and not (self._comment or self._escaped or self._begun)

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
