"""What a run has come to, once nobody is left to change it: the ledger, the letters, the budget of errors."""

from __future__ import annotations

from runner import verdict
from runner.casualties import Casualties
from runner.errors import MprunInternalError
from runner.feeding import Feeder
from runner.spec import Limits
from runner.stock import Stock
from runner.transports.base import Transport
from runner.verdict import Cause


def settle(
    cause: Cause | None,
    transport: Transport,
    stock: Stock,
    casualties: Casualties,
    limits: Limits,
    feeder: Feeder | None,
) -> Cause | None:
    """Return why the run is not simply done: `cause` if there is one, else what the books say; a bug before all."""
    if feeder is not None:
        feeder.wrap_up()
    lost = casualties.letters.lost()
    try:
        transport.verify()
    except MprunInternalError as error:
        return verdict.internal(str(error))
    if cause is None and feeder is not None:
        cause = feeder.verdict()
    return cause or verdict.unaccounted(stock.accounts()) or lost or over_budget(stock, casualties, limits)


def over_budget(stock: Stock, casualties: Casualties, limits: Limits) -> Cause | None:
    """Say if more items have failed than `limits.max_errors` allows."""
    return verdict.over_budget(casualties.shares(stock.accounts()), limits.max_errors)
