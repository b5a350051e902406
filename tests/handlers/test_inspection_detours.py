"""What a handler keeps of its items where the way there is a detour: a star import, a partial, a register."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.handlers.inspection.state import read_kept_state, read_unflushed_state
from runner.spec.commits import KeptState

OTHER = """
import math

SEEN = []

class Sender:
    def __init__(self):
        self.pending, self.headers = [], {}

    def post(self, item):
        self.pending.append(item)

    def get(self, url):
        return {"url": url, "headers": dict(self.headers)}

class Base:
    def __init__(self):
        self.rows = []

    def __call__(self, item):
        self.handle(item)

class Holder:
    def __init__(self, rows):
        self.rows = rows

    def hold(self, item):
        self.rows.append(item)

def record(item):
    SEEN.append(item)
"""

FAR = """
from other import *
"""

KEEPING = {
    "an object, by a star import": (
        """
        from other import *
        class handler:
            def __init__(self): self.sender = Sender()
            def __call__(self, item): self.sender.post(item)
        """,
        "sender.pending",
    ),
    "a base, by two star imports": (
        """
        from far import *
        class handler(Base):
            def handle(self, item): self.rows.append(item)
        """,
        "rows",
    ),
    "a function, by a star import": (
        """
        from other import *
        def handler(item): record(item)
        """,
        "SEEN",
    ),
    "a list, by a star import": (
        """
        from other import *
        def handler(item): SEEN.append(item)
        """,
        "SEEN",
    ),
    "a builtin beside a star import": (
        """
        from other import *
        class handler(list):
            def __call__(self, item): self.append(item)
        """,
        "self",
    ),
    "a partial of a method of an object without a name": (
        """
        from functools import partial
        from other import Sender
        handler = partial(Sender().post)
        """,
        "handler.pending",
    ),
    "a method of an object without a name": (
        """
        from other import Sender
        handler = Sender().post
        """,
        "handler.pending",
    ),
    "a partial of a method": (
        """
        from functools import partial
        from other import Sender
        sender = Sender()
        handler = partial(sender.post)
        """,
        "sender.pending",
    ),
    "a partial of a method, held by a class": (
        """
        from functools import partial
        from other import Sender
        class handler:
            def __init__(self):
                self.sender = Sender()
                self.send = partial(self.sender.post)
            def __call__(self, item): self.send(item)
        """,
        "sender.pending",
    ),
    "a generator of its own": (
        """
        class handler:
            def __init__(self):
                self.adder = self.adding()
                next(self.adder)
            def adding(self):
                total = 0
                while True: total += yield total
            def __call__(self, item): self.adder.send(item)
        """,
        "adder",
    ),
    "a function that is registered for a type": (
        """
        from functools import singledispatch
        SEEN = []
        @singledispatch
        def take(item): pass
        @take.register
        def _(item: int): SEEN.append(item)
        @take.register(str)
        def _(item): pass
        def handler(item): take(item)
        """,
        "SEEN",
    ),
    "a method that is registered for a type": (
        """
        from functools import singledispatchmethod
        class handler:
            def __init__(self): self.total = 0
            @singledispatchmethod
            def take(self, item): pass
            @take.register
            def _(self, item: int): self.total += item
            @take.register
            def _(self, item: str): pass
            def __call__(self, item): self.take(item)
        """,
        "total",
    ),
    "a handler that is registered for types": (
        """
        from functools import singledispatch
        SEEN = []
        @singledispatch
        def handler(item): pass
        @handler.register
        def _(item: int): SEEN.append(item)
        """,
        "SEEN",
    ),
    "a list that is made when first needed": (
        """
        class handler:
            def __init__(self): self.rows = None
            def __call__(self, item):
                if self.rows is None: self.rows = []
                self.rows.append(item)
        """,
        "rows",
    ),
    "an object that is made when first needed": (
        """
        from other import Sender
        class handler:
            def __init__(self): self.sender: Sender | None = None
            def __call__(self, item):
                if self.sender is None: self.sender = Sender()
                self.sender.post(item)
        """,
        "sender.pending",
    ),
    "an object that may be given": (
        """
        from other import Sender
        class handler:
            def __init__(self, sender=None): self.sender = sender or Sender()
            def __call__(self, item): self.sender.post(item)
        """,
        "sender.pending",
    ),
    "an object that a function makes": (
        """
        from other import Sender
        def build(): return Sender()
        class handler:
            def __init__(self): self.sender = build()
            def __call__(self, item): self.sender.post(item)
        """,
        "sender.pending",
    ),
    "an object that a class method makes": (
        """
        class Sums:
            def __init__(self): self.total = 0
            @classmethod
            def empty(cls): return cls()
            def add(self, item): self.total += item
        class handler:
            def __init__(self): self.sums = Sums.empty()
            def __call__(self, item): self.sums.add(item)
        """,
        "sums.total",
    ),
    "objects of a list, in a loop": (
        """
        from other import Sender
        class handler:
            def __init__(self): self.senders = [Sender(), Sender()]
            def __call__(self, item):
                for sender in self.senders: sender.post(item)
        """,
        "senders[].pending",
    ),
    "objects of a dict, by their key": (
        """
        from other import Sender
        class handler:
            def __init__(self): self.senders = {kind: Sender() for kind in range(3)}
            def __call__(self, item): self.senders[item % 3].post(item)
        """,
        "senders[].pending",
    ),
    "objects of a dict, all of them": (
        """
        from other import Sender
        SENDERS = {"one": Sender()}
        def handler(item):
            for name, sender in SENDERS.items(): sender.post(item)
        """,
        "SENDERS[].pending",
    ),
    "objects of a defaultdict, by another name": (
        """
        from collections import defaultdict
        from other import Sender
        class handler:
            def __init__(self): self.senders = defaultdict(Sender)
            def __call__(self, item):
                sender = self.senders[item % 3]
                sender.post(item)
        """,
        "senders[].pending",
    ),
    "lists in a list, in a loop": (
        """
        class handler:
            def __init__(self): self.columns = [[], []]
            def __call__(self, item):
                for column, value in zip(self.columns, item): column.append(value)
        """,
        "columns",
    ),
    "either of two lists": (
        """
        class handler:
            def __init__(self): self.odd, self.even = [], []
            def __call__(self, item):
                rows = self.odd if item % 2 else self.even
                rows.append(item)
        """,
        "odd",
    ),
    "either of two lists, by an if": (
        """
        class handler:
            def __init__(self): self.odd, self.even = [], []
            def __call__(self, item):
                rows = self.even
                if item % 2: rows = self.odd
                rows.append(item)
        """,
        "even",
    ),
    "a list that is put together": (
        """
        class handler:
            def __init__(self, first=()): self.rows = [0] + sorted(first)
            def __call__(self, item): self.rows.append(item)
        """,
        "rows",
    ),
    "a list that an object was given": (
        """
        from other import Holder
        class handler:
            def __init__(self):
                self.rows = []
                self.holder = Holder(rows=self.rows)
            def __call__(self, item): self.holder.hold(item)
        """,
        "holder.rows",
    ),
    "vars": (
        """
        class handler:
            def __init__(self): self.total = 0
            def __call__(self, item): vars(self)["total"] += item
        """,
        "__dict__",
    ),
    "an operator": (
        """
        import operator
        class handler:
            def __init__(self): self.rows = []
            def __call__(self, item): self.rows = operator.iadd(self.rows, [item])
        """,
        "rows",
    ),
    "an operator on what is held": (
        """
        import operator
        class handler:
            def __init__(self): self.rows = []
            def __call__(self, item): operator.iadd(self.rows, [item])
        """,
        "rows",
    ),
    "a sum in an array": (
        """
        import numpy as np
        class handler:
            def __init__(self): self.sums = np.zeros(4)
            def __call__(self, item): np.add(self.sums, item, out=self.sums)
        """,
        "sums",
    ),
    "a histogram in an array": (
        """
        import numpy as np
        class handler:
            def __init__(self): self.sums = np.zeros(4)
            def __call__(self, item): np.add.at(self.sums, [item % 4], 1)
        """,
        "sums",
    ),
}

KEEPING_NOTHING = {
    "an answer that is changed": """
        from other import Sender
        class handler:
            def __init__(self): self.sender = Sender()
            def __call__(self, item):
                answer = self.sender.get(f"http://localhost/{item}")
                answer["seen"] = True
                return answer
        """,
    "what a star import brings from a library": """
        from math import *
        from other import *
        def handler(item): return floor(item) + len([item])
        """,
    "an array that each call fills": """
        import numpy as np
        class handler:
            def __init__(self): self.twice = np.empty(4)
            def __call__(self, item):
                np.multiply(item, 2, out=self.twice)
                return self.twice.sum()
        """,
    "functions that are registered for types": """
        from functools import singledispatch
        @singledispatch
        def take(item): return [item]
        @take.register
        def _(item: int):
            found = []
            found.append(item)
            return found
        def handler(item): return take(item)
        """,
    "objects of a list that keep nothing": """
        from other import Sender
        class handler:
            def __init__(self): self.senders, self.names = [Sender()], {"a": ["b"]}
            def __call__(self, item):
                found = []
                for sender in self.senders: found.append(sender.get(item))
                for name, more in self.names.items(): found.extend(more)
                return found
        """,
    "a model that a function makes when first needed": """
        from other import Sender
        def build(): return Sender()
        class handler:
            def __init__(self): self.sender = None
            def __call__(self, item):
                if self.sender is None: self.sender = build()
                return self.sender.get(item)
        """,
    "a client that is dropped after an error": """
        from other import Sender
        class handler:
            def __init__(self): self.sender = None
            def connected(self):
                if self.sender is None: self.sender = Sender()
                return self.sender
            def __call__(self, item):
                try:
                    return self.connected().get(item)
                except OSError:
                    self.sender = None
                    raise
        """,
    "an object that each call makes": """
        from other import Sender
        class handler:
            def __call__(self, item):
                self.sender = Sender()
                self.sender.post(item)
        """,
    "a list of the call's own, or one that is only read": """
        class handler:
            def __init__(self): self.known = []
            def __call__(self, item):
                rows = self.known
                if item: rows = [item]
                rows.append(item)
        """,
    "what an object was given that is not kept here": """
        from other import Holder
        class handler:
            def __init__(self, rows): self.holder = Holder(rows)
            def __call__(self, item): self.holder.hold(item)
        """,
    "a partial of a function": """
        from functools import partial
        def add(item, more): return item + more
        handler = partial(add, more=1)
        """,
}


def read(folder: Path, source: str) -> object:
    for name, text in (("other", OTHER), ("far", FAR), ("kitchen", source)):
        lines = text.strip("\n").splitlines()
        margin = len(lines[0]) - len(lines[0].lstrip())
        (folder / f"{name}.py").write_text("\n".join(line[margin:] for line in lines), encoding="utf-8")
    return read_kept_state("kitchen:handler", folder)


@pytest.mark.parametrize(("source", "attribute"), KEEPING.values(), ids=KEEPING)
def test_what_is_kept_by_a_detour_is_seen(tmp_path: Path, source: str, attribute: str) -> None:
    kept = read(tmp_path, source)

    assert isinstance(kept, KeptState), kept
    assert attribute == kept.attribute


@pytest.mark.parametrize("source", KEEPING_NOTHING.values(), ids=KEEPING_NOTHING)
def test_a_detour_that_keeps_nothing_is_no_fault(tmp_path: Path, source: str) -> None:
    assert not isinstance(read(tmp_path, source), KeptState)


@pytest.mark.parametrize(
    "flush",
    ["for sender in self.senders.values(): sender.pending = []", "self.senders[0].pending.clear()"],
)
def test_what_flush_does_with_each_of_a_dict_is_no_loss(tmp_path: Path, flush: str) -> None:
    source = f"""
        from other import Sender
        class handler:
            def __init__(self): self.senders = {{kind: Sender() for kind in range(3)}}
            def __call__(self, item): self.senders[item % 3].post(item)
            def flush(self):
                {flush}
        """
    read(tmp_path, source)

    assert read_unflushed_state("kitchen:handler", tmp_path) is None
