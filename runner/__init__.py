"""mprun: declarative multi-process workflows. The public names, imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.errors import EndOfStream, MprunError, SpecError, Stopping
    from runner.load import load
    from runner.plan import Plan, make_plan
    from runner.report import Report
    from runner.run import run, run_file

__version__ = "0.1.0"

__all__ = [
    "EndOfStream",
    "MprunError",
    "Plan",
    "Report",
    "SpecError",
    "Stopping",
    "load",
    "make_plan",
    "run",
    "run_file",
]

_HOMES = {
    "EndOfStream": "runner.errors",
    "MprunError": "runner.errors",
    "Plan": "runner.plan",
    "Report": "runner.report",
    "SpecError": "runner.errors",
    "Stopping": "runner.errors",
    "load": "runner.load",
    "make_plan": "runner.plan",
    "run": "runner.run",
    "run_file": "runner.run",
}


def __getattr__(name: str) -> Any:
    # A handler that needs only `EndOfStream` must not pay for the loader: `mprun --help` is measured.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'runner' has no attribute '{name}'")
