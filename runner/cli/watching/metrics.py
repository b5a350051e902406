"""The option `--metrics`: what it asks for is made sure of, and opened, before anything runs.

--metrics 127.0.0.1:9464 ──► a socket that listens ──► the observer process, which answers
--metrics run.prom       ──► a folder that can be written
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from runner.cli.output import print_message
from runner.errors import UsageError
from runner.facts import dataclass
from runner.telemetry.destination import (
    MetricsFile,
    MetricsTargets,
    bound_address,
    is_open_to_others,
    listen,
    parse_destination,
    require_writable,
)


@dataclass(frozen=True, slots=True)
class OpenMetrics:
    """Where the metrics of a run will go."""

    listeners: tuple[socket.socket, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    """What a person ought to know of it."""

    @property
    def targets(self) -> MetricsTargets:
        """The same for the process that tells them."""
        return MetricsTargets(tuple(each.fileno() for each in self.listeners), self.files)

    def close(self) -> None:
        """Let go of what listens: to be called once the process that answers has its own."""
        for listener in self.listeners:
            listener.close()

    def tell(self) -> None:
        """Say where they are."""
        for note in self.notes:
            print_message(f"mprun: {note}")


def open_metrics(asked: Sequence[str], *, log: str, quiet: bool) -> OpenMetrics:
    """
    Open what `--metrics` asks for. Listens by the time that this returns.

    Raises:
        UsageError: it can't be had, and nothing was opened.
    """
    wanted = [parse_destination(each) for each in asked]
    if find_spec("prometheus_client") is None:
        raise UsageError(
            "--metrics needs the package 'prometheus-client', which is not installed: pip install 'mprun[metrics]'"
        )
    files = tuple(each.path for each in wanted if isinstance(each, MetricsFile))
    addresses = [each for each in wanted if not isinstance(each, MetricsFile)]
    if log == "json" and any(address.port == 0 for address in addresses):
        raise UsageError(
            "--metrics: which port 0 becomes is said in words, and `--log json` has none; name a port, such as 9464"
        )
    for each in wanted:
        if isinstance(each, MetricsFile):
            require_writable(each)
    listeners: list[socket.socket] = []
    notes: list[str] = []
    try:
        for address in addresses:
            listeners.append(listen(address))
            bound = bound_address(listeners[-1])
            if log != "json" and (not quiet or not address.port):
                notes.append(f"metrics at http://{bound}/metrics")
            if log != "json" and is_open_to_others(bound):
                notes.append(f"whoever reaches this machine may read the metrics at {bound}")
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return OpenMetrics(tuple(listeners), files, tuple(notes))
