"""What a call begins and does not wait for: threads, processes, tasks, work for an executor. From its source.

    POOL.submit(store, item)                  nobody asks what became of it
    Thread(target=store, args=(item,)).start()
    Popen(["convert", item])

It is not done when the call returns, and dies with the worker.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from runner.handlers.inspection.imports import SourceModule
from runner.handlers.inspection.names import dotted_name, qualified_name

_HANDED_ON = frozenset(
    [
        "submit",
        "apply_async",
        "map_async",
        "starmap_async",
        "create_task",
        "ensure_future",
        "run_in_executor",
        "run_coroutine_threadsafe",
        "call_soon_threadsafe",
        "start_soon",
    ]
)
_STARTED = frozenset(
    [
        "threading.Thread",
        "threading.Timer",
        "multiprocessing.Process",
        "multiprocessing.context.Process",
    ]
)
_RUNNING = frozenset({"subprocess.Popen"})
_WAITED_FOR = frozenset(
    [
        "join",
        "wait",
        "communicate",
        "result",
        "results",
        "as_completed",
        "gather",
        "shutdown",
        "poll",
        "get",
        "ready",
        "done",
        "add_done_callback",
        "run_until_complete",
        "run",
        "read",
        "readlines",
    ]
)


class Begun(NamedTuple):
    """One thing that is begun, as the source calls it."""

    what: str
    line: int


def begun_in(nodes: list[ast.AST], module: SourceModule) -> Iterator[Begun]:
    """List what a body begins, where nothing in it could wait for that."""
    named = {each.attr for each in nodes if isinstance(each, ast.Attribute)}
    named |= {each.id for each in nodes if isinstance(each, ast.Name)}
    if named & _WAITED_FOR or any(isinstance(each, ast.With | ast.AsyncWith | ast.Await) for each in nodes):
        return
    made = {
        target.id: each.value
        for each in nodes
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call)
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    for node in nodes:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and (what := _begun_by(call, made, module)) is not None:
            yield Begun(what, call.lineno)


def _begun_by(call: ast.Call, made: dict[str, ast.Call], module: SourceModule) -> str | None:
    match call.func:
        case ast.Attribute(value=held, attr="start"):
            started = made.get(held.id) if isinstance(held, ast.Name) else held
            known = isinstance(started, ast.Call) and _comes_from(started.func, _STARTED, module)
            return dotted_name(started.func) if known and isinstance(started, ast.Call) else None
        case ast.Attribute(attr=name) if name in _HANDED_ON:
            return dotted_name(call.func) or name
        case func if _comes_from(func, _RUNNING, module):
            return dotted_name(func)
    return None


def _comes_from(func: ast.expr, known: frozenset[str], module: SourceModule) -> bool:
    dotted = dotted_name(func)
    return dotted is not None and qualified_name(dotted, module) in known
