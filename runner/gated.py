"""The book of a queue with rules of its own: bounded by bytes, dropping what finds no room, a line per shard. Pure.

    offer ──► parked ──gate──► line of shard 0 ──► its reader
                 │   └───────► line of shard 1 ──► its reader      one line, for all readers, where nothing is sharded
                 └── no room: wait │ drop the newest │ drop the oldest │ fail

Every writer asks: it sends some items at a time, and waits until these are in. So no leave to put is out, and what
counts is what is there. A line (lines.py) hands out; what belongs to one queue as a whole is here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from runner.credit import PATIENCE, Granted
from runner.ledger import Account
from runner.lines import Line, line_of
from runner.parcels import Accepted, Frame, HandOver, Lease, Parcel
from runner.spec import WhenFull


@dataclass(frozen=True, slots=True)
class Cargo:
    """Items of one shard that were put together."""

    shard: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Rules:
    """What one queue allows."""

    maxsize: int | None = None
    max_bytes: int | None = None
    when_full: WhenFull = WhenFull.BLOCK
    readers: tuple[str, ...] = ()
    """The reader of each shard; none where any reader may take any item."""
    in_order: bool = False
    """Its reader keeps the order of items, and must hear of those that are lost."""
    one_by_one: bool = False
    """A reader has one item at a time, and one that failed holds up those behind it."""


@dataclass(slots=True)
class Offer:
    """What a writer has put at once. `answered`: it was told already that it may go on."""

    writer: str
    cargo: Sequence[Cargo]
    since: float
    answered: bool = False
    left: deque[tuple[int, Parcel]] = field(default_factory=deque)
    """By shard, what is not in the queue yet."""

    @property
    def items(self) -> int:
        """How many there are."""
        return sum(each.frame.count for each in self.cargo)

    @property
    def weight(self) -> int:
        """Their bytes."""
        return sum(each.frame.weight for each in self.cargo)


class GatedBook:
    """The account of one queue, and who gets what next. Each shard is first in, first out, also after a death."""

    shares = False
    """Writers are granted no leave: each waits until what it put is `Accepted`."""

    def __init__(self, queue: str, rules: Rules) -> None:
        self.name = queue
        self._rules = rules
        self._shard_of = {reader: shard for shard, reader in enumerate(rules.readers)}
        self._lines = [
            Line(queue, shard, waits_for_retries=rules.one_by_one)
            for shard in range(max(1, len(rules.readers)))
        ]
        self._parked: deque[Offer] = deque()
        self._decisions: list[Accepted] = []
        self._positions = self._turned_away = self._peak = self._peak_bytes = 0
        self.dropped_for_room = 0
        """Items that found no room, or had to make some."""
        self._full_since: float | None = None
        self._full_seconds = 0.0
        self.lost: list[tuple[int, int]] = []
        """Where order is kept, the positions of these: first, and behind the last. The caller's to empty."""
        self.overflowed_by: str | None = None
        """The writer whose item found no room where that is a failure."""

    # Facts.

    def offer(self, offer: Offer, now: float) -> None:
        """A writer puts items. It is `Accepted` when none of them waits for room, in the order of all offers."""
        firsts = accumulate((each.frame.count for each in offer.cargo), initial=self._positions)
        for first, each in zip(firsts, offer.cargo, strict=False):
            frame = Frame(each.frame.payload, each.frame.count, each.frame.weight, first)
            offer.left.append((each.shard, Parcel(frame, 0, frame.count)))
        self._positions += offer.items
        self._parked.append(offer)
        self._admit(now)

    def want(self, reader: str, most: int, now: float) -> None:
        """A reader may hold up to `most` items at once from now on; 0 while it shall get none."""
        self._line(reader).want(reader, min(most, 1) if self._rules.one_by_one else most, now)
        self._admit(now)

    def takes_more(self, reader: str, taken: int, now: float) -> None:
        """A reader that drives its queue has taken `taken` items, none done yet, and waits for another."""
        self._line(reader).takes_more(reader, taken, now)
        self._admit(now)

    def acked(self, number: int, upto: int, now: float, partial: int = 0) -> None:
        """Items of a lease before `upto` are done, and `partial` outputs of item `upto` are taken care of."""
        self._lines[line_of(number)].acked(number, upto, now, partial)
        self._admit(now)

    def failed(self, number: int, now: float) -> None:
        """The item in hand of a lease has failed for good: it is dropped."""
        self._lines[line_of(number)].failed(number, now)
        self._admit(now)

    def retry(self, number: int, now: float, due: float, past: object = None) -> None:
        """The item in hand of a lease has failed: it is handed out again from `due` on."""
        self._lines[line_of(number)].retry(number, now, due, past)
        self._admit(now)

    def condemn(self, number: int, now: float) -> None:
        """The item in hand of a lease has failed for good, and is kept as a dead letter."""
        self._lines[line_of(number)].condemn(number, now)
        self._admit(now)

    def died(
        self,
        reader: str,
        suspect: tuple[int, int] | None,
        now: float,
        past: object = None,
        *,
        condemned: bool = False,
    ) -> list[Lease]:
        """A reader is gone: what it held goes back to the front of its line, in order."""
        lost = self._line(reader).died(reader, suspect, now, past, condemned=condemned)
        self._admit(now)
        return lost

    def writer(self, name: str, now: float) -> None:
        """A writer exists. It will ask."""

    def writer_gone(self, name: str, now: float) -> None:  # noqa: ARG002 - every book hears when
        """A writer has ended: what it offered stays, and its successor is not told that it is in."""
        for offer in self._parked:
            offer.answered |= offer.writer == name

    def window(self, limit: float, now: float) -> None:
        """Hand out nothing from the position `limit` on."""
        for line in self._lines:
            line.limit = limit
        self.move(now)

    def move(self, now: float) -> None:
        """Let in what there is room for and hand out what is wanted; called also when `due` has come."""
        for line in self._lines:
            line.move(now)
        self._admit(now)

    # Decisions.

    def decide(self) -> list[Accepted | Granted | HandOver]:
        """Return what follows from the facts so far; each decision once."""
        decisions: list[Accepted | Granted | HandOver] = [*self._decisions]
        self._decisions.clear()
        for line in self._lines:
            decisions += line.decide()
        return decisions

    @property
    def due(self) -> float | None:
        """When `move` must be called although nothing has happened; None if never."""
        dues = [line.due for line in self._lines]
        if self._parked and self._room_for(self._parked[0].left[0][1]):
            dues.append(self._parked[0].since + PATIENCE)
        return min((due for due in dues if due is not None), default=None)

    def account(self) -> Account:
        """Take stock."""
        lines = [line.account() for line in self._lines]
        return Account(
            queue=self.name,
            maxsize=self._rules.maxsize,
            put=sum(line.put for line in lines) + self._turned_away,
            waiting=sum(line.waiting for line in lines),
            leased=sum(line.leased for line in lines),
            done=sum(line.done for line in lines),
            dropped=sum(line.dropped for line in lines) + self._turned_away,
            dead_lettered=sum(line.dead_lettered for line in lines),
            peak=self._peak,
            max_bytes=self._rules.max_bytes,
            bytes=sum(line.weight for line in self._lines),
            peak_bytes=self._peak_bytes,
            full_seconds=self._full_seconds,
            held_back=not self._parked
            and any(line.held_back for line in lines)
            and all(line.held_back or line.settled for line in lines),
        )

    def outside(self, writer: str) -> int:
        """Items that a writer has put and that found no room yet."""
        offers = (offer for offer in self._parked if offer.writer == writer)
        return sum(len(parcel) for offer in offers for _, parcel in offer.left)

    @property
    def settled(self) -> bool:
        """Every item that was put has come to an end, and none is parked."""
        return not self._parked and all(line.settled for line in self._lines)

    @property
    def room(self) -> int | None:
        """Items that may still be put; None where nothing bounds them."""
        free = self._free_items if self._free_bytes > 0 else 0
        return None if free == math.inf else int(free)

    def room_for(self, writer: str) -> int:  # noqa: ARG002 - no writer has room of its own here
        """Items that a writer may put at this moment, where there is a bound."""
        return self.room or 0

    def lease(self, number: int) -> Lease:
        """Return a lease that has not ended. Raises `MprunInternalError` if there is none of this number."""
        return self._lines[line_of(number)].lease(number)

    def leases_of(self, reader: str) -> list[Lease]:
        """What a reader holds, oldest first."""
        return self._line(reader).leases_of(reader)

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the parcels disagree."""
        for line in self._lines:
            line.verify()

    # How it moves.

    def _line(self, reader: str) -> Line:
        return self._lines[self._shard_of.get(reader, 0)]

    @property
    def _free_items(self) -> float:
        maxsize = self._rules.maxsize
        return math.inf if maxsize is None else maxsize - sum(line.occupied for line in self._lines)

    @property
    def _free_bytes(self) -> float:
        most = self._rules.max_bytes
        return math.inf if most is None else most - sum(line.weight for line in self._lines)

    def _admit(self, now: float) -> None:
        while self._parked and self._let_in(self._parked[0], now):
            pass
        self._note_fullness(now)

    def _let_in(self, offer: Offer, now: float) -> bool:
        """Let in what may go in of the oldest offer's first part; False if some of it stays outside."""
        shard, parcel = offer.left[0]
        fitting = self._room_for(parcel)
        if fitting < len(parcel):
            match self._rules.when_full:
                case WhenFull.BLOCK | WhenFull.FAIL:
                    self._let_in_some(offer, fitting, now)
                    return False
                case WhenFull.DROP_NEWEST:
                    self._turn_away(parcel.after(parcel.start + fitting))
                    parcel = parcel.upto(parcel.start + fitting)
                case WhenFull.DROP_OLDEST:
                    parcel = self._in_place_of_older(parcel)
        self._enter(shard, parcel, now)
        offer.left.popleft()
        if not offer.left:
            self._parked.popleft()
            self._decisions += [] if offer.answered else [Accepted(offer.writer)]
        return True

    def _let_in_some(self, offer: Offer, fitting: int, now: float) -> None:
        """The rest waits, or that there is one ends the run."""
        if self._rules.when_full is WhenFull.FAIL:
            self.overflowed_by = self.overflowed_by or offer.writer
        elif now < offer.since + PATIENCE:
            return  # a queue that was full would feed a quick reader item by item
        shard, parcel = offer.left[0]
        self._enter(shard, parcel.upto(parcel.start + fitting), now)
        offer.left[0] = (shard, parcel.after(parcel.start + fitting))

    def _in_place_of_older(self, parcel: Parcel) -> Parcel:
        """Drop items until a parcel fits, its own oldest last of all; return what of it may go in."""
        while self._room_for(parcel) < len(parcel) and self._make_room(parcel):
            pass
        older = parcel.stop - self._room_for(parcel)
        self._turn_away(parcel.upto(older))
        return parcel.after(older)

    def _room_for(self, parcel: Parcel) -> int:
        """How many items of a parcel may go in."""
        items, weight = self._free_items, self._free_bytes
        if items < 1:
            return 0
        fitting = min(int(min(items, len(parcel))), _lighter_than(weight, parcel))
        return 1 if fitting == 0 and self._would_wait_for_ever else fitting

    @property
    def _would_wait_for_ever(self) -> bool:
        """Nobody has anything, or whoever has it waits for more: what does not fit now never would."""
        return all(line.settled or line.account().held_back for line in self._lines)

    def _enter(self, shard: int, parcel: Parcel, now: float) -> None:
        if not parcel:
            return
        self._lines[shard].enter(parcel, now)
        self._peak = max(self._peak, sum(line.waiting for line in self._lines))
        self._peak_bytes = max(self._peak_bytes, sum(line.weight for line in self._lines))

    def _make_room(self, parcel: Parcel) -> bool:
        """Drop the oldest of the line that most wait in; False if nobody waits in any."""
        longest = max(self._lines, key=lambda line: line.waiting)
        lacking = len(parcel) - self._free_items
        dropped = longest.drop_oldest(int(lacking) if lacking > 0 else 1)
        if dropped is not None:
            self._note_lost(dropped)
        return dropped is not None

    def _turn_away(self, parcel: Parcel) -> None:
        self._turned_away += len(parcel)
        if parcel:
            self._note_lost(parcel)

    def _note_lost(self, parcel: Parcel) -> None:
        self.dropped_for_room += len(parcel)
        if self._rules.in_order:
            self.lost.append((parcel.position, parcel.position + len(parcel)))

    def _note_fullness(self, now: float) -> None:
        if self._full_since is not None:
            self._full_seconds += now - self._full_since
        self._full_since = now if self._parked else None


def _lighter_than(weight: float, parcel: Parcel) -> int:
    """How many items in a row of a parcel surely weigh no more than `weight` together."""
    frame = parcel.frame
    return (
        len(parcel) if parcel.weight <= weight else max(0, int(weight) * frame.count // max(1, frame.weight))
    )
