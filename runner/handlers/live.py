"""Objects that live in the program that runs a workflow, by the keys that the plan has for them.

    a closure ──register_live──► "__live__:load" in the plan ──► host and workers are forked ──► the closure again

A plan holds names only; what a fork takes along need not be pickled, and may be anything.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from types import ModuleType

MODULE = "__live__"
"""The module that live objects are found in. It has no file, and no other process finds it but by a fork."""


def register_live(name: str, found: object) -> str:
    """Keep an object under a name of its own, which begins with `name`; return its key, `module:name`."""
    module = sys.modules.setdefault(MODULE, ModuleType(MODULE, "Handlers that live in this program."))
    own, number = name, 1
    while hasattr(module, own):
        number += 1
        own = f"{name}_{number}"
    setattr(module, own, found)
    return f"{MODULE}:{own}"


def forget_live(keys: Collection[str]) -> None:
    """The runs that needed these are over."""
    module = sys.modules.get(MODULE)
    for key in keys:
        if module is not None and hasattr(module, name := key.partition(":")[2]):
            delattr(module, name)


def is_live(target: str) -> bool:
    """Say whether a key is that of a live object."""
    return target.startswith(f"{MODULE}:")
