"""What is promised of a stage over the death of its runner, as its handler, its role and its options say. Pure.

the check of a file, `mprun plan` ── StageFacts ──► promise ──► OverDeath
the page of reference, `mprun handlers` ──► promises_of ──┘      each kind, with the simplest options and with others
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from runner.facts import dataclass
from runner.handlers.kinds import HandlerKind
from runner.handlers.outputs import Writes
from runner.spec.model import Role
from runner.spec.resume import MEANINGS, OverDeath

_FUNCTION = "module:callable"
_BY_TYPE: Mapping[str, object] = {"string": "x", "integer": 1, "number": 1, "boolean": False, "array": []}


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What the promise for a stage depends on."""

    role: Role
    writes: Writes | None = None
    """What its kind says that it leaves."""
    seeks: bool = False
    """Of a producer: whether it goes on behind what it has put."""
    acknowledges: bool = False
    """Of a producer: whether it says to somebody else what is kept, who gives the rest out again."""
    live: bool = False
    """Of a producer: whether what it makes is made once, by somebody else."""
    is_stream: bool = False
    """Of a producer: whether it reads what is gone once it is read."""
    loses_state: bool = False
    """Whether its handler keeps something of its items that nobody makes safe."""


def promise(stage: StageFacts) -> OverDeath:
    """Say how often an item is in what comes of a stage, where another runner has gone on with the run."""
    match stage.role:
        case Role.PLAIN:
            return OverDeath.NOT
        case _ if stage.loses_state:
            return OverDeath.NOT
        case Role.PIPE:  # what it makes, and that its item is done, are one fact
            return OverDeath.EXACTLY_ONCE
        case Role.CONSUMER:
            return OverDeath.AT_LEAST_ONCE if stage.writes is None else stage.writes.over_death
    if stage.live:
        return OverDeath.AT_MOST_ONCE
    if stage.is_stream:
        return OverDeath.NOT
    if not stage.seeks:
        return OverDeath.RUN_AGAIN
    return OverDeath.AT_LEAST_ONCE if stage.acknowledges else OverDeath.EXACTLY_ONCE


@dataclass(frozen=True, slots=True)
class KindPromise:
    """What is promised of a kind in one role."""

    run: str
    """What stands under `run`."""
    role: Role
    usual: OverDeath
    otherwise: tuple[tuple[str, OverDeath], ...] = ()
    """Where it is another: when that is, and what holds then."""

    @property
    def sentence(self) -> str:
        """Say it in words."""
        others = (f"; {when}: {promised}" for when, promised in self.otherwise)
        return f"{self.usual}{''.join(others)}"


def promises_of(kind: HandlerKind) -> list[KindPromise]:
    """Return what is promised of a kind, for each role that it may have; nothing where it can't say so by itself."""
    try:
        return [_of_role(kind.of_role(role), role) for role in Role if role in kind.roles]
    except Exception:  # one of another package, which reads options that it does not require
        return []


def _of_role(kind: HandlerKind, role: Role) -> KindPromise:
    simplest = _simplest(kind.options)
    usual = promise(facts_of_kind(kind, role, simplest))
    others = (
        (when, promise(facts_of_kind(kind, role, {**simplest, **more}))) for when, more in kind.otherwise
    )
    return KindPromise(kind.name, role, usual, tuple(others))


def facts_of_kind(kind: HandlerKind, role: Role, options: Any) -> StageFacts:
    """Return what the declaration of a kind in this role says, with options that are valid."""
    facts = StageFacts(role)
    if role is Role.PRODUCER and kind.name != "command":
        seeks = kind.resumes(options)
        return replace(facts, seeks=seeks, live=kind.live, is_stream=not seeks and not kind.live)
    return replace(facts, writes=None if kind.writes is None else kind.writes(options))


def _simplest(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return options that are there only as far as they must."""
    return {name: _value(schema["properties"][name]) for name in schema.get("required", ())}


def _value(fragment: Mapping[str, Any]) -> object:
    if "enum" in fragment:
        return fragment["enum"][0]
    kind = fragment.get("type", "string")
    return _BY_TYPE.get(kind if isinstance(kind, str) else kind[0], {})


def promises_of_functions() -> list[KindPromise]:
    """Return what is promised of handlers in Python, for each role."""
    return [
        KindPromise(_FUNCTION, role, promise(StageFacts(role)), tuple(_of_other_functions(role)))
        for role in Role
    ]


def _of_other_functions(role: Role) -> Iterator[tuple[str, OverDeath]]:
    if role is Role.PRODUCER:
        yield "with a parameter `offset` or `resume`", promise(StageFacts(role, seeks=True))
        acknowledges = promise(StageFacts(role, seeks=True, acknowledges=True))
        yield "with one of these, where it acknowledges by `worker.committed`", acknowledges
    elif role is not Role.PLAIN:
        loses = promise(StageFacts(role, loses_state=True))
        yield "where it keeps something of its items and nothing makes that safe", loses


def reference_section(kinds: Iterable[HandlerKind]) -> str:
    """Return the section of the page of reference that has all of them, in Markdown."""
    rows = [*promises_of_functions(), *(each for kind in kinds for each in promises_of(kind))]
    meanings = "\n".join(f"- `{word}`: {meaning}" for word, meaning in MEANINGS.items())
    table = "\n".join(f"| `{each.run}` | {each.role} | {each.sentence} |" for each in rows)
    return f"""\
## What holds over the runner's death

How often an item is in what a stage makes or leaves, where its run is gone on with by `mprun resume` under `leased`.
Of a stage of one's own file it stands in `mprun plan`, under RESUME.

{meanings}

| `run` | as a | it is there |
|---|---|---|
{table}
"""
