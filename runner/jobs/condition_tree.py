"""An `if` as a small frozen tree, in which each node knows its characters of the text. Facts only.

needs.a.result == 'passed' && !cancelled()

Operation(&&)
├── Operation(==)
│   ├── Reference(needs.a.result)
│   └── Literal('passed')
└── Not
    └── Call(cancelled)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
        return ".".join(self.names)


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


Node = Literal | Reference | Call | Not | Operation


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
        case _:
            yield node
