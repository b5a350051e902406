"""What stages that listen can't do: take turns, since a server never ends, or share a port. Pure.

stages ──► those whose kind listens ──► findings
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.findings import Finding, Spoilt
from runner.handlers.base import Address, listens_at
from runner.spec import StageSpec, Start

_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})


def check_servers(
    stages: Sequence[StageSpec],
    spoilt: Spoilt = Spoilt(),  # noqa: B008 - frozen
) -> Iterator[Finding]:
    """Return servers that would keep others waiting for ever, and those whose port an earlier one has."""
    served: list[tuple[str, Address]] = []
    for stage in stages:
        address = listens_at(stage.handler) if spoilt.knows("stages", stage.name, "run") else None
        if address is None:
            continue
        yield from _waits_for_ever(stage, spoilt)
        first = next((name for name, other in served if _collide(address, other)), None)
        if first is not None:
            message = f"stage '{stage.name}' listens on port {address.port}, as stage '{first}' does"
            yield Finding(("stages", stage.name, "run", stage.handler.kind, "port"), "same-port", message)
        served.append((stage.name, address))


def _waits_for_ever(stage: StageSpec, spoilt: Spoilt) -> Iterator[Finding]:
    path = ("stages", stage.name)
    if stage.start is Start.SERIAL and len(stage.workers) > 1 and spoilt.knows(*path, "start"):
        message = f"stage '{stage.name}' is a server, and its first worker never ends: no other would start"
        yield Finding((*path, "start"), "wrong-role", message, "key", "leave it out")
    if stage.lock is not None and spoilt.knows(*path, "lock"):
        message = f"stage '{stage.name}' is a server and never ends: it would hold '{stage.lock}' for ever"
        help_ = f"let the handler ask for it: a parameter '{stage.lock}', and `with {stage.lock}:` inside"
        yield Finding((*path, "lock"), "wrong-role", message, "key", help_)


def _collide(one: Address, other: Address) -> bool:
    hosts = {one.host, other.host}
    return one.port == other.port != 0 and (len(hosts) == 1 or bool(hosts & _EVERYWHERE))
