"""How stages and queues hang together, checked before anything starts. Pure: stages in, diagnostics out.

    chef ──► steamer ──► eater       every queue has a writer and a reader, nothing goes round, names differ

Two ends that miss each other by a slip of the finger are one mistake, and get one problem where the file
shows which of the two names is meant. What is `unknown` has a problem already and might be the missing end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from runner.facts import dataclass
from runner.spec.diagnostics import DataPath, Diagnostic, Part, Severity, UnknownPaths
from runner.spec.graph import find_cycle, find_loops, reachable
from runner.spec.model import Role, StageSpec
from runner.spec.resources import QueueSpec
from runner.spec.routes import ELSE
from runner.spec.suggestions import is_affordable, near, nearest, which_one

# A file with more circles than this is generated; whoever wrote the generator needs no more examples.
_MOST_CYCLES = 20

Ends = Mapping[str, list[StageSpec]]
"""Stages by the name of the queue that they read, or that they write."""


def check_topology(
    stages: Sequence[StageSpec],
    queues: Iterable[QueueSpec] = (),
    unknowns: UnknownPaths = UnknownPaths(),  # noqa: B008 - frozen
) -> list[Diagnostic]:
    """Return what is wrong with how `stages` are joined by queues, named, and made to wait for each other."""
    queues = list(queues)
    looped = frozenset(queue.name for queue in queues if queue.loop)
    web = _Web(tuple(stages), _by_queue(stages, "to"), _by_queue(stages, "from"), unknowns, looped)
    declared = {queue.name for queue in queues if queue.declared}
    return [
        *_unmatched_ends(web, declared),
        *_unused_queues(web, declared),
        *_cycles(web),
        *_without_way_back(web),
        *_without_consumer(web),
        *_all_daemons(web),
        *_duplicate_workers(web.stages),
        *_needs(web.stages, queues),
    ]


def _needs(stages: Sequence[StageSpec], queues: Collection[QueueSpec]) -> Sequence[Diagnostic]:
    if not any(stage.needs for stage in stages):
        return ()
    from runner.loader.checks.dependencies import check_needs

    unbounded = {queue.name for queue in queues if queue.maxsize is None}
    return check_needs(stages, unbounded, [queue.name for queue in queues if queue.loop])


@dataclass(frozen=True, slots=True)
class _Web:
    stages: tuple[StageSpec, ...]
    writers: Ends
    readers: Ends
    unknowns: UnknownPaths
    looped: frozenset[str]
    """The queues that may be written back to."""

    def surely_lacks(self, end: str) -> bool:
        """Say whether a stage that has no `end` (`from` or `to`) was surely meant to have none."""
        return all(
            bool(_queues_at(stage, end)) or self.unknowns.knows("stages", stage.name, end)
            for stage in self.stages
        )


def _queues_at(stage: StageSpec, end: str) -> tuple[str, ...]:
    """Name the queues at one end of a stage: at `from` or at `to`."""
    if end == "to":
        return stage.writes
    return () if stage.receives is None else (stage.receives,)


def _by_queue(stages: Iterable[StageSpec], end: str) -> Ends:
    found: dict[str, list[StageSpec]] = defaultdict(list)
    for stage in stages:
        for queue in _queues_at(stage, end):
            found[queue].append(stage)
    return dict(found)


# ── queues ──


@dataclass(frozen=True, slots=True)
class _UnmatchedEnd:
    """One kind of end that some queues lack. The words are those of the messages."""

    queues: Mapping[str, list[StageSpec]]
    """Queues that lack it, with the stages at the other end."""
    code: str
    key: str
    lacking: str
    doing: tuple[str, str]
    """What one stage at the other end does, and what several do."""
    remedy: str

    def message(self, queue: str, stages: Sequence[str]) -> str:
        """Say who meets nobody at a queue."""
        shown = [f"'{stage}'" for stage in stages]
        if len(shown) == 1:
            who = f"stage {shown[0]} {self.doing[0]}"
        else:
            who = f"stages {', '.join(shown[:-1])} and {shown[-1]} {self.doing[1]}"
        return f"{self.lacking} the queue '{queue}', which {who}"


def _unmatched_ends(web: _Web, declared: Collection[str]) -> Iterator[Diagnostic]:
    unread = {name: ends for name, ends in web.writers.items() if name not in web.readers}
    unwritten = {name: ends for name, ends in web.readers.items() if name not in web.writers}
    for_reading = _UnmatchedEnd(
        unread if web.surely_lacks("from") else {},
        "queue-without-reader",
        "to",
        "no stage reads",
        ("writes to", "write to"),
        "let a stage read it with `from: {}`",
    )
    for_writing = _UnmatchedEnd(
        unwritten if web.surely_lacks("to") else {},
        "queue-without-writer",
        "from",
        "no stage writes to",
        ("reads", "read"),
        "let a stage write to it with `to: {}`",
    )
    known = {*declared, *web.writers, *web.readers}
    pairs = _pairs(unread, unwritten, declared) if for_reading.queues and for_writing.queues else {}
    for unmatched in (for_reading, for_writing):
        yield from _of_one_kind(unmatched, pairs, known, declared)


def _pairs(unread: Iterable[str], unwritten: Iterable[str], declared: Collection[str]) -> dict[str, str]:
    """Match names that were probably meant to be one."""
    left, right = list(unread), list(unwritten)
    pairs: dict[str, str] = {}
    if not is_affordable(len(left), len(right)):
        return pairs
    for name in sorted(left, key=lambda name: name in declared):
        meant = nearest(name, [other for other in right if other not in pairs])
        if meant is not None:
            pairs[name], pairs[meant] = meant, name
    return pairs


def _of_one_kind(
    unmatched: _UnmatchedEnd, pairs: Mapping[str, str], known: Collection[str], declared: Collection[str]
) -> Iterator[Diagnostic]:
    affordable = is_affordable(len(unmatched.queues), len(known))
    for name, ends in unmatched.queues.items():
        other = pairs.get(name)
        if other is not None and name in declared and other not in declared:
            continue  # the other one is misspelt, and says so
        alike = [other] if other else near(name, [n for n in known if n != name]) if affordable else []
        help_ = which_one(alike) or unmatched.remedy.format(name)
        # One problem, at the first of them: one word more in the file mends it for all.
        message = unmatched.message(name, [stage.name for stage in ends])
        path, part = place_of(ends[0], unmatched.key, name)
        yield Diagnostic(path, unmatched.code, message, part, help_)


def place_of(stage: StageSpec, key: str, queue: str) -> tuple[DataPath, Part]:
    """Where in the file a stage names a queue at its end `key`, in whichever way."""
    path: DataPath = ("stages", stage.name, key)
    if key == "to" and queue not in stage.targets:
        return ("stages", stage.name, "on_error", "to"), "value"
    if key != "to" or not stage.routes:
        return path, "value"
    number = stage.targets.index(queue)
    route = stage.routes[number]
    if route.condition is not None:
        return (*path, queue), "key"
    return ((*path, ELSE) if route.takes_rest else (*path, number)), "value"


def _unused_queues(web: _Web, declared: Collection[str]) -> Iterator[Diagnostic]:
    if not (web.surely_lacks("from") and web.surely_lacks("to")):
        return
    used = {*web.writers, *web.readers}
    spare = sorted(used - set(declared))
    unused = sorted(set(declared) - used)
    for name in unused:
        question = which_one(near(name, spare) if is_affordable(len(unused), len(spare)) else [])
        help_ = "remove it, or let stages name it in `from` and `to`"
        if question is not None:
            help_ = f"{question} Stages use that one"
        yield Diagnostic(("queues", name), "unused-queue", f"no stage uses the queue '{name}'", "key", help_)


# ── circles and dead ends ──


def _cycles(web: _Web) -> Iterator[Diagnostic]:
    graph = _predecessors(web)
    order = {("stage", stage.name): number for number, stage in enumerate(web.stages)}
    for _ in range(_MOST_CYCLES):
        path = find_cycle(graph, order)
        if not path:
            return
        yield _cycle(path)
        for node in path:
            del graph[node]


Node = tuple[str, str]


def _predecessors(web: _Web) -> dict[Node, list[Node]]:
    """Return the graph of stages and queues. Were queues no nodes, a crowd at each end would square it."""
    graph: dict[Node, list[Node]] = {}
    for stage in web.stages:
        graph[("stage", stage.name)] = [] if stage.receives is None else [("queue", stage.receives)]
    for queue in {**web.readers, **web.writers}.keys() - web.looped:
        graph[("queue", queue)] = [("stage", stage.name) for stage in web.writers.get(queue, ())]
    return graph


def _cycle(path: Sequence[Node]) -> Diagnostic:
    names = [name for _, name in path]
    last = path[-2][1]
    message = f"items would go round in a circle: {' -> '.join([*names, names[0]])}"
    queue = next(name for kind, name in path if kind == "queue")
    help_ = (
        "they would wait for each other for ever: send the items of one of them elsewhere, or say at the queue that is "
        f"written back to that this is meant: `queues: {{{queue}: {{loop: true}}}}`"
    )
    return Diagnostic(("stages", last, "to"), "cycle", message, help=help_)


def _without_way_back(web: _Web) -> Iterator[Diagnostic]:
    if not (web.surely_lacks("from") and web.surely_lacks("to")):
        return
    closed = {queue for _, queue in find_loops(web.stages, web.looped).back}
    for queue in sorted(web.looped - closed):
        if queue in web.readers and queue in web.writers:
            message = f"nothing goes round: no stage behind the queue '{queue}' writes back to it"
            help_ = f"leave it out, or let a stage that its items get to write `to: {queue}`"
            path = ("queues", queue, "loop")
            yield Diagnostic(path, "unused-loop", message, "key", help_, severity=Severity.WARNING)


def _without_consumer(web: _Web) -> Iterator[Diagnostic]:
    """A producer that feeds a circle only. (A queue without a reader on the way is reported where it is.)"""
    if not web.surely_lacks("from"):
        return
    ends_well = _queues_that_end(web)
    for stage in web.stages:
        if stage.role is Role.PRODUCER and ends_well.isdisjoint(stage.targets):
            message = (
                f"what stage '{stage.name}' puts on '{', '.join(stage.targets)}' can never reach a consumer"
            )
            help_ = "lead a queue out of the circle to a stage that has only `from`"
            yield Diagnostic(("stages", stage.name, "to"), "no-consumer", message, help=help_)


def _queues_that_end(web: _Web) -> set[str]:
    """Return the queues from which items get to a consumer, or to a queue that nobody reads."""
    ending = [stage.receives for stage in web.stages if stage.role is Role.CONSUMER and stage.receives]
    unread = [queue for queue in web.writers if queue not in web.readers]
    return reachable(
        [*ending, *unread, *web.looped],
        lambda queue: [stage.receives for stage in web.writers.get(queue, ()) if stage.receives],
    )


# ── the stages themselves ──


def _all_daemons(web: _Web) -> Iterator[Diagnostic]:
    sure = all(stage.daemon and web.unknowns.knows("stages", stage.name, "daemon") for stage in web.stages)
    if web.stages and sure:
        message = "every stage is daemonic, so nothing keeps the run alive"
        help_ = "leave out `daemon: true` at the stage whose work the run is for"
        yield Diagnostic(("stages", web.stages[0].name, "daemon"), "all-daemons", message, help=help_)


def _duplicate_workers(stages: Iterable[StageSpec]) -> Iterator[Diagnostic]:
    owners: dict[str, str] = {}
    for stage in stages:
        for number, worker in enumerate(stage.workers):
            owner = owners.setdefault(worker, stage.name)
            if owner != stage.name:
                message = f"stage '{stage.name}' has a worker '{worker}', and so has stage '{owner}'"
                path = ("stages", stage.name, "names", number)
                yield Diagnostic(path, "duplicate-worker", message, help="give one of them another name")
