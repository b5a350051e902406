"""What a handler keeps of its items outside of itself: in modules, defaults, closures, objects of other files."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.handlers.inspection.imports import Opaque
from runner.handlers.inspection.state import read_class_state, read_kept_state, read_unflushed_state
from runner.spec.commits import Holder, KeptState, LostBeside

OTHER = """
import time
import requests

SEEN = set()
total = 0

class Counter:
    kinds = []

    def __init__(self):
        self.total, self.words = 0, set()

    def add(self, item):
        self.total += item

    def look(self, item):
        return self.total + item

    @classmethod
    def note(cls, item):
        cls.kinds.append(item)

class Client:
    def __init__(self):
        self.session = requests.Session()

    def send(self, item):
        return self.session.post("https://example.org", data=item)

STATS = Counter()

def record(item):
    SEEN.add(item)

def parse(item):
    return item.split()
"""

BEGIN = """
import csv, functools, hashlib, heapq, itertools, logging, os, re, sqlite3, subprocess, sys, threading, time, zlib
from collections import Counter as Count
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import lru_cache, partial
from queue import Queue

import duckdb, requests, torch
import other
from other import SEEN as seen_there, STATS, Client, Counter, parse, record

log = logging.getLogger(__name__)
WORD = re.compile("[a-z]+")
LOCK = threading.Lock()
SESSION = requests.Session()
LOCAL = threading.local()
MODEL = None
TOKEN, last = {}, 0.0
total = 0
SEEN = set()
ROWS: list[str] = []
TALLY = Count()
CACHE = {}
HEAP = []
NUMBERS = itertools.count()
HERE = Counter()
OUT = open("rows.txt", "w")
LINES = open("lines.txt", "w", buffering=1)
CSV = csv.writer(OUT)
PRINTED = csv.writer(sys.stdout)
DB = sqlite3.connect("rows.db")
DUCK = duckdb.connect("rows.duck")
CAT = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
SUM = hashlib.sha256()
PACKED = zlib.compressobj()
TURN = ContextVar("turn", default=0)
POOL = ThreadPoolExecutor(2)
FILES = {}
push = partial(heapq.heappush, HEAP)
put = ROWS.append

def load(path="model"):
    return torch.load(path)

def model(path):
    global MODEL
    if MODEL is None:
        MODEL = load(path)
    return MODEL

def cached(word):
    if word not in CACHE:
        CACHE[word] = load(word)
    return CACHE[word]

def bump(item):
    global total
    total += item

def dedupe(item, seen=set()):
    seen.add(item)

def fill(item, rows):
    rows.append(item)

def tally(item):
    tally.total += item

tally.total = 0

@functools.cache
def opened(name="rows.txt"):
    return open(name, "a")

@lru_cache(maxsize=None)
def database():
    db = sqlite3.connect("rows.db")
    db.execute("create table if not exists rows (item)")
    return db

@functools.cache
def kept_rows():
    return []

@functools.cache
def counter():
    return Counter()

def opened_once():
    global OPENED
    if OPENED is None:
        OPENED = open("rows.txt", "a")
    return OPENED

OPENED = None

def file_of(item):
    if item not in FILES:
        FILES[item] = open(f"{item}.txt", "a")
    return FILES[item]

def fresh():
    return []

def adder():
    total = 0
    while True:
        total += yield total

def make_step():
    n, rows = 0, []
    def step(item):
        nonlocal n
        n += 1
    def keep(item):
        rows.append(item)
    def read(item):
        return n, item
    return step, keep, read

def make_counter():
    n = 0
    def step(item):
        nonlocal n
        n += item
        return n
    return step

def make_reader(path):
    data = load(path)
    def step(item):
        return data[item]
    return step

def counted(fn):
    calls = 0
    def wrapper(item):
        nonlocal calls
        calls += 1
        return fn(item)
    return wrapper

def retried(times):
    def decorate(fn):
        def wrapper(item):
            tries = 0
            while tries < times:
                tries += 1
                return fn(item)
        return wrapper
    return decorate

def remembered(fn):
    known = {}
    def wrapper(item):
        if item not in known:
            known[item] = fn(item)
        return known[item]
    return wrapper

class Rows:
    total = 0

    def __init__(self):
        self.db = sqlite3.connect("rows.db")

    def add(self, item):
        self.db.execute("insert into rows values (?)", (item,))

    def commit(self):
        self.db.commit()

    @classmethod
    def count(cls, item):
        cls.total += 1

    @staticmethod
    def store(item):
        ROWS.append(item)

    def __call__(self, item):
        self.last = item

class Decorating:
    def __init__(self, fn):
        self.fn, self.calls = fn, 0

    def __call__(self, item):
        self.calls += 1
        return self.fn(item)

ADDER = adder()
rows = Rows()
STEP = make_counter()
READ = make_reader("words")
"""


def function(body: str, parameters: str = "item") -> str:
    """A handler that is a function, with this body."""
    return f"{BEGIN}\ndef handler({parameters}):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def class_(made: str, call: str, more: str = "") -> str:
    """A handler that is a class: what it is made with, what a call does, and other members."""
    lines = ["class handler:", "    def __init__(self, given=None):", f"        self.heap = []; {made}"]
    lines += ["    def __call__(self, item):", *(f"        {line}" for line in call.splitlines())]
    return "\n".join([BEGIN, *lines, *(f"    {line}" for line in more.splitlines())]) + "\n"


def write(folder: Path, source: str) -> None:
    (folder / "kitchen.py").write_text(source, encoding="utf-8")
    (folder / "other.py").write_text(OTHER, encoding="utf-8")


def read(folder: Path, source: str) -> KeptState | Opaque | None:
    write(folder, source)
    return read_kept_state("kitchen:handler", folder)


IN_MODULES = {
    "augments a global": (function("global total\ntotal += 1"), "total"),
    "assigns a global": (function("global last\nlast = item"), "last"),
    "adds to a set": (function("SEEN.add(item)"), "SEEN"),
    "appends to a list": (function("ROWS.append(item)"), "ROWS"),
    "augments a list": (function("global ROWS\nROWS += [item]"), "ROWS"),
    "an entry": (function("TALLY[item] += 1"), "TALLY"),
    "by another name": (function("rows = ROWS\nrows.append(item)"), "ROWS"),
    "by its method under another name": (function("put(item)"), "ROWS"),
    "by a partial": (function("push(item)"), "HEAP"),
    "by a function that is given it": (function("fill(item, ROWS)"), "ROWS"),
    "by a function of the file": (function("bump(item)"), "total"),
    "by a function that is handed on": (function("list(map(bump, item))"), "total"),
    "by a function of another file": (function("record(item)"), "SEEN"),
    "by a function of a module of its own": (function("other.record(item)"), "SEEN"),
    "what another file has": (function("seen_there.add(item)"), "SEEN"),
    "what a module of its own has": (function("other.SEEN.add(item)"), "SEEN"),
    "a number of a module of its own": (function("other.total += 1"), "total"),
    "takes the next": (function("return next(NUMBERS), item"), "NUMBERS"),
    "an object of the file": (function("HERE.add(item)"), "HERE.total"),
    "an object of another file": (function("STATS.add(item)"), "STATS.total"),
    "what an object of another file has": (function("STATS.words.add(item)"), "STATS.words"),
    "an attribute of itself": (function("handler.calls += 1"), "handler"),
    "an attribute of a class": (function("Counter.total += 1"), "Counter"),
    "an attribute for its thread": (function("LOCAL.count += 1"), "LOCAL"),
    "a file that is not flushed": (function("OUT.write(item)"), "OUT"),
    "a file in a writer": (function("CSV.writerow(item)"), "CSV"),
    "rows that are not committed": (function("DB.execute('insert into rows values (1)')"), "DB"),
    "a file that is opened when it is first needed": (
        function("global MODEL\nif MODEL is None: MODEL = open('rows.txt', 'w')\nMODEL.write(item)"),
        "MODEL",
    ),
    "rows of a database that another function opens when it is first needed": (
        function("opened()\nMODEL.execute('insert into rows values (1)')")
        + "\ndef opened():\n    global MODEL\n    if MODEL is None: MODEL = sqlite3.connect('rows.db')\n",
        "MODEL",
    ),
    "a closure": (function("return STEP(item)"), "STEP"),
    "what looks like a cache, and is not read": (
        function("if item in CACHE:\n    return\nCACHE[item] = load(item)\nyield item"),
        "CACHE",
    ),
    "what looks like a cache, of the last": (
        function("key = item['id']\nif key not in CACHE:\n    CACHE[key] = load(item)\nreturn CACHE[key]"),
        "CACHE",
    ),
    "what looks like a cache, and is read as a whole": (
        function(
            "if item not in CACHE:\n    CACHE[item] = load(item)\nreturn CACHE[item], sum(CACHE.values())"
        ),
        "CACHE",
    ),
    "a closure of another name": (
        function("return other_name(item)") + "\nother_name = make_counter()\n",
        "other_name",
    ),
    "a decorator": (BEGIN + "\n@counted\ndef handler(item):\n    pass\n", "handler"),
    "a class that decorates": (BEGIN + "\n@Decorating\ndef handler(item):\n    pass\n", "handler.calls"),
    "a closure that is the handler": (BEGIN + "\nhandler = make_counter()\n", "handler"),
    "a partial that is the handler": (BEGIN + "\nhandler = partial(fill, rows=ROWS)\n", "ROWS"),
    "an instance that is the handler": (BEGIN + "\nhandler = Rows()\n", "handler.last"),
    "a method of the class": (BEGIN + "\nhandler = Rows.store\n", "ROWS"),
    "what an object holds back": (function("rows.add(item)"), "rows.db"),
    "a batch": (function("ROWS.extend(items)", "items"), "ROWS"),
    "an attribute of a function": (function("tally(item)"), "tally"),
    "a file that is an attribute of itself": (
        function(
            "if not hasattr(handler, 'file'): handler.file = open('rows.txt', 'a')\nhandler.file.write(item)"
        ),
        "handler.file",
    ),
    "a file that a cached function opens": (function("opened().write(item)"), "opened()"),
    "a file that a cached function opens, by another name": (
        function("file = opened(item)\nfile.write(item)"),
        "opened()",
    ),
    "rows of a database that a cached function opens": (
        function("database().execute('insert into rows values (?)', item)"),
        "database()",
    ),
    "a list that a cached function makes": (function("kept_rows().append(item)"), "kept_rows()"),
    "an object that a cached function makes": (function("counter().add(item)"), "counter().total"),
    "a file that a function opens when it is first needed": (function("opened_once().write(item)"), "OPENED"),
    "one of many files": (function("file_of(item).write(item)"), "FILES"),
    "a generator that is sent items": (function("return ADDER.send(item)"), "ADDER"),
    "a generator's next": (function("return ADDER.__next__()"), "ADDER"),
    "a context variable": (function("TURN.set(TURN.get() + item)"), "TURN"),
    "a hash": (function("SUM.update(item)"), "SUM"),
    "a compressor": (function("return PACKED.compress(item)"), "PACKED"),
    "a pipe to a program": (function("CAT.stdin.write(item)"), "CAT"),
    "a global by its name": (function("globals()['total'] += item"), "total"),
    "an attribute of a module that is no file": (
        function("import board\nboard.total += item"),
        "board.total",
    ),
    "an attribute of a library's module": (function("torch.calls += 1"), "torch.calls"),
    "in a generator": (function("yield item\nSEEN.add(item)"), "SEEN"),
}


@pytest.mark.parametrize(("source", "name"), IN_MODULES.values(), ids=IN_MODULES)
def test_a_change_of_what_a_module_holds_is_seen(tmp_path: Path, source: str, name: str) -> None:
    kept = read(tmp_path, source)

    assert isinstance(kept, KeptState)
    assert (name, Holder.MODULE) == (kept.attribute, kept.holder)


BEGUN = {
    "work for an executor": (function("POOL.submit(load, item)"), "POOL.submit"),
    "a thread": (function("threading.Thread(target=load, args=(item,)).start()"), "threading.Thread"),
    "a thread with a name": (
        function("thread = threading.Thread(target=load, args=(item,))\nthread.start()"),
        "threading.Thread",
    ),
    "a program": (function("subprocess.Popen(['cat', item])"), "subprocess.Popen"),
    "by a function that is called": (
        function("later(item)") + "\ndef later(item):\n    POOL.submit(load, item)\n",
        "POOL.submit",
    ),
}


@pytest.mark.parametrize(("source", "name"), BEGUN.values(), ids=BEGUN)
def test_work_that_a_call_does_not_wait_for_is_seen(tmp_path: Path, source: str, name: str) -> None:
    kept = read(tmp_path, source)

    assert isinstance(kept, KeptState)
    assert (name, Holder.BEGUN) == (kept.attribute, kept.holder)


@pytest.mark.parametrize("made", ["open('rows.txt', 'a')", "sqlite3.connect('rows.db')"])
def test_a_file_in_a_default_holds_back(tmp_path: Path, made: str) -> None:
    kept = read(tmp_path, function("rows.write(item); rows.execute('insert 1')", f"item, rows={made}"))

    assert isinstance(kept, KeptState)
    assert ("rows", Holder.DEFAULT) == (kept.attribute, kept.holder)


def test_a_mutable_default_keeps_things(tmp_path: Path) -> None:
    own = read(tmp_path, function("seen.add(item)", "item, seen=set()"))
    of_a_function = read(tmp_path, function("dedupe(item)"))

    assert isinstance(own, KeptState)
    assert isinstance(of_a_function, KeptState)
    assert [("seen", Holder.DEFAULT)] * 2 == [(each.attribute, each.holder) for each in (own, of_a_function)]
    assert "`seen`, a default in kitchen.py (line " in own.shown


IN_THE_INSTANCE = {
    "a file that a method returns": (
        class_(
            "self.opened = None",
            "self.file().write(item)",
            "def file(self):\n    if not self.opened: self.opened = open('rows.txt', 'a')\n    return self.opened",
        ),
        "opened",
    ),
    "a file that is a property": (
        class_("self.opened = open('rows.txt', 'a')", "self.file.write(item)")
        + "    @property\n    def file(self):\n        return self.opened\n",
        "opened",
    ),
    "a file that is a cached property": (
        class_("pass", "self.file.write(item)")
        + "    @functools.cached_property\n    def file(self):\n        return open('rows.txt', 'a')\n",
        "file",
    ),
    "a writer of rows under another name": (
        class_("self.row = csv.writer(open('rows.csv', 'w')).writerow", "self.row(item)"),
        "row",
    ),
    "one of its files": (
        class_(
            "self.files = {}",
            "if item not in self.files:\n    self.files[item] = open(item, 'a')\nself.files[item].write(item)",
        ),
        "files",
    ),
    "a hash of its own": (class_("self.sum = hashlib.md5()", "self.sum.update(item)"), "sum"),
    "a file that it opens in each call, and leaves open": (
        class_("pass", "self.file = open(item, 'w')\nself.file.write(item)"),
        "file",
    ),
    "an item that the next call reads": (
        class_("self.item = None", "change = item - self.item\nself.item = item\nreturn change"),
        "item",
    ),
    "an item that close() reads": (
        class_("pass", "self.item = item\nprint(self.item)", "def close(self):\n    print(self.item)"),
        "item",
    ),
    "an item that a method reads before it is set": (
        class_("pass", "self.work()\nself.item = item", "def work(self):\n    print(self.item)"),
        "item",
    ),
    "an item that is set sometimes": (
        class_("pass", "if item:\n    self.item = item\nprint(self.item)"),
        "item",
    ),
    "an object of another file": (
        class_("self.counter = Counter()", "self.counter.add(item)"),
        "counter.total",
    ),
    "an object of a module of its own": (
        class_("self.counter = other.Counter()", "self.counter.add(item)"),
        "counter.total",
    ),
    "what an object of another file has": (
        class_("self.counter = Counter()", "self.counter.words.add(item)"),
        "counter.words",
    ),
    "a partial": (class_("self.push = partial(heapq.heappush, self.heap)", "self.push(item)"), "heap"),
    "a partial of a function": (
        class_("self.push = partial(fill, rows=self.heap)", "self.push(item)"),
        "heap",
    ),
    "a lambda": (class_("self.push = lambda item: self.heap.append(item)", "self.push(item)"), "heap"),
    "a table of methods": (
        class_(
            "self.table = {'a': self.a}",
            "self.table[item](item)",
            "def a(self, item):\n    self.heap.append(item)",
        ),
        "heap",
    ),
    "methods by a part of their names": (
        class_(
            "pass", "getattr(self, f'on_{item}')(item)", "def on_a(self, item):\n    self.heap.append(item)"
        ),
        "heap",
    ),
    "a closure": (class_("self.step = make_counter()", "self.step(item)"), "step"),
    "a default of its constructor": (class_("self.rows = given or []", "self.rows.append(item)"), "rows"),
    "an array of sums": (class_("self.sums = numpy.zeros(9)", "self.sums[item:] += 1"), "sums"),
    "an entry of an array": (class_("self.sums = numpy.zeros(9)", "self.sums[item] = 1"), "sums"),
    "a queue that a thread empties": (class_("self.queue = Queue()", "self.queue.put(item)"), "queue"),
}


@pytest.mark.parametrize(("source", "name"), IN_THE_INSTANCE.values(), ids=IN_THE_INSTANCE)
def test_a_change_of_what_an_instance_holds_is_seen(tmp_path: Path, source: str, name: str) -> None:
    kept = read(tmp_path, source)

    assert isinstance(kept, KeptState)
    assert (name, Holder.INSTANCE) == (kept.attribute, kept.holder)


def test_what_a_class_keeps_in_its_module_is_seen(tmp_path: Path) -> None:
    kept = read(tmp_path, class_("pass", "SEEN.add(item)"))

    assert isinstance(kept, KeptState)
    assert ("SEEN", Holder.MODULE) == (kept.attribute, kept.holder)


ORDINARY = {
    "reads": function("return total, ROWS[0], WORD.findall(item), TALLY[item], last"),
    "a logger": function("log.info('got %s', item)"),
    "a lock": function("with LOCK:\n    print(item)"),
    "a model, when first needed": function(
        "global MODEL\nif MODEL is None:\n    MODEL = load()\nreturn MODEL(item)"
    ),
    "a model, by a function": function("return model(path)(item)", "item, path"),
    "a model, unless it is there": function(
        "global MODEL\nif MODEL:\n    return MODEL(item)\nMODEL = load()"
    ),
    "a connection of its thread": function(
        "if not hasattr(LOCAL, 'db'):\n    LOCAL.db = sqlite3.connect('rows.db')\nreturn LOCAL.db"
    ),
    "a client that is made again": function(
        "global SESSION\ntry:\n    SESSION.post(item)\nexcept OSError:\n    SESSION = requests.Session()"
    ),
    "a session and its headers": function(
        "SESSION.headers['Token'] = item.token\nSESSION.headers.update(a=item)"
    ),
    "the time of the last request": function(
        "global last\ntime.sleep(time.time() - last)\nlast = time.time()"
    ),
    "a token that is fetched again": function("TOKEN.update(load())"),
    "a cache": function("if item not in CACHE:\n    CACHE[item] = load(item)\nreturn CACHE[item]"),
    "a cache of a function": function("return cached(item)"),
    "a cache by get": function(
        "found = CACHE.get(item)\nif found is None:\n    found = load(item)\n    CACHE[item] = found\nreturn found"
    ),
    "a cache by try": function(
        "try:\n    return CACHE[item.at]\nexcept KeyError:\n    CACHE[item.at] = load(item.at)\nreturn CACHE[item.at]"
    ),
    "a cache by several": function(
        "key = (item.a, item.b)\nif key not in CACHE:\n    CACHE[key] = load(item.a, item.b)\nreturn CACHE[key]"
    ),
    "a cache that is emptied": function(
        "if len(CACHE) > 9:\n    CACHE.clear()\nif item not in CACHE:\n    CACHE[item] = load(item)\nreturn CACHE[item]"
    ),
    "a cache in a default": function(
        "if item not in cache:\n    cache[item] = load(item)\nreturn cache[item]", "item, cache={}"
    ),
    "a cache of the standard library": function("return find(item)")
    + "\n@lru_cache\ndef find(item):\n    return item\n",
    "what hides a global": function("ROWS = []\nROWS.append(item)\nfor SEEN in item:\n    SEEN.add(1)"),
    "a parameter of that name": function("ROWS.append(1)", "ROWS"),
    "a parameter of a function inside": function("def add(ROWS):\n    ROWS.append(1)\nadd([])"),
    "a function that is given something else": function("rows = []\nfill(item, rows)\ndedupe(item, set())"),
    "a function of another file": function("return parse(item), other.parse(item)"),
    "a method that reads": function("return STATS.look(item)"),
    "settings of a library": function("torch.backends.cudnn.benchmark = True\nos.environ['ITEM'] = item"),
    "a file that is flushed": function("OUT.write(item)\nOUT.flush()"),
    "a file that holds nothing back": function("LINES.write(item)"),
    "rows that are printed": function("PRINTED.writerow(item)"),
    "rows that are committed": function("with DB:\n    DB.execute('insert into rows values (1)')"),
    "rows of a database that commits each": function("DUCK.execute('insert into rows values (1)')"),
    "a closure that reads": function("return READ(item)"),
    "a decorator that keeps nothing": BEGIN + "\n@retried(3)\ndef handler(item):\n    pass\n",
    "a decorator with a cache": BEGIN + "\n@remembered\ndef handler(item):\n    pass\n",
    "what an object holds back, and is committed": function("rows.add(item)\nrows.commit()"),
    "the time, by another name": function("global last\nnow = time.time()\nlast = now"),
    "a file of a cached function that is flushed": function(
        "file = opened()\nfile.write(item)\nfile.flush()"
    ),
    "rows of a cached function that are committed": function(
        "rows = database()\nrows.execute('insert into rows values (1)')\nrows.commit()"
    ),
    "a list that a function makes each time": function(
        "rows = fresh()\nrows.append(item)\nfresh().append(item)"
    ),
    "a context variable that is set back": function("token = TURN.set(item)\nprint(item)\nTURN.reset(token)"),
    "work for an executor that is waited for": function(
        "done = POOL.submit(load, item)\nreturn done.result()"
    ),
    "a thread that is waited for": function("t = threading.Thread(target=load)\nt.start()\nt.join()"),
    "an executor of the call's own": function(
        "with ThreadPoolExecutor() as pool:\n    pool.submit(load, item)"
    ),
    "a program that is waited for": function("subprocess.run(['cat', item])"),
    "a class that opens and closes a file in each call": class_(
        "pass", "self.file = open('rows.txt', 'a')\nself.file.write(item)\nself.file.close()"
    ),
    "a class with a file in a with": class_(
        "self.file = None",
        "with open(item, 'w') as self.file:\n    self.store(item)",
        "def store(self, item):\n    self.file.write(item)",
    ),
    "a class with a file that another method opens and closes": class_(
        "pass",
        "self.begin(item)\nself.file.write(item)\nself.end()",
        "def begin(self, item):\n    self.file = open(item, 'w')\ndef end(self):\n    self.file.close()",
    ),
    "a class that hands the item on in an attribute": class_(
        "self.item = None",
        "self.item = item\nreturn self.work()",
        "def work(self):\n    return self.item + 1",
    ),
    "a rate limit": class_(
        "self.last = 0.0",
        "time.sleep(max(0, self.last + 1 - time.monotonic()))\nself.last = time.monotonic()",
    ),
    "a class with a client of another file": class_("self.client = Client()", "self.client.send(item)"),
    "a class with a session": class_(
        "self.session = requests.Session()", "self.session.headers['A'] = item\nself.session.post(item)"
    ),
    "a class with a cache": class_(
        "self.cache = {}",
        "if item not in self.cache:\n    self.cache[item] = load(item)\nreturn self.cache[item]",
    ),
    "a class that connects again": class_(
        "self.db = load(given)",
        "try:\n    self.db.send(item)\nexcept OSError:\n    self.db = load(self.heap)",
    ),
    "a class that makes it by a method": class_(
        "self.model, self.path = None, given",
        "self.ready(self.path)\nreturn self.model(item)",
        "def ready(self, path):\n    if self.model is None:\n        self.model = load(path)",
    ),
    "a class with a file in a writer": class_(
        "self.file = open('rows.csv', 'w', buffering=1); self.rows = csv.writer(self.file)",
        "self.rows.writerow(item)",
    ),
    "a class that commits each": class_(
        "self.db = psycopg.connect(given); self.db.autocommit = True",
        "self.db.execute('insert into rows values (1)')",
    ),
    "a class with an array on a disk": class_("self.rows = numpy.memmap('rows')", "self.rows[item] = item"),
    "a class with an array to work in": class_(
        "self.rows = numpy.empty(9)", "self.rows[:3] = item\nreturn self.rows.sum()"
    ),
    "a class with a table of constants": class_("self.table = {'a': 1}", "return self.table[item]"),
    "a class with a partial of a reader": class_(
        "self.read = partial(load, given)", "return self.read(item)"
    ),
    "a class with a closure that reads": class_("self.read = make_reader(given)", "return self.read(item)"),
}


@pytest.mark.parametrize("source", ORDINARY.values(), ids=ORDINARY)
def test_what_is_ordinary_keeps_nothing(tmp_path: Path, source: str) -> None:
    assert read(tmp_path, source) is None


def test_a_cache_that_somebody_else_reads_is_none(tmp_path: Path) -> None:
    call = "if item not in self.cache:\n    self.cache[item] = load(item)\nreturn self.cache[item]"
    kept = read(tmp_path, class_("self.cache = {}", call, "def close(self):\n    print(self.cache)"))

    assert isinstance(kept, KeptState)
    assert kept.attribute == "cache"


def test_modules_that_are_installed_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "tallies.py").write_text("total = 0\ndef add(item):\n    global total\n    total += 1\n")
    monkeypatch.syspath_prepend(str(installed))

    assert read(tmp_path, "import tallies\ndef handler(item):\n    tallies.add(item)\n") is None


def test_what_is_not_the_instance_s_is_in_no_checkpoint_and_in_no_flush(tmp_path: Path) -> None:
    write(
        tmp_path,
        class_("pass", "SEEN.add(item)\nself.heap.append(item)", "def flush(self):\n    self.heap.clear()"),
    )

    checkpointed = read_class_state("kitchen:handler", tmp_path)
    unflushed = read_unflushed_state("kitchen:handler", tmp_path)

    assert checkpointed is not None
    assert unflushed is not None
    assert [("SEEN", LostBeside.CHECKPOINT), ("SEEN", LostBeside.FLUSH)] == [
        (each.attribute, each.beside) for each in (checkpointed, unflushed)
    ]


def test_what_of_the_module_flush_makes_safe_is_safe(tmp_path: Path) -> None:
    write(tmp_path, class_("pass", "ROWS.append(item)", "def flush(self):\n    ROWS.clear()"))

    assert read_unflushed_state("kitchen:handler", tmp_path) is None


def test_a_method_of_the_class_may_keep_things_in_the_class(tmp_path: Path) -> None:
    write(tmp_path, BEGIN)

    kept = read_kept_state("kitchen:Rows.count", tmp_path)

    assert isinstance(kept, KeptState)
    assert kept.attribute == "total"


@pytest.mark.parametrize("made", ["make_reader('words')", "partial(load, 1)", "Client()", "unknown()"])
def test_what_made_a_handler_may_not_tell_all_of_it(tmp_path: Path, made: str) -> None:
    assert isinstance(read(tmp_path, f"{BEGIN}\nhandler = {made}\n"), Opaque)
