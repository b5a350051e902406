"""An `if` as a small frozen tree, and its parser: the text becomes the tree, or the first mistake. Pure, and no eval.

    "needs.a.result == 'passed' && !cancelled()"
        │ tokens         name · operator · text · number · bracket        each with its place
        ▼
    Operation(&&)
    ├── Operation(==)
    │   ├── Reference(needs.a.result)
    │   └── Literal('passed')
    └── Not
        └── Call(cancelled)

Each node, and each mistake, knows its characters of the text. From loose to tight: `||`, `&&`, `==` and `!=`,
`<` `<=` `>` `>=`, `!`, then names, calls and brackets. These are the operators of GitHub's expressions with their
precedence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from typing import NamedTuple

from runner.facts import dataclass
from runner.spec.dotted_names import NAME, STEP, join_names
from runner.spec.expressions.functions import function_name

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it is."""

    value: Scalar
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reference:
    """`needs.build.result` or `needs['a b'].result`: names, outermost first."""

    names: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    """Start and end of each name, for whoever finds it wrong."""

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.places[0][0]

    @property
    def end(self) -> int:
        """Where its last name ends."""
        return self.places[-1][1]

    @property
    def dotted(self) -> str:
        """The names as they are shown."""
        return join_names(self.names)


@dataclass(frozen=True, slots=True)
class Call:
    """`contains(a, b)`."""

    function: str
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Not:
    """`!a`."""

    operand: Node
    start: int

    @property
    def end(self) -> int:
        """Where the operand ends."""
        return self.operand.end


@dataclass(frozen=True, slots=True)
class Operation:
    """`a == b`, `a && b`, …"""

    operator: str
    left: Node
    right: Node

    @property
    def start(self) -> int:
        """Where the left side begins."""
        return self.left.start

    @property
    def end(self) -> int:
        """Where the right side ends."""
        return self.right.end


@dataclass(frozen=True, slots=True)
class Index:
    """`a[b]` and `f(x).y`: an entry of what is worked out, or by a key that is."""

    target: Node
    key: Node
    end: int

    @property
    def start(self) -> int:
        """Where what it is an entry of begins."""
        return self.target.start


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """`a.*` and `a[*]`: all entries; what comes behind it is asked of each."""

    target: Node
    end: int

    @property
    def start(self) -> int:
        """Where what it has the entries of begins."""
        return self.target.start


Node = Literal | Reference | Call | Not | Operation | Index | EntryFilter

ROOTS = frozenset(
    (
        *("needs", "matrix", "params", "env", "item", "secrets", "args"),
        *("github", "steps", "inputs", "runner", "job", "strategy", "vars"),
    )
)
"""What the first name of a reference may be somewhere: whatever its case, it is one of these."""


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, in the order of the text."""
    match node:
        case Call(arguments=arguments):
            yield node
            for argument in arguments:
                yield from walk(argument)
        case Not(operand=operand):
            yield node
            yield from walk(operand)
        case Operation(left=left, right=right):
            yield from walk(left)
            yield node
            yield from walk(right)
        case Index(target=target, key=key):
            yield from walk(target)
            yield node
            yield from walk(key)
        case EntryFilter(target=target):
            yield from walk(target)
            yield node
        case _:
            yield node


MOST_CHARACTERS = 4000
MOST_LEVELS = 50
"""Brackets and `!` may nest this deep, so that no condition can exhaust the stack."""
MOST_OPERATORS = 150
"""For the same reason: `a && b && c` nests to the left."""

_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<step>(?<=[\w\])*]){STEP})
    | (?P<star>(?<=[\w\])*])\.\*|\*(?=\s*\]))
    | (?P<number>-?(?:0x[0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?![\w.]))
    | (?P<name>{NAME})
    | (?P<operator>\|\||&&|(?:==|!=|<=|>=)(?![=<>])|<(?!>)|>(?![<>])|!(?!=)|[()\[\],])
    )""",
    re.VERBOSE,
)
_WORDS: dict[str, Scalar] = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
}
# What other languages write, or what slips in; said in one breath with what is right here.
_SLIPS = {"=": "==", "&": "&&", "|": "||", "===": "==", "!==": "!=", "<>": "!=", "=>": ">=", "=<": "<="}
_WORD_SLIPS = {"and": "&&", "or": "||", "not": "!", "is": "=="}
_CLOSING = {"(": ")", "[": "]"}
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="))


class ConditionMistake(Exception):
    """The text is no condition. `start` and `width` are characters of the text."""

    def __init__(self, start: int, width: int, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.start = start
        self.width = max(width, 1)
        self.message = message
        self.help = help


def parse_expression(text: str, start: int = 0, end: int | None = None) -> Node:
    """
    Return the tree of `text[start:end]`; places count from the start of `text`.

    Raises:
        ConditionMistake: it can't be read; the first place where that shows.
    """
    end = len(text) if end is None else end
    if end - start > MOST_CHARACTERS:
        message = f"expected at most {MOST_CHARACTERS:,} characters, got {end - start:,}"
        raise ConditionMistake(start, 1, message, "move the decision into a step")
    parser = _ExpressionParser(list(_tokens(text, start, end)))
    tree = parser.expression(0)
    parser.expect_end()
    return tree


class _Token(NamedTuple):
    kind: str
    """`text`, `number`, `name`, `step` (a dot and a name), `star`, `operator`, or `end`."""
    text: str
    start: int
    end: int


def _tokens(text: str, start: int, end: int) -> Iterator[_Token]:
    at = start
    while text[at:end].strip():
        found = _TOKEN.match(text, at, end)
        if found is None or found.lastgroup is None:
            raise _unreadable(text, at + len(text[at:end]) - len(text[at:end].lstrip()), end)
        kind = found.lastgroup
        yield _checked(_Token(kind, found[kind], found.start(kind), found.end(kind)))
        at = found.end()
    yield _Token("end", "", len(text[:end].rstrip()), end)


def _checked(token: _Token) -> _Token:
    """Refuse the words that other languages write for an operator."""
    if token.kind == "name" and (right := _WORD_SLIPS.get(token.text.casefold())):
        raise ConditionMistake(
            token.start,
            token.end - token.start,
            f"'{token.text}' is no operator here",
            f"write '{right}'",
        )
    return token


def _unreadable(text: str, at: int, end: int) -> ConditionMistake:
    """Say what the character at `at` was probably meant to be."""
    rest = text[at:end]
    if rest[0] == "'":
        help_ = "close it with another '; a quote inside a text is written ''"
        return ConditionMistake(at, end - at, "this text is not closed", help_)
    if rest[0] == '"':
        closing = rest.find('"', 1)
        width = closing + 1 if closing > 0 else len(rest)
        inner = rest[1 : width - 1] if closing > 0 else rest[1:]
        quoted = inner.replace("'", "''")
        return ConditionMistake(at, width, "a text stands in single quotes", f"write '{quoted}'")
    if slip := re.match(r"[=&|<>!]+", rest):
        message = f"'{slip[0]}' is no operator here"
        return ConditionMistake(at, len(slip[0]), message, f"write '{_SLIPS.get(slip[0], '==')}'")
    if rest[0] == ".":
        return _stray_dot(at, rest)
    if found := re.match(r"[\w.]+", rest):
        message = f"'{found[0]}' is neither a number nor a name"
        return ConditionMistake(at, len(found[0]), message, f"if it is a text, write '{found[0]}' in quotes")
    if rest.startswith("${{"):
        message = "'${{' may only stand round the whole condition"
        return ConditionMistake(at, 3, message, "leave the braces out: a condition needs none")
    message = f"'{rest[0]}' has no meaning in a condition"
    return ConditionMistake(
        at, 1, message, "a condition has names, 'texts', numbers and == != && || ! < > ( )"
    )


def _stray_dot(at: int, rest: str) -> ConditionMistake:
    """Say what a dot that no name is before was meant for."""
    width = len((re.match(r"\.\s*[\w*-]*", rest) or [rest])[0])
    message = f"'{rest[:width]}' stands apart from its name"
    return ConditionMistake(at, width, message, "join names with dots alone: a.b, a.*.b")


@dataclass(slots=True)
class _ExpressionParser:
    """One walk over the tokens: precedence climbing over `_LEVELS`."""

    tokens: list[_Token]
    at: int = 0
    open: list[_Token] = field(default_factory=list)
    """The `(`, `[` and `!` that the walk is inside of."""
    operators: int = 0
    """Those read so far that join two values."""

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def takes(self, operator: str) -> bool:
        """Take this operator if it comes next."""
        found = self.next.kind == "operator" and self.next.text == operator
        self.at += found
        return found

    def expression(self, level: int) -> Node:
        """Read operations of this level and of those that bind tighter."""
        if level == len(_LEVELS):
            return self.negation()
        left = self.expression(level + 1)
        while self.next.kind == "operator" and self.next.text in _LEVELS[level]:
            operator = self.take()
            left = Operation(operator.text, left, self.right_side(operator, level))
        return left

    def right_side(self, operator: _Token, level: int) -> Node:
        self.operators += 1
        if self.operators > MOST_OPERATORS:
            message = f"this has more than {MOST_OPERATORS} operators"
            width = operator.end - operator.start
            raise ConditionMistake(operator.start, width, message, "move the decision into a step")
        if self.next.kind == "end":
            width = operator.end - operator.start
            raise ConditionMistake(operator.start, width, f"nothing comes after '{operator.text}'")
        return self.expression(level + 1)

    def negation(self) -> Node:
        sign = self.next
        if not self.takes("!"):
            return self.operand()
        self.go_down(sign)
        operand = self.negation()
        self.open.pop()
        return Not(operand, sign.start)

    def operand(self) -> Node:
        return self.path(self.first())

    def first(self) -> Node:
        """Read what names and `[…]` may come behind."""
        token = self.take()
        match token.kind, token.text:
            case "text", written:
                return Literal(written[1:-1].replace("''", "'"), token.start, token.end)
            case "number", written:
                return Literal(_number(written), token.start, token.end)
            case "operator", "(":
                return self.bracketed(token)
            case "name", word if self.next.kind == "operator" and self.next.text == "(":
                return self.call(token)
            case "name", word if word in _WORDS and self.next.kind != "step":
                return Literal(_WORDS[word], token.start, token.end)
            case "name", word:
                root = word.lower() if word.lower() in ROOTS else word
                return Reference((root,), ((token.start, token.end),))
        if token.kind == "end" and self.open:
            raise _not_closed(self.open[-1])
        raise _unexpected(token)

    def bracketed(self, opening: _Token) -> Node:
        self.go_down(opening)
        inner = self.expression(0)
        self.close(opening, ")")
        self.open.pop()
        return inner

    def call(self, name: _Token) -> Call:
        opening = self.take()
        self.go_down(opening)
        arguments: list[Node] = []
        if not (self.next.kind == "operator" and self.next.text == ")"):
            arguments.append(self.expression(0))
            while self.takes(","):
                arguments.append(self.expression(0))
        closing = self.close(opening, ")")
        self.open.pop()
        return Call(function_name(name.text), tuple(arguments), name.start, closing.end)

    def path(self, node: Node) -> Node:
        """Read the names, `[…]` and `.*` behind a value."""
        steps = 0
        while True:
            steps += 1
            if steps > MOST_OPERATORS:
                message = f"more than {MOST_OPERATORS} names follow each other"
                raise ConditionMistake(self.next.start, 1, message, "move the decision into a step")
            if self.next.kind == "step":
                step = self.take()
                node = _below(node, Literal(step.text[1:], step.start + 1, step.end), step.end)
            elif self.next.kind == "star" and self.next.text == ".*":
                node = EntryFilter(node, self.take().end)
            elif self.next.kind == "operator" and self.next.text == "[" and not isinstance(node, Literal):
                node = self.subscript(node)
            else:
                return node

    def subscript(self, node: Node) -> Node:
        opening = self.take()
        self.go_down(opening)
        if self.next.kind == "star":
            self.take()
            found: Node = EntryFilter(node, self.close(opening, "]").end)
        else:
            key = self.expression(0)
            found = _below(node, key, self.close(opening, "]").end)
        self.open.pop()
        return found

    def close(self, opening: _Token, closing: str) -> _Token:
        if self.next.kind == "operator" and self.next.text == closing:
            return self.take()
        if self.next.kind == "end":
            raise _not_closed(opening)
        raise _unexpected(self.next)

    def go_down(self, opening: _Token) -> None:
        self.open.append(opening)
        if len(self.open) > MOST_LEVELS:
            raise ConditionMistake(opening.start, 1, f"this nests more than {MOST_LEVELS} levels deep")

    def expect_end(self) -> None:
        if self.next.kind != "end":
            raise _unexpected(self.next)


def _below(node: Node, key: Node, end: int) -> Node:
    """Return the node for what a key leads to: one reference as long as all its names are known."""
    if isinstance(node, Reference) and isinstance(key, Literal) and type(key.value) in (str, int):
        return Reference((*node.names, str(key.value)), (*node.places, (key.start, key.end)))
    return Index(node, key, end)


def _number(written: str) -> int | float:
    if "0x" in written.casefold():
        return int(written, 16)
    return float(written) if re.search(r"[.eE]", written) else int(written)


def _not_closed(opening: _Token) -> ConditionMistake:
    if opening.text == "!":
        return ConditionMistake(opening.start, 1, "nothing comes after '!'")
    help_ = f"add a '{_CLOSING[opening.text]}'"
    return ConditionMistake(opening.start, 1, f"this '{opening.text}' is not closed", help_)


def _unexpected(token: _Token) -> ConditionMistake:
    if token.kind == "end":
        return ConditionMistake(max(token.start - 1, 0), 1, "the condition ends too early")
    width = token.end - token.start
    message = f"'{token.text}' can't stand here"
    if token.kind == "star":
        return ConditionMistake(token.start, width, message, "'.*' and '[*]' stand behind a name: a.*.b")
    if token.text in (")", "]"):
        return ConditionMistake(token.start, width, message, "nothing before it is open")
    if token.kind in ("name", "text", "number"):
        return ConditionMistake(token.start, width, message, "join two conditions with '&&' or '||'")
    return ConditionMistake(
        token.start, width, message, "a name, a 'text' or a number comes before an operator"
    )
