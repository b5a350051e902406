"""What the tests of the gallery share: a file is run, here or by the installed command, and asked what it showed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from runner.composition import run_file
from runner.events.base import Event, as_dict

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
Capture = pytest.CaptureFixture[str]

GALLERY = Path(__file__).resolve().parent.parent / "workflows" / "gallery"


@dataclass(frozen=True, slots=True)
class Showing:
    """What one run left behind."""

    exit_code: int
    stdout: str
    stderr: str
    events: list[dict[str, Any]]

    @property
    def lines(self) -> list[str]:
        """What the handlers printed."""
        return self.stdout.splitlines()

    def of(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The events of this name and with these fields, in order."""
        return [each for each in self.events if each["event"] == event and fields.items() <= each.items()]

    def one(self, event: str, **fields: Any) -> dict[str, Any]:
        """The only event of this name and with these fields."""
        (found,) = self.of(event, **fields)
        return found

    def busy(self, worker: str) -> float:
        """How many seconds a worker's handler was at work."""
        seconds: float = self.one("worker.exited", worker=worker)["busy"]
        return seconds

    def lifetime(self, worker: str) -> tuple[float, float]:
        """When a worker was seen to be born and to be gone, in seconds since the epoch."""
        born, gone = (self.one(f"worker.{what}", worker=worker) for what in ("spawned", "exited"))
        return moment(born), moment(gone)


def moment(event: dict[str, Any]) -> float:
    """When an event happened, in seconds since the epoch."""
    return datetime.fromisoformat(event["at"]).timestamp()


class Audience:
    """Keeps the events of a run, and acts on them: it is called in the supervisor's own loop."""

    def __init__(self, acts: Callable[[dict[str, Any]], object] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._acts = acts

    def observe(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(as_dict(event))
        if self._acts is not None:
            self._acts(self.events[-1])

    def close(self) -> None:
        """Nothing to flush."""


def show(
    capture: Capture,
    name: str | Path,
    transport: str,
    *,
    params: dict[str, Any] | None = None,
    overrides: tuple[str, ...] = (),
    on_event: Callable[[dict[str, Any]], object] | None = None,
) -> Showing:
    """Run a file of the gallery, or one made of it, with this process as the supervisor. What hangs, times out."""
    path = name if isinstance(name, Path) else GALLERY / f"{name}.yaml"
    audience = Audience(on_event)
    bound = ("limits.timeout=40s", *overrides)
    report = run_file(path, transport=transport, params=params, overrides=bound, observers=[audience])
    printed = capture.readouterr()
    return Showing(report.exit_code, printed.out, printed.err, audience.events)


def show_by_command(run_mprun: RunMprun, name: str, *options: str, transport: str, **more: Any) -> Showing:
    """Run a file of the gallery with the installed command."""
    done = run_mprun(
        "run", GALLERY / f"{name}.yaml", "--transport", transport, "--log", "json", *options, **more
    )
    # What a command prints to stderr stands between the events.
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return Showing(done.returncode, done.stdout, done.stderr, events)
