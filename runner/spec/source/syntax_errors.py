"""A YAML parser's complaint in our words: what is wrong, at the place to change, and what to do. Pure.

    Complaint ──► a tab in the way?  ──► the first _Slip that fits ──► Problem

Both of PyYAML's parsers are understood; they word their complaints differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from runner.facts import dataclass
from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.source.positions import Text


class Complaint(NamedTuple):
    """What a YAML parser says, with offsets into the text. `begun` is where what it was reading began."""

    reading: str
    diagnostic: str
    begun: int
    at: int

    @property
    def is_of_depth(self) -> bool:
        """Whether the text nests deeper than the parser itself allows: libyaml counts since 0.2.6."""
        return "maximum nesting" in self.diagnostic.lower()

    @property
    def is_of_half(self) -> bool:
        """Whether an escape makes half a character: JSON writes one beyond U+FFFF as two, libyaml knows whole ones."""
        return "invalid Unicode character" in self.diagnostic

    @property
    def is_of_tab_in_script(self) -> bool:
        """Whether the first line of a block text begins with a tab: YAML 1.2 allows it, and PyYAML's own parser."""
        return "block scalar" in self.reading and "tab character" in self.diagnostic


def syntax_problem(text: Text, complaint: Complaint) -> LocatedDiagnostic:
    """Turn a parser's complaint into a problem in our words."""
    tab = _tab_in_the_way(text.text, complaint)
    if tab is not None:
        return text.location(tab, tab + 1).diagnostic("tab-indent", _TAB_MESSAGE, help=_TAB_HELP)
    slip = next(slip for slip in _SLIPS if slip.fits(text.text, complaint))
    place = complaint.begun if slip.where_begun else complaint.at
    char = text.text[place : place + 1] or "the end of the file"
    message, help_ = (words.replace("{char}", char) for words in (slip.message, slip.help))
    word = _WORD.match(text.text, place)
    return text.location(place, word.end() if word else place + 1).diagnostic(
        "yaml-syntax", message, help=help_
    )


_TAB_MESSAGE = "a tab stands where YAML wants spaces: it does not say how far a tab indents"
_TAB_HELP = "replace the tab by spaces, here and in the lines around; editors can do it for you"
_WORD = re.compile(r"[\w.-]+:?")
_INDENT = re.compile(r"[ \t]*")


def _tab_in_the_way(text: str, complaint: Complaint) -> int | None:
    at = complaint.at
    if text[at : at + 1] != "\t" and "tab character" not in complaint.diagnostic:
        return None
    line = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    indent = _INDENT.match(text, line)
    tab = text.find("\t", line, indent.end() if indent else line)
    return tab if tab >= 0 else at


def _line_before(text: str, at: int) -> str:
    return text[max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1 : at]


def _line_after(text: str, at: int) -> str:
    return re.split(r"[\r\n]", text[at : at + 2000], maxsplit=1)[0]


def _bare_reference(text: str, complaint: Complaint) -> bool:
    return text[max(complaint.at - 1, 0) : complaint.at + 2] == "${{"


def _colon_without_space(text: str, complaint: Complaint) -> bool:
    return re.match(r"[\w.-]+:\S", _line_after(text, complaint.begun)) is not None


def _full_width_colon(text: str, complaint: Complaint) -> bool:
    return "\uff1a" in _line_after(text, complaint.begun)


def _odd_space(text: str, complaint: Complaint) -> bool:
    return re.match(r"[\w.-]+:[\xa0\u3000]", _line_after(text, complaint.begun)) is not None


def _below_odd_space(text: str, complaint: Complaint) -> bool:
    above = text[: max(complaint.at - len(_line_before(text, complaint.at)) - 1, 0)]
    return re.match(r"\s*[\w.-]+:[\xa0\u3000]", _line_before(above, len(above))) is not None


def _starts_its_line(text: str, complaint: Complaint) -> bool:
    return not _line_before(text, complaint.at).strip()


def _keyless(text: str, complaint: Complaint) -> bool:
    before = _line_before(text, complaint.at).rstrip()
    alone = re.match(r":(?![^\s,\]}])", text[complaint.at : complaint.at + 2]) is not None
    return alone and (not before or before[-1] in "{[," or not before.strip(" -"))


def _glued_colon(text: str, complaint: Complaint) -> bool:
    return re.match(r":[^\s,\]}]", text[complaint.at : complaint.at + 2]) is not None


def _colon_alone(text: str, complaint: Complaint) -> bool:
    return text[complaint.at : complaint.at + 1] == ":" and not _line_before(text, complaint.at).strip()


def _names_something(text: str, complaint: Complaint) -> bool:
    return re.match(r"[*&]\w", text[complaint.begun : complaint.begun + 2]) is not None


def _is_tag_like(text: str, complaint: Complaint) -> bool:
    return re.match(r"!!|!<\S*>", text[complaint.begun :]) is not None


def _at_digit(text: str, complaint: Complaint) -> bool:
    return text[complaint.at : complaint.at + 1].isdigit() or "0" in text[complaint.begun : complaint.at + 1]


def _anchored_alias(text: str, complaint: Complaint) -> bool:
    return re.search(r"&\S+\s*$", _line_before(text, complaint.at)) is not None and (
        text[complaint.at : complaint.at + 1] == "*"
    )


def _after_bracket(text: str, complaint: Complaint) -> bool:
    return _line_before(text, complaint.at).rstrip().endswith(("]", "}"))


def _second_colon(text: str, complaint: Complaint) -> bool:
    return re.search(r":\s", _line_before(text, complaint.at)) is not None


def _on_one_line(text: str, complaint: Complaint) -> bool:
    return not re.search(r"[\r\n]", text[complaint.begun : complaint.at]) and bool(
        text[complaint.at :].strip()
    )


def _after_quote(text: str, complaint: Complaint) -> bool:
    return _line_before(text, complaint.at).rstrip().endswith(("'", '"'))


def _always(_text: str, _complaint: Complaint) -> bool:
    return True


_Test = Callable[[str, Complaint], bool]


@dataclass(frozen=True, slots=True)
class _Slip:
    """A common mistake: how to know it, and what to say."""

    reading: str
    """Pattern of what the parser was reading."""
    diagnostic: str
    """Pattern of what it says."""
    message: str
    help: str
    where_begun: bool = False
    also: _Test = _always

    def fits(self, text: str, complaint: Complaint) -> bool:
        return (
            re.search(self.reading, complaint.reading) is not None
            and re.search(self.diagnostic, complaint.diagnostic) is not None
            and self.also(text, complaint)
        )


_QUOTE_IT = "quote the text"


def _in_brackets(message: str, help_: str, *, begun: bool = False, also: _Test = _always) -> _Slip:
    return _Slip("flow", "',' or", message, help_, begun, also)


_NO_KEY = (
    _Slip(
        "block mapping|flow",
        "expected key|block end|node content",
        "there is no key before this ':'",
        "write a name there",
        also=_keyless,
    ),
)
_BRACKETS = (
    _Slip(
        "flow",
        "node content|expected key",
        "in brackets a text without quotes cannot start with ':'",
        _QUOTE_IT,
        also=_glued_colon,
    ),
    _Slip("plain", "unexpected ':'", "there is a ':' in this text without quotes", _QUOTE_IT),
    _in_brackets(
        "in brackets a ':' stands right behind its key", "put it on the key's line", also=_colon_alone
    ),
    _in_brackets("the braces of '${{' end the entry here", 'quote it: "${{ … }}"', also=_bare_reference),
    _in_brackets("a comma or the closing bracket is missing before this", _QUOTE_IT, also=_on_one_line),
    _in_brackets(
        "this '{char}' is not closed, or a comma is missing after one of its entries",
        "close it, or put the missing comma",
        begun=True,
    ),
    _Slip("flow", "node content", "a value or the closing bracket is missing here", "close what is open"),
)
_QUOTES = (
    _Slip(
        "quoted",
        "end of stream|document",
        "this quote is never closed",
        "write the same quote at its end",
        True,
    ),
    _Slip(
        "quoted",
        "invalid Unicode",
        "this escape makes half a character, which no program can be given",
        "write the character itself, or one escape such as \\U0001f600",
    ),
    _Slip(
        "quoted",
        "escape|expected",
        "a backslash in double quotes starts an escape, and this is none",
        "use single quotes, or double the backslash",
    ),
)
_FIRST_CHARACTERS = (
    _Slip(
        "alias|anchor",
        "alphabetic",
        "the name of an anchor has letters a to z, digits, '-' and '_' only",
        "rename it; or quote the text, if it is one",
        True,
        _names_something,
    ),
    _Slip(
        "tag", "", "this is no tag that YAML can read", "remove it; no tag is needed here", True, _is_tag_like
    ),
    _Slip("alias", "", "a text without quotes cannot start with '*': that is an alias", _QUOTE_IT, True),
    _Slip("anchor", "", "a text without quotes cannot start with '&': that is an anchor", _QUOTE_IT, True),
    _Slip("tag", "", "a text without quotes cannot start with '!': that is a tag", _QUOTE_IT, True),
    _Slip("directive", "", "a line that starts with '%' instructs YAML, and this is none", _QUOTE_IT, True),
    _Slip("", "cannot start any|node content", "a text without quotes cannot start with '{char}'", _QUOTE_IT),
)
_KEYS = (
    _Slip(
        "simple key",
        "':'",
        "the colon behind this key is a full-width one (U+FF1A), which is none to YAML",
        "write a plain ':' and a space",
        True,
        _full_width_colon,
    ),
    _Slip(
        "simple key",
        "':'",
        "behind the colon of this key stands a space that YAML does not take for one (U+00A0 or U+3000)",
        "write a plain space",
        True,
        _odd_space,
    ),
    _Slip(
        "simple key",
        "':'",
        "there is no space after the colon, so this is no key",
        "write a space after the ':'",
        True,
        _colon_without_space,
    ),
    _Slip(
        "simple key",
        "':'",
        "this line has no ':', so it is neither a key nor part of the value above",
        "write it as 'key: value', or indent it, or quote it",
        True,
    ),
    _Slip(
        "",
        "mapping values",
        "this is the second ': ' in one line",
        "quote the text, or put the inner key on a line of its own",
        also=_second_colon,
    ),
    _Slip(
        "",
        "mapping values",
        "this key is taken for a part of the text above: behind the colon there stands a space that YAML does not take "
        "for one (U+00A0 or U+3000)",
        "write a plain space there",
        also=_below_odd_space,
    ),
    _Slip(
        "",
        "mapping values",
        "this key is indented below a line that already has a value",
        "indent it like that line, or take the value away there",
    ),
)
_INDENTATION = (
    _Slip("", "sequence entries", "a list cannot start here", "give '-' its own line, or write [a, b]"),
    _Slip(
        "block scalar",
        "indentation indicator|line break",
        "the indent behind '|' or '>' is one digit, 1 to 9",
        "write one digit, or leave it out",
        also=_at_digit,
    ),
    _Slip(
        "block scalar", "", "after '|' or '>' the text starts on the next line", "move it down, and indent it"
    ),
    _Slip(
        "block mapping",
        "expected",
        "there is more text after a closing quote",
        "is a quote missing above? Inside a quoted text use the other kind of quote",
        also=_after_quote,
    ),
    _Slip(
        "block mapping|block collection",
        "expected",
        "an alias takes no anchor: it stands for a value that has one",
        "take the &name away, and repeat the alias's own name where it is needed",
        also=_anchored_alias,
    ),
    _Slip(
        "block mapping|block collection",
        "expected",
        "there is more text after a closing bracket",
        "quote the whole text if the brackets belong to it",
        also=_after_bracket,
    ),
    _Slip(
        "block collection|block sequence",
        "expected",
        "this line is no entry of the list above",
        "start it with '- ', or indent it like the key that it belongs to",
    ),
    _Slip(
        "block mapping",
        "expected",
        "this line is not indented like any line above that it could belong to",
        "indent it with as many spaces as its neighbours",
        also=_starts_its_line,
    ),
)
_THE_REST = (
    _Slip(
        "",
        "document start",
        "the file's value has ended, and this comes after it",
        "write 'key: value' lines",
    ),
    _Slip("", "incompatible", "there is no such version of YAML", "remove the %YAML line"),
    _Slip("", "", "YAML cannot be understood from here on", "look at the quotes, brackets and indents above"),
)
# Looked through in order; the last one fits everything.
_SLIPS = (*_NO_KEY, *_BRACKETS, *_QUOTES, *_FIRST_CHARACTERS, *_KEYS, *_INDENTATION, *_THE_REST)
