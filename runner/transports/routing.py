"""Which queues an item goes to, decided in the worker that makes it. The same under every transport.

item ──► Router.route ──► the item, and the numbers of its queues      conditions, `else`, one that the handler names
                     └──► RouteError, ContractBroken                   no queue takes it: it has failed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.errors import ContractBroken, RouteError
from runner.handlers.kinds import Route
from runner.ledger.uniqueness import key_bits
from runner.spec.resources import Sentinel
from runner.spec.routes import RoutePlan
from runner.text import safe_repr

Condition = Callable[[object], bool]
Check = Callable[[object], object]
"""Returns the item; raises what is wrong with it."""


class Router:
    """Says of each item where it goes."""

    def __init__(self, routes: Sequence[RoutePlan]) -> None:
        """Compiles the conditions."""
        self.queues = tuple(route.queue for route in routes)
        self._numbers = {route.queue: number for number, route in enumerate(routes)}
        self._all = tuple(range(len(routes)))
        self._takes_all = all(route.condition is None and not route.takes_rest for route in routes)
        self._conditions = [(number, _condition_of(route)) for number, route in enumerate(routes)]
        self._rest = tuple(number for number, route in enumerate(routes) if route.takes_rest)
        self._keys = {
            number: key_bits(route.unique) for number, route in enumerate(routes) if route.unique is not None
        }
        self._checks: list[tuple[int, Check]] = [
            (number, check)
            for number, route in enumerate(routes)
            for check in checks_of(route.queue, route.unputtable, route.contract)
        ]

    def route(self, item: object) -> tuple[object, tuple[int, ...]]:
        """
        Return what is to be put, and where.

        Raises:
            RouteError: no queue takes it, or there is none of the name that it has.
            Exception: what looking at it raises, or the check of a queue.
        """
        targets = self._all
        if type(item) is Route:
            item.check(self.queues)
            targets, item = (self._numbers[item.queue],), item.item
        elif not self._takes_all:
            targets = tuple(number for number, holds in self._conditions if holds(item)) or self._rest
            if not targets:
                raise RouteError(
                    f"no queue takes {safe_repr(item)}: no condition of {', '.join(self.queues)} holds for it, and "
                    "`to` has no `else`"
                )
        for number, check in self._checks:
            if number in targets:
                check(item)
        return item, targets

    def key(self, number: int, item: object) -> int:
        """Return the bits that stand for the key of an item in one of its queues, where that takes each key once; else
        0. Raises `ShardKeyError`."""
        key = self._keys.get(number)
        return 0 if key is None else key(item)


def _condition_of(route: RoutePlan) -> Condition:
    if isinstance(route.condition, bool) or route.condition is None:
        holds = not route.takes_rest if route.condition is None else route.condition
        return lambda _: holds
    from runner.spec.expressions.predicate import compile_condition

    return compile_condition(route.condition, route.constants)


def checks_of(queue: str, unputtable: Sentinel | None, contract: Mapping[str, Any] | None) -> list[Check]:
    """Return what each item is asked that is put on a queue; mostly nothing. Slow where there is a contract."""
    checks: list[Check] = []
    if unputtable is not None:
        from runner.handlers.wrappers import refuse_sentinel

        checks.append(refuse_sentinel(queue, unputtable.value))
    if contract is not None:
        from runner.spec.contracts import contract_check

        checks.append(_bounded(contract_check(contract, queue), contract, queue))
    return checks


def _bounded(check: Check, contract: Mapping[str, Any], queue: str) -> Check:
    """Have an item that a pattern of the contract comes to no end with fail, as it can't be said to keep it."""
    if "attern" not in str(contract):  # `pattern`, `patternProperties`
        return check
    from runner.process.patterns import EndlessPattern, bounded_matching

    def bounded(item: object) -> object:
        try:
            with bounded_matching():
                return check(item)
        except EndlessPattern as error:
            raise ContractBroken(
                f"queue '{queue}': a pattern of its schema on {safe_repr(item)}: {error}"
            ) from None

    return bounded
