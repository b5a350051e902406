"""What a reader of a leased queue has done, by the ledger: its own counters lag behind a kill, or run ahead of it.

page, as the worker left it    took 64 · done 40     what lay unread in its lease counts as taken
page, settled at its burial    took 43 · done 42     what was done and not counted yet counts as done
"""

from __future__ import annotations

from runner.facts import ItemCleared
from runner.parcels import Lease
from runner.status import StatusPage, Word
from runner.transports.leased_link import Link


def settle(page: StatusPage, link: Link, *, in_hand: bool, condemned: bool) -> None:
    """Correct a dead reader's page. An item that it had `in_hand` was taken; if that is `condemned`, it failed."""
    page.words[Word.DONE] = link.done
    page.words[Word.FAILED] = failed = link.failed + condemned
    page.words[Word.RECEIVED] = link.done + failed + (in_hand and not condemned)


def cleared(lease: Lease, upto: int) -> ItemCleared | None:
    """Say whose deaths an item is not to blame for, if it had been in hand at any and has now gone through."""
    deaths = tuple(past for past in lease.parcel.history if past.died)
    return ItemCleared(lease.reader, deaths) if deaths and upto == lease.parcel.stop else None
