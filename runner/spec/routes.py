"""Which item goes to which queue, as the user wrote it under `to`, and as a worker has to know it. Pure facts.

to: parsed                                       every item to one queue: the plain case, which needs none of this
to: [parsed, archive]                            every item to each of them
to: {ok: "item.status < 500", else: odd}         to each whose condition holds; to that of `else` what none took
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from runner.facts import dataclass
from runner.spec.keys import NAME, NAME_PATTERN, Key, Shape, declares

if TYPE_CHECKING:  # few stages have conditions
    from runner.spec.expressions.ast import Node
    from runner.spec.resources import Sentinel

ELSE = "else"
"""The key whose value is a queue and not a condition: no queue of this name can have one."""


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One of the queues that a stage writes to."""

    queue: str
    condition: str | bool | None = None
    """As the file has it; None takes every item, or none where it is for the rest alone."""
    takes_rest: bool = False
    """Whether it gets the items that no condition took."""

    @property
    def label(self) -> str:
        """What goes here, for pictures and tables; empty where it is everything."""
        words = [] if self.condition is None else [" ".join(str(self.condition).split())]
        return " or ".join([*words, *([ELSE] if self.takes_rest else [])])


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """The same for a worker, with what it must know of the queue."""

    queue: str
    condition: Node | bool | None = None
    """None takes every item, or none where it is for the rest alone."""
    takes_rest: bool = False
    constants: Mapping[str, Any] = field(default_factory=dict)
    """What conditions may ask for beside the item: `params`, `env`."""
    unputtable: Sentinel | None = None
    """What readers get at the end of the queue, so that no item may equal it."""
    contract: Mapping[str, Any] | None = None
    """The schema that each item must keep that is put there."""
    unique: str | None = None
    """The way to the key by which an item is known that was put there before."""


TO = Shape(
    {
        "type": ["string", "array", "object"],
        "title": "a queue, a list of queues, or a mapping from queues to conditions",
        "pattern": NAME_PATTERN,
        "items": NAME.fragment,
        "minItems": 1,
        "uniqueItems": True,
        "minProperties": 1,
        "propertyNames": NAME.fragment,
        "properties": {
            ELSE: {
                **NAME.fragment,
                "description": "The queue of the items that no condition took.",
            }
        },
        "additionalProperties": {
            "type": ["string", "boolean"],
            "title": "a condition such as item.status < 500, or true for every item",
        },
    }
)


@dataclass(frozen=True, slots=True)
class ErrorRoute:
    """Where failures go."""

    to: str = field(
        metadata=declares(
            Key(
                NAME,
                "The queue of the failures: `{item, error, attempts, stage}` each, with the item as it was, the error "
                "as text, and how often it was tried.",
            )
        )
    )


ON_ERROR = Shape(
    {
        "type": ["string", "object"],
        "title": "one of fail, skip and dead_letter, or a mapping such as {to: malformed}",
        "pattern": "^(fail|skip|dead_letter)$",
    },
    model=ErrorRoute,
)

TO_MEANS = (
    "Where its items go. A queue; a list of queues, each of which gets every item; or a mapping from queues to "
    "conditions on `item`, as `if` has them: an item goes to each queue whose condition holds, and to that of "
    "`else` where none does. One that no queue takes has failed, and goes the way of `retry` and `on_error`. A "
    'handler may choose itself, and put `mprun.Route("name", item)`.'
)
ON_ERROR_MEANS = (
    "When the handler raises on an item, and `retry` has no attempt left: `fail` ends the run, `skip` counts the "
    "item as failed and goes on, `dead_letter` also keeps it with its error, for `mprun dlq` to show and replay. "
    "`{to: QUEUE}` makes an item of the failure, `{item, error, attempts, stage}`, for a stage to read; so it does "
    "of an item that has killed its workers. Under `defaults` it leaves out the stage that reads them. "
    "`limits.max_errors` says how many a good run may have of the others."
)


def routes_of(written: Any) -> tuple[RouteSpec, ...]:
    """Return the queues in what stands under `to`, each once, in the order of the file."""
    if isinstance(written, str):
        return (RouteSpec(written),)
    if isinstance(written, list):
        return tuple(map(RouteSpec, written))
    routes = {name: RouteSpec(name, condition) for name, condition in written.items() if name != ELSE}
    if (rest := written.get(ELSE)) is not None:
        routes[rest] = replace(routes.get(rest, RouteSpec(rest)), takes_rest=True)
    return tuple(routes.values())


def queues_of(routes: Iterable[RouteSpec]) -> tuple[str, ...]:
    """Name the queues of routes."""
    return tuple(route.queue for route in routes)


def label_of(routes: Iterable[RouteSpec], queue: str, *, made: bool, failures: bool) -> str:
    """Say what of a stage goes to one of its queues: of what it has `made`, and of its `failures`."""
    label = next((route.label for route in routes if route.queue == queue), "")
    if not failures:
        return label
    return f"{label or 'all'} and failures" if made else "failures"
