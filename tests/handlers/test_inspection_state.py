"""What a class keeps of its items, read from source. The modules are small, and written on the spot."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from runner.handlers.inspection.imports import Opaque
from runner.handlers.inspection.state import read_class_state, read_kept_state, read_unflushed_state
from runner.spec.commits import KeptState, LostBeside

BEGIN = """
import heapq, itertools, sqlite3
from collections import Counter, defaultdict, deque
from multiprocessing import Process

from elsewhere import bumped

def bump(numbers):
    numbers[0] += 1

def lead(item, numbers):
    bump(numbers)

def grow(item, numbers):
    numbers += [item]

def note(item, holder):
    holder.total += 1

def read(rows, config):
    found = [rows[0]]
    found.append(config["top"])
    return found

def change(item, rows):
    item.append(rows[0])

def copied(rows):
    rows = list(rows)
    rows.append(1)

class handler:
    def __init__(self, given=None):
        self.total, self.given = 0, given
        self.rows = []
        self.seen: set[str] = set()
        self.counts = Counter()
        self.groups = defaultdict(set)
        self.window = deque(maxlen=3)
        self.numbers = itertools.count()
        self.client = connect(given)
        self.model = None
        self.config = {"top": 3}
        self.append, self.note = self.rows.append, self.store
        marks = set()
        self.marks, self.tick = marks, marks.add
        self.file = open("rows.txt", "a")
        self.lines = open("lines.txt", "a", buffering=1)
        self.database = sqlite3.connect("rows.db")
"""

LINE = BEGIN.count("\n") + 2
"""Where `__call__` stands."""


def read(folder: Path, source: str) -> KeptState | Opaque | None:
    (folder / "kitchen.py").write_text(source, encoding="utf-8")
    return read_kept_state("kitchen:handler", folder)


def called_with_items(body: str, more: str = "") -> str:
    """The class above, with this body of its `__call__`, and `more` members."""
    method = "def __call__(self, item):\n" + indent(dedent(body).strip(), "    ")
    return BEGIN + "\n" + indent(method + "\n" + dedent(more), "    ")


KEEPING = {
    "augments": ("self.total += item", "total"),
    "assigns": ("self.last = item", "last"),
    "assigns one of several": ("first, self.last = item", "last"),
    "assigns in a loop": ("for self.last in item: pass", "last"),
    "deletes": ("del self.total", "total"),
    "sets by name": ("setattr(self, 'last', item)", "last"),
    "an entry": ("self.config[item] = 1", "config"),
    "an entry, augmented": ("self.counts[item] += 1", "counts"),
    "an entry, deleted": ("del self.rows[:]", "rows"),
    "an attribute of a part": ("self.model.best = item", "model"),
    "appends": ("self.rows.append(item)", "rows"),
    "adds": ("self.seen.add(item)", "seen"),
    "updates": ("self.counts.update(item)", "counts"),
    "adds to a part": ("self.groups[item].add(item)", "groups"),
    "adds to a part that is made": ("self.config.setdefault(item, []).append(item)", "config"),
    "rotates": ("self.window.rotate()", "window"),
    "by an alias": ("rows = self.rows\nrows.append(item)", "rows"),
    "by an alias of a part": ("group = self.groups[item]\ngroup.add(item)", "groups"),
    "augments it by an alias": ("rows = self.rows\nrows += [item]", "rows"),
    "augments it by a function of the file": ("grow(item, self.rows)", "rows"),
    "an entry, by an alias": ("counts = self.counts\ncounts[item] = 1", "counts"),
    "by a function": ("heapq.heappush(self.rows, item)", "rows"),
    "by a library's function": ("random.shuffle(self.config['order'])", "config"),
    "by a method of its class": ("list.append(self.rows, item)", "rows"),
    "by a method that it keeps": ("self.append(item)", "rows"),
    "by a method of what it is made with": ("self.tick(item)", "tick"),
    "by a method under another name": ("append = self.rows.append\nappend(item)", "rows"),
    "by a method that is handed on": ("each(self.rows.append, item)", "rows"),
    "by a function of the file": ("bump(self.rows)", "rows"),
    "by a function of the file, by name": ("bump(item, numbers=self.config['sums'])", "config"),
    "by one that calls another": ("lead(item, self.rows)", "rows"),
    "by one that is given all of it": ("note(item, self)", "total"),
    "takes the next": ("return next(self.numbers), item", "numbers"),
    "in a generator": ("yield item\nself.total += 1", "total"),
    "in a function inside": ("def keep(): self.rows.append(item)\nkeep()", "rows"),
    "a file that is not flushed": ("self.file.write(item)", "file"),
    "a file that is printed to": ("print(item, file=self.file)", "file"),
    "a file that is flushed sometimes": ("self.file.write(item)\nif item: self.file.flush()", "file"),
    "a file that is written under a lock": ("with self.given:\n    self.file.write(item)", "file"),
    "rows that are not committed": ("self.database.execute('insert into rows values (1)')", "database"),
    "a file that is opened when it is first needed": (
        "if self.model is None: self.model = open('rows.txt', 'a')\nself.model.write(item)",
        "model",
    ),
    "makes it of the item in steps, when there is none": (
        "if not self.model:\n    row = item\n    rows = [row]\n    self.model = rows",
        "model",
    ),
    "makes it of the item when there is none": ("if self.model is None: self.model = item", "model"),
}


@pytest.mark.parametrize(("body", "attribute"), KEEPING.values(), ids=KEEPING)
def test_a_change_of_self_is_seen(tmp_path: Path, body: str, attribute: str) -> None:
    kept = read(tmp_path, called_with_items(body))

    assert isinstance(kept, KeptState)
    assert attribute == kept.attribute


KEEPING_NOTHING = {
    "reads": "return item + self.total + self.config['top'] + self.rows[0]",
    "a function of the file that only reads": "return read(self.rows, self.config)",
    "a function of the file that changes something else": "return change(item, self.rows)",
    "a function of the file that is given a copy": "bump(list(self.rows))",
    "a function of the file that changes a copy": "copied(self.rows)",
    "a function of another module": "bumped(self.rows)",
    "a function that a local hides": "bump = item.read\nbump(self.rows)",
    "augments a copy": "total = self.total\ntotal += 1\nmean = self.config['mean']\nmean += 1\nreturn total",
    "a local list": "rows = []\nrows.append(item)\nreturn rows",
    "a local that was an attribute": "rows = self.rows\nrows = [*rows]\nrows.append(item)",
    "a parameter of that name": "item.append(1)",
    "a method of what it can't see into": "self.client.update(item)\nself.client.add(item)",
    "an entry of what it was given": "self.given[item] = 1",
    "what the constructor was given": "self.given.append(item)",
    "compares": "return self.total == item",
    "makes the model when it is first needed": "if not self.model:\n    self.model = load()\nreturn self.model(item)",
    "makes it in steps": "if not self.model:\n    model = load()\n    model.eval()\n    self.model = model",
    "makes it unless it is there": "if not hasattr(self, 'lazy'):\n    self.lazy = load()",
    "makes it when it turns out to be missing": (
        "try:\n    lazy = self.lazy\nexcept AttributeError:\n    lazy = self.lazy = load()\nreturn lazy(item)"
    ),
    "reads by methods": "return self.config.get(item), self.rows.index(item), self.rows.copy().append(1)",
    "a file that is flushed": "self.file.write(item)\nself.file.flush()",
    "a file that is printed to and flushed": "print(item, file=self.file, flush=True)",
    "a file that holds nothing back": "self.lines.write(item)",
    "a file that is opened when it is first needed, and flushed": (
        "if self.model is None: self.model = open('rows.txt', 'a')\nself.model.write(item)\nself.model.flush()"
    ),
    "rows that are committed": "self.database.execute('insert into rows values (1)')\nself.database.commit()",
    "rows in a transaction": "with self.database:\n    self.database.execute('insert into rows values (1)')",
    "rows that are read": "self.database.execute('select 1').fetchall()",
    "sorts a copy": "return sorted(self.rows)",
}


@pytest.mark.parametrize("body", KEEPING_NOTHING.values(), ids=KEEPING_NOTHING)
def test_what_does_not_change_self_keeps_nothing(tmp_path: Path, body: str) -> None:
    assert read(tmp_path, called_with_items(body)) is None


def test_methods_that_the_call_leads_to_count_and_others_do_not(tmp_path: Path) -> None:
    members = """
    def put_away(self, item):
        self.store(item)

    def store(self, item):
        self.rows.append(item)

    def close(self):
        self.total = 0
    """

    led = read(tmp_path, called_with_items("self.put_away(item)", members))
    not_led = read(tmp_path, called_with_items("return item", members))

    assert (KeptState("rows", "kitchen.py", LINE + 7), None) == (led, not_led)


@pytest.mark.parametrize("call", ["self.note(item)", "self.put(self.rows)", "self.lay(self.rows, item)"])
def test_methods_by_another_name_and_what_they_are_handed_count(tmp_path: Path, call: str) -> None:
    members = """
    def store(self, item):
        self.rows.append(item)

    def put(self, numbers):
        bump(numbers)

    @staticmethod
    def lay(numbers, item):
        numbers.append(item)
    """
    kept = read(tmp_path, called_with_items(call, members))

    assert isinstance(kept, KeptState)
    assert "rows" == kept.attribute


def test_a_flush_in_a_method_that_each_call_leads_to_counts(tmp_path: Path) -> None:
    members = """
    def store(self, item):
        self.file.write(item)
        self.push()

    def push(self):
        self.file.flush()
    """

    assert read(tmp_path, called_with_items("self.store(item)", members)) is None


@pytest.mark.parametrize(
    "source",
    [
        "from functools import partial\nclass handler(partial):\n    pass",
        "class handler:\n    __call__ = make()",
    ],
    ids=["from a class in C", "made by running the module"],
)
def test_a_call_that_cannot_be_seen_is_not_guessed(tmp_path: Path, source: str) -> None:
    assert isinstance(read(tmp_path, source), Opaque)


def test_a_static_method_has_no_self(tmp_path: Path) -> None:
    members = """
    @staticmethod
    def mark(item):
        item.seen = True
    """

    assert read(tmp_path, called_with_items("self.mark(item)", members)) is None


def test_inherited_methods_count(tmp_path: Path) -> None:
    source = """
    from shelf import Shelf

    class Cook(Shelf):
        def __call__(self, item):
            super().__call__(item)

    class handler(Cook):
        pass
    """
    shelf = """
    class Shelf:
        def __init__(self):
            self.rows = []

        def __call__(self, item):
            self.keep(item)

        def keep(self, item):
            self.rows.append(item)
    """
    (tmp_path / "shelf.py").write_text(dedent(shelf), encoding="utf-8")

    assert KeptState("rows", "shelf.py", 10) == read(tmp_path, dedent(source))


def test_a_method_that_the_class_puts_in_the_place_of_an_inherited_one_counts_alone(tmp_path: Path) -> None:
    source = """
    class Shelf:
        def __call__(self, item):
            self.keep(item)

        def keep(self, item):
            self.last = item

    class handler(Shelf):
        def keep(self, item):
            print(item)
    """

    assert read(tmp_path, dedent(source)) is None


def test_a_class_that_is_a_container_keeps_things_in_itself(tmp_path: Path) -> None:
    source = """
    from collections import Counter

    class handler(Counter):
        def __call__(self, item):
            self[item] += 1
    """

    assert KeptState("self", "kitchen.py", 6) == read(tmp_path, dedent(source))


def test_fields_of_a_dataclass_are_known(tmp_path: Path) -> None:
    source = """
    from dataclasses import dataclass, field

    @dataclass
    class handler:
        rows: list = field(default_factory=list)

        def __call__(self, item):
            self.rows.extend(item)
    """

    assert KeptState("rows", "kitchen.py", 9) == read(tmp_path, dedent(source))


@pytest.mark.parametrize(
    "source",
    [
        "def handler(item):\n    rows = []\n    rows.append(item)",
        "def handler(queue):\n    total = 0\n    total += 1",
        "class handler:\n    def run(self):\n        self.total = 1",
    ],
    ids=["a function", "a function that drives its queue", "a class without a call"],
)
def test_what_is_no_class_called_with_items_keeps_nothing(tmp_path: Path, source: str) -> None:
    assert read(tmp_path, source) is None


def test_what_only_running_the_module_would_tell_is_not_guessed(tmp_path: Path) -> None:
    assert isinstance(read(tmp_path, "handler = make()"), Opaque)


HELPED = """
class Sums:
    def __init__(self):
        self.total, self.model = 0, None

    def add(self, item):
        self.total += item

    def ask(self, item):
        if self.model is None:
            self.model = load()
        return self.model(item)

class handler:
    def __init__(self):
        self.sums = Sums()

    def __call__(self, item):
        return self.sums.METHOD(item)
"""


def test_what_an_object_of_the_module_s_own_keeps_for_the_class_counts(tmp_path: Path) -> None:
    kept = read(tmp_path, HELPED.replace("METHOD", "add"))

    assert KeptState("sums.total", "kitchen.py", 7) == kept


@pytest.mark.parametrize(
    "call", ["sums = self.sums\n        sums.add(item)", "self.step(item)", "put(self.sums, item)"]
)
def test_what_it_keeps_counts_by_whatever_name_it_is_called(tmp_path: Path, call: str) -> None:
    source = HELPED.replace("return self.sums.METHOD(item)", call).replace(
        "self.sums = Sums()", "self.sums = Sums()\n        self.step = self.sums.add"
    )
    kept = read(tmp_path, source + "\ndef put(sums, item):\n    sums.add(item)\n")

    assert KeptState("sums.total", "kitchen.py", 7) == kept


def test_an_object_of_the_module_s_own_may_keep_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, HELPED.replace("METHOD", "ask")) is None


FLUSHED = """
class Notes:
    def __init__(self):
        self.lines, self.file = [], open("notes.txt", "a")

    def note(self, item):
        self.lines.append(item)

    def write(self, item):
        self.file.write(item)

class Base:
    def empty(self):
        self.inherited = []

def save(rows):
    rows.clear()

class handler(Base):
    def __init__(self):
        self.rows, self.n, self.model, self.inherited = [], 0, None, []
        self.notes, self.file = Notes(), open("rows.txt", "a")
        self.clear = self.rows.clear

    def __call__(self, item):
        CALL

    def flush(self):
        FLUSH

    def helped(self):
        save(self.rows)

    @property
    def most(self):
        return self.rows[-1]
"""


@pytest.mark.parametrize(
    ("call", "flush", "attribute"),
    [
        ("self.n += 1", "self.rows.clear()", "n"),
        ("self.rows.append(item); self.n += 1", "self.rows = []", "n"),
        ("self.rows.append(item)", "pass", "rows"),
        ("self.notes.note(item)", "self.rows.clear()", "notes.lines"),
    ],
)
def test_what_flush_does_nothing_with_is_lost(tmp_path: Path, call: str, flush: str, attribute: str) -> None:
    (tmp_path / "kitchen.py").write_text(FLUSHED.replace("CALL", call).replace("FLUSH", flush))

    kept = read_unflushed_state("kitchen:handler", tmp_path)

    assert kept is not None
    assert (attribute, LostBeside.FLUSH) == (kept.attribute, kept.beside)


@pytest.mark.parametrize(
    ("call", "flush"),
    [
        ("self.rows.append(item)", "self.rows.clear()"),
        ("self.rows.append(item)", "self.clear()"),
        ("self.rows.append(item)", "self.helped()"),
        ("self.rows.append(item)", "print(self.most)"),
        ("self.rows.append(item); self.n += 1", "print(self.n, self.rows)"),
        ("self.rows.append(item); self.n += 1", "self.rows, self.n = [], 0"),
        ("self.inherited.append(item)", "super().empty()"),
        ("self.n += 1", "save(self)"),
        ("self.n += 1", "print(self.__dict__)"),
        ("self.notes.note(item)", "self.notes.lines.clear()"),
        ("if self.model is None: self.model = load()", "pass"),
        ("self.file.write(item)", "pass"),
        ("self.notes.write(item)", "pass"),
        ("return item", "pass"),
    ],
)
def test_what_flush_knows_of_and_what_is_a_file_s_is_not(tmp_path: Path, call: str, flush: str) -> None:
    (tmp_path / "kitchen.py").write_text(FLUSHED.replace("CALL", call).replace("FLUSH", flush))

    assert read_unflushed_state("kitchen:handler", tmp_path) is None


SHARED = """
from dataclasses import dataclass, field

class Notes:
    lines = []

    def note(self, item):
        self.lines.append(item)

class handler:
    seen, table = [], {}
    total = 0
    own = []

    def __init__(self):
        self.own, self.notes, self.rows = [], Notes(), []

    def __call__(self, item):
        CALL

    @classmethod
    def count(cls):
        cls.total += 1

@dataclass
class Fields:
    rows: list = field(default_factory=list)

    def __call__(self, item):
        self.rows.append(item)

class Pickled(handler):
    def __getstate__(self):
        return self.seen
"""


@pytest.mark.parametrize(
    ("call", "attribute"),
    [
        ("self.seen.append(item)", "seen"),
        ("self.rows.append(item); self.table[item] = 1", "table"),
        ("seen = self.seen; seen.append(item)", "seen"),
        ("type(self).total += 1", "total"),
        ("self.__class__.total += 1", "total"),
        ("handler.total += 1", "total"),
        ("handler.seen.append(item)", "seen"),
        ("self.count()", "total"),
        ("self.notes.note(item)", "notes.lines"),
    ],
)
def test_what_is_the_class_s_is_in_no_checkpoint(tmp_path: Path, call: str, attribute: str) -> None:
    (tmp_path / "kitchen.py").write_text(SHARED.replace("CALL", call))

    kept = read_class_state("kitchen:handler", tmp_path)

    assert kept is not None
    assert (attribute, LostBeside.CHECKPOINT) == (kept.attribute, kept.beside)
    assert isinstance(read_kept_state("kitchen:handler", tmp_path), KeptState)
    assert read_class_state("kitchen:Pickled", tmp_path) is None


@pytest.mark.parametrize(
    "call",
    [
        "self.total += 1",
        "self.own.append(item)",
        "self.rows.append(item)",
        "self.seen = [*self.seen, item]",
        "self.seen += [item]",
        "return item in self.seen",
        "setattr(self, 'seen', []); self.seen.append(item)",
    ],
)
def test_what_is_the_instance_s_is_in_a_checkpoint(tmp_path: Path, call: str) -> None:
    (tmp_path / "kitchen.py").write_text(SHARED.replace("CALL", call))

    assert read_class_state("kitchen:handler", tmp_path) is None
    assert read_class_state("kitchen:Fields", tmp_path) is None


def test_objects_that_lead_back_to_themselves_keep_nothing(tmp_path: Path) -> None:
    source = """
class handler:
    def __init__(self):
        self.other = handler()

    def __call__(self, item):
        self.other.step(item)

    def step(self, item):
        self.other.step(item)
"""
    assert read(tmp_path, source) is None
