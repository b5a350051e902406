"""What mprun offers to programs: its public names, each imported when it is first asked for.

    import mprun

    report = mprun.run_file("kitchen.yaml", transport="inline")

The code behind them lives in the package `runner`. Only what is named here keeps its name and its meaning from one
version to the next; a handler that needs `EndOfStream` alone does not pay for the loader.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner import __version__ as __version__
    from runner.api.flow import Flow as Flow
    from runner.api.imap import imap as imap
    from runner.api.map_iterator import MapIterator as MapIterator
    from runner.api.results import ItemLost as ItemLost
    from runner.api.results import MapFailure as MapFailure
    from runner.api.run import run as run
    from runner.api.run import run_file as run_file
    from runner.errors import BatchFailed as BatchFailed
    from runner.errors import EndOfStream as EndOfStream
    from runner.errors import MprunError as MprunError
    from runner.errors import RunFailed as RunFailed
    from runner.errors import SpecError as SpecError
    from runner.errors import Stopping as Stopping
    from runner.events.base import Event as Event
    from runner.events.bus import Observer as Observer
    from runner.events.report import Report as Report
    from runner.handlers.kinds import HandlerKind as HandlerKind
    from runner.handlers.kinds import QueueEnd as QueueEnd
    from runner.handlers.kinds import Route as Route
    from runner.handlers.kinds import WorkerContext as WorkerContext
    from runner.loader.load import load as load
    from runner.process.resources.locks import HandlerLock as HandlerLock
    from runner.spec.plan import Plan as Plan
    from runner.spec.plan import make_plan as make_plan

__all__ = [
    "BatchFailed",
    "EndOfStream",
    "Event",
    "Flow",
    "HandlerKind",
    "HandlerLock",
    "ItemLost",
    "MapFailure",
    "MapIterator",
    "MprunError",
    "Observer",
    "Plan",
    "QueueEnd",
    "Report",
    "Route",
    "RunFailed",
    "SpecError",
    "Stopping",
    "WorkerContext",
    "imap",
    "load",
    "make_plan",
    "run",
    "run_file",
]

_HOMES = {
    "BatchFailed": "runner.errors",
    "EndOfStream": "runner.errors",
    "Event": "runner.events.base",
    "Flow": "runner.api.flow",
    "HandlerKind": "runner.handlers.kinds",
    "HandlerLock": "runner.process.resources.locks",
    "ItemLost": "runner.api.results",
    "MapFailure": "runner.api.results",
    "MapIterator": "runner.api.map_iterator",
    "MprunError": "runner.errors",
    "Observer": "runner.events.bus",
    "Plan": "runner.spec.plan",
    "QueueEnd": "runner.handlers.kinds",
    "Report": "runner.events.report",
    "Route": "runner.handlers.kinds",
    "RunFailed": "runner.errors",
    "SpecError": "runner.errors",
    "Stopping": "runner.errors",
    "WorkerContext": "runner.handlers.kinds",
    "__version__": "runner",
    "imap": "runner.api.imap",
    "load": "runner.loader.load",
    "make_plan": "runner.spec.plan",
    "run": "runner.api.run",
    "run_file": "runner.api.run",
}

if not TYPE_CHECKING:  # a type checker that saw this would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'mprun' has no attribute '{name}'")
        check_package()
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted(_HOMES)


def check_package() -> None:
    """Raise ImportError, before anything of it has run, where Python would take something else for the package."""
    hidden_by = _found_instead()
    if hidden_by is not None:
        raise ImportError(
            f"mprun's own package is called 'runner', and '{hidden_by}' is found in its place: rename that, "
            "or start Python in another folder"
        )


def _found_instead() -> str | None:
    """What Python takes for the package `runner`; None where it is ours, or there is none at all."""
    loaded = sys.modules.get("runner")
    if loaded is not None:
        is_ours = hasattr(loaded, "PACKAGE_OF_MPRUN")
        return None if is_ours else getattr(loaded, "__file__", None) or "a folder called runner"
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("runner")
    if spec is None or spec.origin is None:
        return None
    own = Path(__file__).resolve().parent.parent / "runner" / "__init__.py"
    return None if Path(spec.origin).resolve() == own else spec.origin
