"""What workers have sent to be kept for whoever takes their place: the states of handlers, the places of sources.

CommitMessage ──► keep ──► of(worker) ──► the next generation
                   └─ every few seconds, and at the worker's end ──► StateKept
PlaceMessage ──► note ──► begin(worker) ──► the next generation, at a place behind which no more lies than is in
SampleMessage ──► sample ───┘           └──► compares what it makes again with what its predecessors had made
                  snapshot ──► the cut ──► restore ──► begin(worker), when another runner goes on with the run
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field

from runner.facts import dataclass
from runner.ipc.messages import Fact, StateKept
from runner.ipc.stream import PlaceMessage, SampleMessage
from runner.ledger.uniqueness import SeenKeys
from runner.transports.cut import SampledItem, WriterCut

_QUIET = 5.0
"""Seconds between two words about the state of one worker."""
MOST_SAMPLES = 64
"""Items that are kept of each producer, to see whether it makes the same again."""


@dataclass(slots=True)
class _Kept:
    state: bytes
    untold: int = 0
    """How often it was kept since that was told."""
    told_at: float | None = None


class KeptStates:
    """The last state of each worker. Nobody unpickles one here."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._finished: set[str] = set()
        self._spent: dict[str, bytes] = {}
        """What workers had kept that have closed, and whose place nobody takes in this run: their last states."""

    def of(self, worker: str) -> bytes:
        """Return the state that a worker of this name begins with; empty for that of a new one."""
        return self._kept[worker].state if worker in self._kept else b""

    def snapshot(self) -> dict[str, bytes]:
        """
        Return the state that each worker would begin with under another runner.

        One that closes while the run is being ended has not heard of all its items: it goes on with its state, too.
        """
        return self._spent | {worker: kept.state for worker, kept in self._kept.items()}

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Begin with the states of an earlier runner's workers."""
        self._kept.update({worker: _Kept(state) for worker, state in states.items()})

    def keep(self, worker: str, state: bytes, now: float, facts: list[Fact]) -> None:
        """A worker has sent its state. That is a fact, but not each time."""
        kept = self._kept.setdefault(worker, _Kept(state))
        kept.state = state
        kept.untold += 1
        if kept.told_at is None or now >= kept.told_at + _QUIET:
            kept.told_at = now
            _tell(worker, kept, facts)

    def finished(self, worker: str) -> None:
        """A worker has closed: what came of its state is the handler's."""
        self._finished.add(worker)

    def exited(self, worker: str, code: int, facts: list[Fact], *, lasts: bool) -> None:
        """
        A worker is gone. Where it had finished, and ended well, another of its name begins anew.

        `lasts`: it is a place in a file or the like, and whoever comes later goes on there.
        """
        kept = self._kept.get(worker)
        if kept is not None and kept.untold:
            _tell(worker, kept, facts)
        if worker in self._finished and code == 0 and not lasts and kept is not None:
            self._spent[worker] = self._kept.pop(worker).state
        self._finished.discard(worker)


SEEN = "seen:"
"""Before the name of a queue: the keys that were put there, a segment each, and how many items had one of these."""


def keys_as_states(queue: str, seen: SeenKeys) -> dict[str, bytes]:
    """Return what is known of a queue's keys, as a cut has it: of segments that are full nothing ever changes."""
    segments = {f"{SEEN}{number}:{queue}": body for number, body in enumerate(seen.segments())}
    return {**segments, f"{SEEN}duplicates:{queue}": str(seen.duplicates).encode()}


def restore_keys(queue: str, seen: SeenKeys, states: Mapping[str, bytes]) -> None:
    """Begin with what another runner had seen."""
    segments: list[bytes] = []
    while (body := states.get(f"{SEEN}{len(segments)}:{queue}")) is not None:
        segments.append(body)
    seen.restore(segments, int(states.get(f"{SEEN}duplicates:{queue}", b"0")))


def _tell(worker: str, kept: _Kept, facts: list[Fact]) -> None:
    facts.append(StateKept(worker, kept.untold, len(kept.state)))
    kept.untold = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """What a source has to know, to make again the items from number `start` on."""

    start: int
    state: bytes


@dataclass(slots=True)
class _Samples:
    """The first of the items that were shown, the last, and some between, about as far from each other."""

    kept: list[SampledItem] = field(default_factory=list)
    gap: int = 1

    def add(self, item: SampledItem) -> None:
        kept = self.kept
        if len(kept) > 1 and kept[-1].index - kept[-2].index < self.gap:
            kept[-1] = item
            return
        kept.append(item)
        if len(kept) > MOST_SAMPLES:
            del kept[1:-1:2]
            self.gap = max(1, (kept[-1].index - kept[0].index) // len(kept))


class SourcePlaces:
    """How many items of each source are in, and the last places that it has noted. Nobody reads one here.

    A source notes a place before it has put what comes of it. So several are kept: those behind what is in, too.
    """

    def __init__(self) -> None:
        self._in: Counter[str] = Counter()
        """Items of each that are in, or could not be put, over all its generations."""
        self._noted: dict[str, list[_Place]] = {}
        self._samples: dict[str, _Samples] = {}
        self.resumed = False
        """Whether another runner has begun with these."""

    def put(self, worker: str, count: int) -> None:
        """So many more items are in."""
        self._in[worker] += count

    def take(self, worker: str, message: PlaceMessage | SampleMessage) -> None:
        """Take in what a source has said."""
        body = bytes(message.body)
        if isinstance(message, PlaceMessage):
            self.note(worker, message.start, body)
        elif message.is_pickled:
            self.sample(worker, SampledItem(message.index, body))
        else:
            self.sample(worker, SampledItem(message.index, shown=body.decode(errors="replace")))

    def note(self, worker: str, start: int, state: bytes) -> None:
        """A source is at a place behind which so many items lie."""
        noted = self._noted.setdefault(worker, [])
        noted.append(_Place(start, state))
        while len(noted) > 1 and noted[1].start <= self._in[worker]:
            del noted[0]

    def sample(self, worker: str, item: SampledItem) -> None:
        """Keep what an item was, or forget one for it. They come in their order, since their worker says when."""
        samples = self._samples.setdefault(worker, _Samples())
        if not samples.kept or samples.kept[-1].index < item.index:
            samples.add(item)

    def begin(self, worker: str) -> WriterCut:
        """
        Return how many items are in, and the state of the last place behind which no more lie; empty where none is.

        That is where another generation begins. What its predecessor had noted beyond is void.
        """
        offset = self._in[worker]
        noted = self._noted.get(worker, [])
        noted[:] = [place for place in noted if place.start <= offset]
        if (samples := self._samples.get(worker)) is not None:
            samples.kept[:] = [item for item in samples.kept if item.index < offset]
        return self._cut_of(worker)

    def snapshot(self) -> tuple[WriterCut, ...]:
        """Return how far each source is."""
        return tuple(map(self._cut_of, sorted(self._in.keys() | self._noted.keys())))

    def restore(self, writers: Iterable[WriterCut]) -> None:
        """Begin with what another runner had."""
        self.resumed = True
        for writer in writers:
            self._in[writer.worker] = writer.put
            if writer.place:
                self._noted[writer.worker] = [_Place(writer.start, writer.place)]
            samples = self._samples[writer.worker] = _Samples()
            for item in writer.samples:
                samples.add(item)

    def _cut_of(self, worker: str) -> WriterCut:
        offset = self._in[worker]
        places = [place for place in self._noted.get(worker, ()) if place.start <= offset]
        place = places[-1] if places else _Place(0, b"")
        samples = self._samples.get(worker, _Samples()).kept
        kept = tuple(item for item in samples if item.index < offset)
        return WriterCut(worker, offset, place.start, place.state, kept)
