"""The state of a handler: taken from one instance by pickle's own protocol, given to another that was built anew. Pure.

    instance ── __reduce_ex__ ──► __getstate__, items of a list or dict ──► bytes      capture
    Handler(**with) ◄── __setstate__, or its __dict__, items ──────────────── bytes    restore

An object that says by its own `__reduce__` how it is to be made anew is, and takes the place of the one that was built.
"""

from __future__ import annotations

import io
import pickle
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from types import GetSetDescriptorType, MappingProxyType
from typing import Any, NamedTuple

from runner.errors import HandlerError
from runner.text import describe_error
from runner.units import format_size

_CONTAINERS = (dict, list, set, deque)
_THEIR_OWN = frozenset(each.__reduce__ for each in (*_CONTAINERS, Counter, OrderedDict, defaultdict))
"""How Python's containers make themselves anew: by a call of the class, which a class of the user's may not take."""
_MADE_BY_CLASS = object().__reduce_ex__(2)[0]
_PROTOCOL = pickle.HIGHEST_PROTOCOL
_SELF = "self"
_RAISED = (Exception, SystemExit)
"""What user code is taken to have failed with: by `sys.exit` in it, a worker would end as if it had come to its end."""
_NOTHING: Mapping[str, object] = MappingProxyType({})
_REFERENCES = 3
"""To a table of attributes that is its instance's alone: by that, by the name for it here, and by the question."""
_REMEDY = "leave it out in `__getstate__`, and make it anew in `__setstate__`"


class _Contents(NamedTuple):
    """What `__reduce_ex__` says of an object that its class alone makes."""

    state: Any
    items: list[Any]
    entries: list[tuple[Any, Any]]


def capture(instance: object, most: int, given: Mapping[str, object] = _NOTHING) -> bytes:
    """
    Return what `instance` holds. Runs its `__getstate__`, where it has one.

    `given` are objects that it may hold, and its successor is to have others of by the same name.

    Raises:
        HandlerError: it can't be pickled, or makes more than `most` bytes.
    """
    try:
        data = _pickled(instance, given)
    except _RAISED as error:
        raise HandlerError(_unpicklable(instance, given, error)) from error
    if len(data) > most:
        raise HandlerError(
            f"`state: checkpoint`: the state of {_name(instance)} is {format_size(len(data))}, and `most` allows "
            f"{format_size(most)}"
        )
    return data


def keep_attributes_quick(instance: object) -> None:
    """
    Give an instance a table of attributes that CPython reads as quickly after a `capture` as before.

    Whoever asks an object for its `__dict__`, as pickle does, has the values that lie in the object put into a table
    whose keys are the class's, and code that reads attributes isn't specialised for that: each takes 50 ns more. A
    table with keys of its own is as quick as none. Where somebody else may hold it, or write to it, nothing is done.
    """
    if threading.active_count() > 1 or not isinstance(
        _descriptor_of_dict(type(instance)), GetSetDescriptorType
    ):
        return
    table = instance.__dict__
    if type(table) is dict and sys.getrefcount(table) <= _REFERENCES:
        object.__setattr__(instance, "__dict__", dict(table))


def _descriptor_of_dict(cls: type) -> object:
    return next((vars(each)["__dict__"] for each in cls.__mro__ if "__dict__" in vars(each)), None)


def restore(instance: object, data: bytes, given: Mapping[str, object] = _NOTHING) -> object:
    """
    Give what `capture` returned to an instance that was built anew; return it, or what takes its place.

    Runs its `__setstate__`, where it has one. Raises whatever unpickling raises.
    """
    found = _Unpickler(io.BytesIO(data), {**given, _SELF: instance}).load()
    if not isinstance(found, _Contents):
        return found
    _set_items(instance, found)
    if found.state is not None:
        _set_state(instance, found.state)
    return instance


def _pickled(instance: object, given: Mapping[str, object]) -> bytes:
    buffer = io.BytesIO()
    contents = _contents(instance)
    if contents is None:
        _Pickler(buffer, given).dump(instance)
    else:
        _Pickler(buffer, {**given, _SELF: instance}).dump(contents)
    return buffer.getvalue()


def _contents(instance: Any) -> _Contents | None:
    """What is in it, where its class and `with` make one that nothing is in; None where it says otherwise."""
    if isinstance(instance, _CONTAINERS) and type(instance).__reduce__ in _THEIR_OWN:
        entries = list(instance.items()) if isinstance(instance, dict) else []
        items = [] if isinstance(instance, dict) else list(instance)
        return _Contents(instance.__getstate__(), items, entries)
    reduced = instance.__reduce_ex__(_PROTOCOL)
    if (
        isinstance(reduced, str)
        or reduced[0] is not _MADE_BY_CLASS
        or len(reduced[1]) > 1
        or any(reduced[3:])
    ):
        return None
    return _Contents(reduced[2], [], [])


class _Pickler(pickle.Pickler):
    """Pickles what may lead to an object that the successor has its own of: the instance, and what that is given."""

    def __init__(self, file: io.BytesIO, given: Mapping[str, object]) -> None:
        super().__init__(file, _PROTOCOL)
        self._names = {id(each): name for name, each in given.items()}

    def reducer_override(self, found: Any) -> Any:
        """Let it lead to the successor's. Called for no number, text, list, set or dict."""
        name = self._names.get(id(found))
        return NotImplemented if name is None else (_given, (name,))


def _given(name: str) -> object:
    """Stands in a state for what the successor has its own of."""
    raise pickle.UnpicklingError(f"a state is for `restore`, which has its own {name}")


class _Unpickler(pickle.Unpickler):
    """Puts what the successor has in the place of what its predecessor had."""

    def __init__(self, file: io.BytesIO, given: Mapping[str, object]) -> None:
        super().__init__(file)
        self._own = given

    def find_class(self, module: str, name: str) -> Any:
        """Return what a state names."""
        found = super().find_class(module, name)
        return self._own.__getitem__ if found is _given else found


def _set_items(instance: object, contents: _Contents) -> None:
    """What it was built with is in the state too."""
    match instance:
        case dict():
            instance.clear()
            for key, value in contents.entries:
                instance[key] = value
        case set():
            instance.clear()
            instance.update(contents.items)
        case list() | deque():
            instance.clear()
            instance.extend(contents.items)


def _set_state(instance: Any, state: Any) -> None:
    """As pickle does it."""
    set_state: Callable[[Any], object] | None = getattr(instance, "__setstate__", None)
    if set_state is not None:
        set_state(state)
        return
    own, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if own:
        instance.__dict__.update(own)
    for name, value in (slots or {}).items():
        setattr(instance, name, value)


def _unpicklable(instance: object, given: Mapping[str, object], error: BaseException) -> str:
    """Name the first part of the state that can't be pickled."""
    begins = f"`state: checkpoint`: {_name(instance)} can't be pickled"
    for name, value in _parts(instance):
        try:
            _Pickler(io.BytesIO(), {**given, _SELF: instance}).dump(value)
        except _RAISED as own:
            kind = type(value)
            kept = f"`{name}` ({kind.__module__}.{kind.__qualname__})".replace("(builtins.", "(")
            return f"{begins}: {kept}: {describe_error(own)}; {_REMEDY}"
    return f"{begins}: {describe_error(error)}"


def _parts(instance: object) -> Iterator[tuple[str, object]]:
    try:
        contents = _contents(instance)
    except _RAISED:  # its own `__getstate__` raises, which the error says already
        return
    if contents is None:
        return
    state = contents.state
    own, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    for found in (own, slots):
        if isinstance(found, dict):
            yield from ((f"self.{name}", value) for name, value in found.items())
    yield from (("self", each) for each in (*contents.items, *contents.entries))


def _name(instance: object) -> str:
    return type(instance).__name__
