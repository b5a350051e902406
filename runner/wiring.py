"""How stages and queues hang together, checked before anything starts. Pure: stages in, findings out.

    chef ──► steamer ──► eater       every queue has a writer and a reader, nothing goes round, names differ

Two ends that miss each other by a slip of the finger are one mistake, and get one problem where the file
shows which of the two names is meant. What is `spoilt` has a problem already and might be the missing end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from runner.findings import Finding, Spoilt
from runner.problems import nearest
from runner.spec import QueueSpec, Role, StageSpec
from runner.wiring_needs import check_needs

# A file with more circles than this is generated; whoever wrote the generator needs no more examples.
_MOST_CYCLES = 20
# Comparing names costs some 10 µs a pair; past this many pairs a check would be felt.
_MOST_COMPARISONS = 50_000

Ends = Mapping[str, list[StageSpec]]
"""Stages by the name of the queue that they read, or that they write."""


def check_wiring(
    stages: Sequence[StageSpec],
    queues: Iterable[QueueSpec] = (),
    spoilt: Spoilt = Spoilt(),  # noqa: B008 - frozen
) -> list[Finding]:
    """Return what is wrong with how `stages` are joined by queues, named, and made to wait for each other."""
    queues = list(queues)
    web = _Web(tuple(stages), _by_queue(stages, "sends"), _by_queue(stages, "receives"), spoilt)
    declared = {queue.name for queue in queues if queue.declared}
    return [
        *_loose_ends(web, declared),
        *_unused_queues(web, declared),
        *_cycles(web),
        *_without_consumer(web),
        *_all_daemons(web),
        *_duplicate_workers(web.stages),
        *check_needs(web.stages, {queue.name for queue in queues if queue.maxsize is None}),
    ]


@dataclass(frozen=True, slots=True)
class _Web:
    stages: tuple[StageSpec, ...]
    writers: Ends
    readers: Ends
    spoilt: Spoilt

    def surely_lacks(self, end: str) -> bool:
        """Say whether a stage that has no `end` (`from` or `to`) was surely meant to have none."""
        ends = {"from": "receives", "to": "sends"}
        return all(
            getattr(stage, ends[end]) is not None or self.spoilt.knows("stages", stage.name, end)
            for stage in self.stages
        )


def _by_queue(stages: Iterable[StageSpec], end: str) -> Ends:
    found: dict[str, list[StageSpec]] = defaultdict(list)
    for stage in stages:
        if getattr(stage, end) is not None:
            found[getattr(stage, end)].append(stage)
    return dict(found)


# ── queues ──


@dataclass(frozen=True, slots=True)
class _Loose:
    """One kind of end that some queues lack. The words are those of the messages."""

    queues: Mapping[str, list[StageSpec]]
    """Queues that lack it, with the stages at the other end."""
    code: str
    key: str
    trouble: str
    remedy: str


def _loose_ends(web: _Web, declared: Collection[str]) -> Iterator[Finding]:
    unread = {name: ends for name, ends in web.writers.items() if name not in web.readers}
    unwritten = {name: ends for name, ends in web.readers.items() if name not in web.writers}
    for_reading = _Loose(
        unread if web.surely_lacks("from") else {},
        "queue-without-reader",
        "to",
        "no stage reads the queue '{}', which stage '{}' writes to",
        "let a stage read it with `from: {}`",
    )
    for_writing = _Loose(
        unwritten if web.surely_lacks("to") else {},
        "queue-without-writer",
        "from",
        "no stage writes to the queue '{}', which stage '{}' reads",
        "let a stage write to it with `to: {}`",
    )
    known = {*declared, *web.writers, *web.readers}
    pairs = _pairs(unread, unwritten, declared) if for_reading.queues and for_writing.queues else {}
    for loose in (for_reading, for_writing):
        yield from _of_one_kind(loose, pairs, known, declared)


def _pairs(unread: Iterable[str], unwritten: Iterable[str], declared: Collection[str]) -> dict[str, str]:
    """Match names that were probably meant to be one."""
    left, right = list(unread), list(unwritten)
    pairs: dict[str, str] = {}
    if len(left) * len(right) > _MOST_COMPARISONS:
        return pairs
    for name in sorted(left, key=lambda name: name in declared):
        meant = nearest(name, [other for other in right if other not in pairs])
        if meant is not None:
            pairs[name], pairs[meant] = meant, name
    return pairs


def _of_one_kind(
    loose: _Loose, pairs: Mapping[str, str], known: Collection[str], declared: Collection[str]
) -> Iterator[Finding]:
    affordable = len(loose.queues) * len(known) <= _MOST_COMPARISONS
    for name, ends in loose.queues.items():
        other = pairs.get(name)
        if other is not None and name in declared and other not in declared:
            continue  # the other one is misspelt, and says so
        meant = other or (nearest(name, [n for n in known if n != name]) if affordable else None)
        help_ = loose.remedy.format(name) if meant is None else f"did you mean '{meant}'?"
        for stage in ends:
            message = loose.trouble.format(name, stage.name)
            yield Finding(("stages", stage.name, loose.key), loose.code, message, help=help_)


def _unused_queues(web: _Web, declared: Collection[str]) -> Iterator[Finding]:
    if not (web.surely_lacks("from") and web.surely_lacks("to")):
        return
    used = {*web.writers, *web.readers}
    spare = sorted(used - set(declared))
    unused = sorted(set(declared) - used)
    for name in unused:
        meant = nearest(name, spare) if len(unused) * len(spare) <= _MOST_COMPARISONS else None
        help_ = "remove it, or let stages name it in `from` and `to`"
        if meant is not None:
            help_ = f"did you mean '{meant}'? Stages use that one"
        yield Finding(("queues", name), "unused-queue", f"no stage uses the queue '{name}'", "key", help_)


# ── circles and dead ends ──


def _cycles(web: _Web) -> Iterator[Finding]:
    graph = _predecessors(web)
    order = {("stage", stage.name): number for number, stage in enumerate(web.stages)}
    for _ in range(_MOST_CYCLES):
        circle = _find_circle(graph)
        if not circle:
            return
        start = circle.index(min((node for node in circle if node in order), key=order.__getitem__))
        path = [*circle[start:], *circle[:start]]
        yield _cycle(path)
        for node in path:
            del graph[node]


Node = tuple[str, str]


def _predecessors(web: _Web) -> dict[Node, list[Node]]:
    """Return the graph of stages and queues. Were queues no nodes, a crowd at each end would square it."""
    graph: dict[Node, list[Node]] = {}
    for stage in web.stages:
        graph[("stage", stage.name)] = [] if stage.receives is None else [("queue", stage.receives)]
    for queue in {**web.readers, **web.writers}:
        graph[("queue", queue)] = [("stage", stage.name) for stage in web.writers.get(queue, ())]
    return graph


def _find_circle(graph: Mapping[Node, list[Node]]) -> list[Node]:
    """Return the nodes of one circle in the order in which items would go round; empty if there is none."""
    try:
        TopologicalSorter(
            {node: [b for b in before if b in graph] for node, before in graph.items()}
        ).prepare()
    except CycleError as error:
        return list(error.args[1][:-1])
    return []


def _cycle(path: Sequence[Node]) -> Finding:
    names = [name for _, name in path]
    last = path[-2][1]
    message = f"items would go round in a circle: {' -> '.join([*names, names[0]])}"
    help_ = "the stages of a circle wait for each other for ever; send the items of one of them elsewhere"
    return Finding(("stages", last, "to"), "cycle", message, help=help_)


def _without_consumer(web: _Web) -> Iterator[Finding]:
    """A producer that feeds a circle only. (A queue without a reader on the way is reported where it is.)"""
    if not web.surely_lacks("from"):
        return
    ends_well = _queues_that_end(web)
    for stage in web.stages:
        if stage.role is Role.PRODUCER and stage.sends not in ends_well:
            message = f"what stage '{stage.name}' puts on '{stage.sends}' can never reach a consumer"
            help_ = "lead a queue out of the circle to a stage that has only `from`"
            yield Finding(("stages", stage.name, "to"), "no-consumer", message, help=help_)


def _queues_that_end(web: _Web) -> set[str]:
    """Return the queues from which items get to a consumer, or to a queue that nobody reads."""
    ending = {
        stage.receives for stage in web.stages if stage.role is Role.CONSUMER and stage.receives is not None
    }
    todo = [*ending, *(queue for queue in web.writers if queue not in web.readers)]
    ends_well = set(todo)
    while todo:
        for stage in web.writers.get(todo.pop(), ()):
            if stage.receives is not None and stage.receives not in ends_well:
                ends_well.add(stage.receives)
                todo.append(stage.receives)
    return ends_well


# ── the stages themselves ──


def _all_daemons(web: _Web) -> Iterator[Finding]:
    sure = all(stage.daemon and web.spoilt.knows("stages", stage.name, "daemon") for stage in web.stages)
    if web.stages and sure:
        message = "every stage is daemonic, so nothing keeps the run alive"
        help_ = "leave out `daemon: true` at the stage whose work the run is for"
        yield Finding(("stages", web.stages[0].name, "daemon"), "all-daemons", message, help=help_)


def _duplicate_workers(stages: Iterable[StageSpec]) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for stage in stages:
        for number, worker in enumerate(stage.workers):
            owner = owners.setdefault(worker, stage.name)
            if owner != stage.name:
                message = f"stage '{stage.name}' has a worker '{worker}', and so has stage '{owner}'"
                path = ("stages", stage.name, "names", number)
                yield Finding(path, "duplicate-worker", message, help="give one of them another name")
