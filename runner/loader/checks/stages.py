"""What stages and queues ask for and can't have, found before anything starts. Pure: specs in, diagnostics out.

check_flow       `max_bytes`, `when_full`, `shard_by`, `order`: all need the ledger to see every item
check_policy     keys about failures that make no sense for a stage's role, whatever the transport
check_effect     keys without effect where they stand, since another beside them takes it away: what was written counts,
                 not what is meant by default, so this one looks at the data
check_turns      stages whose workers run one after the other, and the locks that they hold in turns
check_sentinels  marks at the end of queues that nobody would see
check_defaults   defaults of jobs, where there are stages
check_servers    stages that listen can't take turns, since a server never ends, or share a port

`may_ask` and `may_drive` tell what only the handlers' source knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from runner.facts import dataclass
from runner.handlers.kinds import Address
from runner.handlers.registry import find_kind, is_built_in, listens_at
from runner.spec.diagnostics import DataPath, Diagnostic, Severity, UnknownPaths
from runner.spec.failures import OnError, RestartOn
from runner.spec.model import Role, StageSpec, StartMode
from runner.spec.resources import LockSpec, QueueSpec, WhenFull
from runner.spec.source.positions import SourceDocument
from runner.spec.suggestions import did_you_mean, nearest
from runner.units import duration


def check_policy(
    stages: Iterable[StageSpec],
    unknowns: UnknownPaths = UnknownPaths(),  # noqa: B008 - frozen
) -> list[Diagnostic]:
    """Return what stages ask for that no worker of theirs could make use of."""
    checks = (_endless, _not_a_producer, _not_a_reader, _not_beside, _repeats)
    found = [
        diagnostic
        for stage in stages
        for check in checks
        for diagnostic in check(stage)
        if diagnostic.code not in (_REPEATED, _UNSHARED) or unknowns.knows_whole("stages", stage.name, "run")
    ]
    ends = ("from", "to")
    return [
        each
        for each in found
        if all(unknowns.knows(*each.path[:2], key) for key in (*ends, str(each.path[2])))
    ]


def _endless(stage: StageSpec) -> Iterator[Diagnostic]:
    if stage.restart is None or stage.restart.on is not RestartOn.ALWAYS or stage.receives is not None:
        return
    message = (
        f"stage '{stage.name}' reads no queue, so it has no end of a stream after which it may stay ended"
    )
    yield Diagnostic(("stages", stage.name, "restart"), "restart-for-ever", message, help="write `crash`")


def _not_a_producer(stage: StageSpec) -> Iterator[Diagnostic]:
    if stage.role is Role.PRODUCER:
        return
    given = {"deterministic": stage.deterministic, "total": stage.total is not None}
    for key in (key for key, is_given in given.items() if is_given):
        message = f"'{key}' is for producers, and stage '{stage.name}' is a {stage.role}"
        yield Diagnostic(("stages", stage.name, key), "not-a-producer", message, "key", "leave it out")


def _not_a_reader(stage: StageSpec) -> Iterator[Diagnostic]:
    if stage.batch is not None and stage.receives is None:
        message = f"'batch' is for stages that read a queue, and stage '{stage.name}' is a {stage.role}"
        yield Diagnostic(("stages", stage.name, "batch"), "wrong-role", message, "key", "leave it out")


def _not_beside(stage: StageSpec) -> Iterator[Diagnostic]:
    if stage.until is not None and not (stage.daemon and stage.role is Role.PLAIN):
        what = f"is a {stage.role}" if stage.role is not Role.PLAIN else "is not daemonic"
        message = f"'until' is for daemonic stages without queues, and stage '{stage.name}' {what}"
        help_ = "leave it out" if stage.role is not Role.PLAIN else "add `daemon: true`"
        yield Diagnostic(("stages", stage.name, "until"), "wrong-role", message, "key", help_)


_REPEATED = "repeated-input"
_UNSHARED = "unshared-input"


def _repeats(stage: StageSpec) -> Iterator[Diagnostic]:
    """Tell of several workers of which each would make the same items."""
    of_kind = stage.handler.is_known and stage.handler.kind != "python" and stage.role is Role.PRODUCER
    if not of_kind or len(stage.workers) < 2:
        return
    kind = find_kind(stage.handler.kind).of_role(stage.role)
    if stage.role in kind.roles and (why := kind.unshared(stage.handler.options)) is not None:
        message = f"the {len(stage.workers)} workers of stage '{stage.name}' can't share what it reads: {why}"
        help_ = f"leave it out, and give the stage that reads '{', '.join(stage.targets)}' more workers"
        yield Diagnostic(("stages", stage.name, _count_key(stage)), _UNSHARED, message, "key", help_)
    severity = kind.repeats
    if severity is not None:
        message = (
            f"each of the {len(stage.workers)} workers of stage '{stage.name}' would make the same items, so that "
            f"all of them are put {len(stage.workers)} times"
        )
        help_ = f"leave it out, and give the stage that reads '{', '.join(stage.targets)}' more workers"
        yield Diagnostic(
            ("stages", stage.name, _count_key(stage)), _REPEATED, message, "key", help_, severity
        )


def _count_key(stage: StageSpec) -> str:
    return "count" if stage.workers[0] == f"{stage.name}-1" else "names"


_CODE = "no-effect"


def check_effect(data: Mapping[str, Any], unknowns: UnknownPaths) -> list[Diagnostic]:
    """Return what is written and does nothing. `data` has the right shape."""
    stages = data.get("stages", {})
    places: dict[DataPath, Any] = {("stages", name): keys for name, keys in stages.items()}
    places["defaults", "stage"] = data.get("defaults", {}).get("stage")
    found = [
        diagnostic
        for path, keys in places.items()
        if isinstance(keys, Mapping)
        for diagnostic in _stage(path, keys, data.get("queues", {}))
    ]
    return [diagnostic for diagnostic in found if unknowns.knows(*diagnostic.path[:3])]


_OF_ITEMS = {
    "retry": "there is none that could be tried again",
    "on_error": "none can fail: what its handler raises fails the run",
    "state": "there is nothing that its workers could keep of them",
}
"""Keys that say something of the items that a stage takes, each with why it says nothing where it takes none."""


def _stage(path: DataPath, keys: Mapping[str, Any], queues: Mapping[str, Any]) -> Iterator[Diagnostic]:
    retry, restart = keys.get("retry"), keys.get("restart")
    takes_items = path[0] != "stages" or "from" in keys
    for key in (key for key in _OF_ITEMS if key in keys and not takes_items):
        if key == "on_error" and (_may_not_fit(keys.get("to"), queues) or _rejects(keys.get("run"))):
            continue
        if keys[key] != OnError.FAIL:
            message = f"stage '{path[1]}' takes no items, so {_OF_ITEMS[key]}"
            yield Diagnostic((*path, key), _CODE, message, "key", "leave it out", Severity.WARNING)
    if isinstance(retry, Mapping) and takes_items:
        yield from _retry((*path, "retry"), retry)
    if isinstance(restart, Mapping):
        yield from _restart((*path, "restart"), restart)


def _may_not_fit(to: object, queues: Mapping[str, Any]) -> bool:
    """Whether an item may be no good for where it goes: for a schema, for every condition, or for none of the names."""
    return isinstance(to, list | Mapping) or "schema" in (queues.get(str(to)) or {})


def _rejects(run: object) -> bool:
    """Whether a producer's items may be malformed, which is a failure of theirs."""
    if not isinstance(run, Mapping) or len(run) != 1:
        return False
    (name,) = run
    return is_built_in(name) and find_kind(name).of_role(Role.PRODUCER).rejects


def _retry(where: DataPath, retry: Mapping[str, Any]) -> Iterator[Diagnostic]:
    if retry.get("attempts", 1) == 1:
        for key in (key for key in ("backoff", "max_backoff", "on") if key in retry):
            message = f"'{key}' has no effect where an item has only one attempt"
            yield Diagnostic((*where, key), _CODE, message, "key", "add `attempts: 3`", Severity.WARNING)
    elif "backoff" in retry and "max_backoff" in retry:
        first, most = retry["backoff"], retry["max_backoff"]
        if duration(most) < duration(first):
            message = f"'max_backoff' is {most}, and the first wait, 'backoff', is {first} already"
            yield Diagnostic((*where, "max_backoff"), _CODE, message, help="make it longer, or leave it out")


def _restart(where: DataPath, restart: Mapping[str, Any]) -> Iterator[Diagnostic]:
    if restart.get("on") != RestartOn.NEVER:
        return
    for key in (key for key in ("max", "within") if key in restart):
        message = f"'{key}' has no effect beside `on: never`: no death is made good, so none is counted"
        yield Diagnostic((*where, key), _CODE, message, "key", "leave it out", Severity.WARNING)


_ABLE = "leased"
_REMEDY = "use `leased`"


@dataclass(frozen=True, slots=True)
class _Ask:
    """One key of one stage that says who gets its items, or in which order."""

    stage: StageSpec
    key: str
    roles: frozenset[Role]
    meant_for: str
    why_alone: str


def check_flow(
    stages: Sequence[StageSpec],
    queues: Iterable[QueueSpec],
    transport: str,
    unknowns: UnknownPaths = UnknownPaths(),  # noqa: B008 - frozen
) -> list[Diagnostic]:
    """Return what stages and queues ask for in vain."""
    asks = [ask for stage in stages for ask in _asks(stage)]
    found = [
        *_of_queues(queues, transport),
        *(diagnostic for ask in asks for diagnostic in _of_stage(ask, transport)),
        *(diagnostic for ask in asks for diagnostic in _shared(ask, stages, unknowns)),
        *_contradictions(stages),
    ]
    return [each for each in found if all(unknowns.knows(*each.path[:2], key) for key in ("from", "to"))]


def _asks(stage: StageSpec) -> Iterator[_Ask]:
    if stage.shard_by is not None:
        readers = frozenset({Role.CONSUMER, Role.PIPE})
        yield _Ask(stage, "shard_by", readers, "stages that read a queue", "each key is to meet one worker")
    if stage.keeps_order:
        pipes = frozenset({Role.PIPE})
        yield _Ask(stage, "order", pipes, "pipe stages", "the order is that of all items")


def _of_queues(queues: Iterable[QueueSpec], transport: str) -> Iterator[Diagnostic]:
    for queue in queues if transport != _ABLE else ():
        if queue.max_bytes is not None:
            yield _cannot(
                ("queues", queue.name, "max_bytes"), "`max_bytes` needs a ledger that sees every frame"
            )
        if queue.when_full is not WhenFull.BLOCK:
            why = f"`when_full: {queue.when_full}` needs a ledger that lets items in"
            yield _cannot(("queues", queue.name, "when_full"), why)


def _of_stage(ask: _Ask, transport: str) -> Iterator[Diagnostic]:
    path = ("stages", ask.stage.name, ask.key)
    if ask.stage.role not in ask.roles:
        message = f"'{ask.key}' is for {ask.meant_for}, and stage '{ask.stage.name}' is a {ask.stage.role}"
        yield Diagnostic(path, "wrong-role", message, "key", "leave it out")
    elif transport != _ABLE:
        yield _cannot(path, f"`{ask.key}` needs a ledger that hands out the items")


def _shared(ask: _Ask, stages: Sequence[StageSpec], unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    name, queue = ask.stage.name, ask.stage.receives
    others = [stage.name for stage in stages if stage.receives == queue and stage.name != name]
    for other in others[:1] if queue is not None else ():
        if unknowns.knows("stages", other, "from"):
            message = f"stages '{name}' and '{other}' share the queue '{queue}', and {ask.why_alone}"
            help_ = f"let '{name}' alone read '{queue}'"
            yield Diagnostic(("stages", name, ask.key), "shared-queue", message, "key", help_)


def _contradictions(stages: Iterable[StageSpec]) -> Iterator[Diagnostic]:
    for stage in stages:
        if stage.keeps_order and stage.shard_by is not None:
            message = (
                f"stage '{stage.name}' has `order: keep` and `shard_by`, which takes items out of their order"
            )
            help_ = "leave out `order`: items with equal keys stay in order anyhow"
            yield Diagnostic(("stages", stage.name, "order"), "conflicting-keys", message, "key", help_)
        if stage.batch is not None and stage.shard_by is not None and stage.retry.attempts > 1:
            message = (
                f"stage '{stage.name}' has `batch`, `shard_by` and `retry`: an item that waits for its next attempt "
                "holds up those behind it, so each worker has one item at a time, and no batch"
            )
            help_ = "leave out one of the three; without `retry`, a batch that fails is still tried again in halves"
            yield Diagnostic(("stages", stage.name, "batch"), "conflicting-keys", message, "key", help_)


def _cannot(path: tuple[str, ...], why: str) -> Diagnostic:
    return Diagnostic(
        path,
        "transport-cannot",
        f"{path[0][:-1]} '{path[1]}': {why}, and only `leased` has one",
        "key",
        _REMEDY,
    )


TAKEN = frozenset({"worker", "queue", "inbox", "outbox", "offset", "resume"})
"""Parameters of handlers that mprun fills anyway: what a file declares can't have these names."""


def check_turns(
    stages: Sequence[StageSpec],
    locks: Sequence[LockSpec],
    may_ask: Callable[[StageSpec, str], bool],
    unknowns: UnknownPaths = UnknownPaths(),  # noqa: B008 - frozen
) -> list[Diagnostic]:
    """Return what nobody could do of what stages ask for, and locks that are missing or of no use.

    `may_ask` says whether a stage's handler asks for a lock by name, or can't be looked into.
    """
    found = list(_serial_readers(stages, unknowns))
    if unknowns.knows("locks"):
        found += _unknown(stages, [lock.name for lock in locks])
        found += _unused(stages, locks, may_ask, unknowns)
        found += check_reserved_names("locks", "a lock", [lock.name for lock in locks])
    return found


def check_reserved_names(section: str, what: str, names: Iterable[str]) -> Iterator[Diagnostic]:
    """Refuse names that a handler could not ask for `what` by, since a parameter so called means something else."""
    for name in names:
        if name in TAKEN:
            message = f"a handler's parameter '{name}' means something else, so {what} can't have this name"
            help_ = f"such as 'my_{name}', or what it is for"
            yield Diagnostic((section, name), "reserved-name", message, "key", help_)


def _serial_readers(stages: Iterable[StageSpec], unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    for stage in stages:
        path = ("stages", stage.name, "start")
        sure = unknowns.knows("stages", stage.name, "from") and unknowns.knows(*path)
        if stage.start is StartMode.SERIAL and stage.receives is not None and sure:
            message = (
                f"stage '{stage.name}' reads queue '{stage.receives}': its first worker would read it to the end, "
                "and leave nothing for those after it"
            )
            yield Diagnostic(path, "wrong-role", message, "key", "leave it out")


def _unknown(stages: Iterable[StageSpec], known: Sequence[str]) -> Iterator[Diagnostic]:
    for stage in stages:
        if stage.lock is not None and stage.lock not in known:
            message = f"stage '{stage.name}' works under the lock '{stage.lock}', which is not declared"
            help_ = (
                did_you_mean(stage.lock, known) or f"declare it at the top: `locks: {{{stage.lock}: {{}}}}`"
            )
            yield Diagnostic(("stages", stage.name, "lock"), "unknown-lock", message, help=help_)


def _unused(
    stages: Sequence[StageSpec],
    locks: Sequence[LockSpec],
    may_ask: Callable[[StageSpec, str], bool],
    unknowns: UnknownPaths,
) -> Iterator[Diagnostic]:
    if not all(unknowns.knows("stages", stage.name, key) for stage in stages for key in ("lock", "run")):
        return
    names = [lock.name for lock in locks]
    named = {
        nearest(stage.lock, names) for stage in stages if stage.lock is not None
    }  # one slip is one problem
    for lock in locks:
        if lock.name not in named and not any(may_ask(stage, lock.name) for stage in stages):
            message = f"nobody holds the lock '{lock.name}': no stage names it, and no handler asks for it"
            help_ = f"let a stage say `lock: {lock.name}`, or a handler have a parameter of that name"
            path = ("locks", lock.name)
            yield Diagnostic(path, "unused-lock", message, "key", help_, severity=Severity.WARNING)


def check_sentinels(
    stages: Sequence[StageSpec],
    queues: Iterable[QueueSpec],
    may_drive: Callable[[StageSpec], bool],
    unknowns: UnknownPaths = UnknownPaths(),  # noqa: B008 - frozen
) -> list[Diagnostic]:
    """Return the queues whose mark some reader, or every reader, would never see.

    `may_drive` says whether a stage's handler holds its queue itself, or can't be looked into.
    """
    found = []
    for queue in queues:
        readers = [stage for stage in stages if stage.receives == queue.name]
        sure = all(unknowns.knows("stages", stage.name, "from") for stage in stages)
        if queue.sentinel is not None and readers and sure:
            found += [*_stopped_first(queue, readers), *_called_with_items(queue, readers, may_drive)]
    return found


def _stopped_first(queue: QueueSpec, readers: Iterable[StageSpec]) -> Iterator[Diagnostic]:
    for stage in readers:
        if stage.daemon and stage.role is Role.CONSUMER:
            message = (
                f"queue '{queue.name}' ends with a mark, and stage '{stage.name}', which reads it, is daemonic: "
                "it is stopped once the queue is joined, and would not see it"
            )
            yield Diagnostic(
                ("stages", stage.name, "daemon"),
                "conflicting-keys",
                message,
                "key",
                "leave out one of the two",
            )


def _called_with_items(
    queue: QueueSpec, readers: Sequence[StageSpec], may_drive: Callable[[StageSpec], bool]
) -> Iterator[Diagnostic]:
    if not any(map(may_drive, readers)):
        names = ", ".join(f"'{stage.name}'" for stage in readers)
        message = f"nobody sees the mark of queue '{queue.name}': the handlers of {names} are called with items only"
        help_ = "leave it out, since they end by themselves; or give the handler a parameter `queue` and let it `get()`"
        path = ("queues", queue.name, "sentinel")
        yield Diagnostic(path, "unused-sentinel", message, "key", help_, severity=Severity.WARNING)


_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})


def check_servers(
    stages: Sequence[StageSpec],
    unknowns: UnknownPaths = UnknownPaths(),  # noqa: B008 - frozen
) -> Iterator[Diagnostic]:
    """Return servers that would keep others waiting for ever, and those whose port an earlier one has."""
    served: list[tuple[str, Address]] = []
    for stage in stages:
        sure = stage.handler.is_known and unknowns.knows_whole("stages", stage.name, "run")
        address = listens_at(stage.handler) if sure else None
        if address is None:
            continue
        yield from _waits_for_ever(stage, unknowns)
        first = next((name for name, other in served if _collide(address, other)), None)
        if first is not None:
            message = f"stage '{stage.name}' listens on port {address.port}, as stage '{first}' does"
            yield Diagnostic(("stages", stage.name, "run", stage.handler.kind, "port"), "same-port", message)
        served.append((stage.name, address))


def _waits_for_ever(stage: StageSpec, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    path = ("stages", stage.name)
    if stage.start is StartMode.SERIAL and len(stage.workers) > 1 and unknowns.knows(*path, "start"):
        message = f"stage '{stage.name}' is a server, and its first worker never ends: no other would start"
        yield Diagnostic((*path, "start"), "wrong-role", message, "key", "leave it out")
    if stage.lock is not None and unknowns.knows(*path, "lock"):
        message = f"stage '{stage.name}' is a server and never ends: it would hold '{stage.lock}' for ever"
        help_ = f"let the handler ask for it: a parameter '{stage.lock}', and `with {stage.lock}:` inside"
        yield Diagnostic((*path, "lock"), "wrong-role", message, "key", help_)


def _collide(one: Address, other: Address) -> bool:
    hosts = {one.host, other.host}
    return one.port == other.port != 0 and (len(hosts) == 1 or bool(hosts & _EVERYWHERE))


def check_defaults(source: SourceDocument) -> Iterator[Diagnostic]:
    """Find what is said of jobs in a file that has stages; what it includes may be for others too."""
    helps = {("defaults", "job"): "write defaults: {stage: …}", ("default",): "take it out: all stages run"}
    for path, help_ in helps.items() if isinstance(source.data, dict) and "stages" in source.data else ():
        above = source.data if len(path) == 1 else source.data.get(path[0])
        if isinstance(above, dict) and path[-1] in above and source.locate(path).file == source.file:
            message = f"'{'.'.join(path)}' is for jobs, and this workflow has stages"
            meant = (
                "did you mean 'defaults'?"
                if path == ("default",) and isinstance(above[path[-1]], dict)
                else help_
            )
            yield Diagnostic(path, "not-for-stages", message, "key", meant)
