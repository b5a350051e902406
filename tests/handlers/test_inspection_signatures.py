"""What a handler takes, read from source. The modules are small, and written on the spot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from runner.handlers.arguments import HandlerShape, Parameter, ParameterKind, Signature
from runner.handlers.inspection.imports import Missing, Opaque
from runner.handlers.inspection.signatures import read_signature


def read(folder: Path, source: str, name: str = "handler") -> Signature | Missing | Opaque:
    (folder / "kitchen.py").write_text(dedent(source), encoding="utf-8")
    return read_signature(f"kitchen:{name}", folder)


def words(parameters: tuple[Parameter, ...] | None) -> str:
    """Write parameters as one would say them: `a: int, b?, *c, d!, **e`, with `!` for keyword-only."""
    marks = {ParameterKind.VAR_POSITIONAL: "*", ParameterKind.VAR_KEYWORD: "**"}
    ends = {ParameterKind.POSITIONAL_ONLY: "/", ParameterKind.KEYWORD_ONLY: "!"}
    shown = []
    for p in parameters or ():
        optional = "?" if not p.required and p.kind not in marks else ""
        note = f": {p.annotation}" if p.annotation else ""
        shown.append(f"{marks.get(p.kind, '')}{p.name}{ends.get(p.kind, '')}{optional}{note}")
    return ", ".join(shown)


FUNCTIONS = {
    "plain": ("def handler(a, b=1): return a", HandlerShape.FUNCTION, "a, b?"),
    "annotated": (
        "def handler(a: int, b: 'str | None' = None): ...",
        HandlerShape.FUNCTION,
        "a: int, b?: str | None",
    ),
    "every kind": (
        "def handler(a, /, b, *c, d, e=1, **f): ...",
        HandlerShape.FUNCTION,
        "a/, b, *c, d!, e!?, **f",
    ),
    "generator": ("def handler(n):\n    for i in range(n):\n        yield i", HandlerShape.GENERATOR, "n"),
    "delegating generator": ("def handler(n):\n    yield from range(n)", HandlerShape.GENERATOR, "n"),
    "yield of an inner function": (
        "def handler(n):\n    def inner():\n        yield 1\n    return n",
        HandlerShape.FUNCTION,
        "n",
    ),
    "lambda": ("handler = lambda item, k=1: item", HandlerShape.FUNCTION, "item, k?"),
    "alias": ("def cook(a): ...\nhandler = cook", HandlerShape.FUNCTION, "a"),
    "defined twice": ("def handler(a): ...\ndef handler(b): ...", HandlerShape.FUNCTION, "b"),
    "under if": ("import sys\nif sys.platform:\n    def handler(a): ...", HandlerShape.FUNCTION, "a"),
    "under try": (
        "try:\n    import sys\n    def handler(a): ...\nfinally:\n    pass",
        HandlerShape.FUNCTION,
        "a",
    ),
    "under with": ("with open(__file__) as f:\n    def handler(a): ...", HandlerShape.FUNCTION, "a"),
    "cached": ("from functools import cache\n@cache\ndef handler(a): ...", HandlerShape.FUNCTION, "a"),
    "overloads": (
        "from typing import overload\n@overload\ndef handler(a: int): ...\ndef handler(a): ...",
        HandlerShape.FUNCTION,
        "a",
    ),
    "own type": ("class Path: ...\ndef handler(a: Path | None): ...", HandlerShape.FUNCTION, "a"),
    "borrowed builtin": ("handler = print", HandlerShape.FUNCTION, "*args, sep!?, end!?, file!?, flush!?"),
    "from the library": (
        "from textwrap import indent as handler",
        HandlerShape.FUNCTION,
        "text, prefix, predicate?",
    ),
    "through a module": (
        "import textwrap as t\nhandler = t.indent",
        HandlerShape.FUNCTION,
        "text, prefix, predicate?",
    ),
    "from C": ("from math import sqrt as handler", HandlerShape.FUNCTION, "x/"),
    "non-ASCII": ("def handler(包子: str): ...", HandlerShape.FUNCTION, "包子: str"),
}


@pytest.mark.parametrize(("source", "shape", "parameters"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_a_function_is_read_as_it_is_written(
    tmp_path: Path, source: str, shape: HandlerShape, parameters: str
) -> None:
    found = read(tmp_path, source)

    assert isinstance(found, Signature)
    assert (found.shape, words(found.parameters)) == (shape, parameters)


CLASSES = {
    "constructor and call": (
        "class handler:\n    def __init__(self, top: int = 3): ...\n    def __call__(self, item): ...",
        (HandlerShape.CLASS, "top?: int", "item"),
    ),
    "no call": ("class handler:\n    def run(self): ...", (HandlerShape.CLASS, "", None)),
    "inherited": (
        "class Base:\n    def __init__(self, a): ...\n    def __call__(self, x): ...\n"
        "class handler(Base): ...",
        (HandlerShape.CLASS, "a", "x"),
    ),
    "empty bases": (
        "from abc import ABC\nfrom typing import Generic, TypeVar\nT = TypeVar('T')\n"
        "class handler(ABC, Generic[T]):\n    def __call__(self, x): ...",
        (HandlerShape.CLASS, "", "x"),
    ),
    "dataclass": (
        "from dataclasses import dataclass, field, InitVar, KW_ONLY\nfrom typing import ClassVar\n"
        "@dataclass(frozen=True)\nclass handler:\n    a: int\n    seen: ClassVar[int] = 0\n"
        "    b: list[int] = field(default_factory=list)\n"
        "    c: int = field(init=False)\n    d: InitVar[str] = 'x'\n    _: KW_ONLY\n"
        "    e: float = field()\n    f: str = 'y'",
        (HandlerShape.CLASS, "a: int, b?: list[int], d?: str, e!: float, f!?: str", None),
    ),
    "dataclass with a base": (
        "from dataclasses import dataclass\n@dataclass\nclass Base:\n    a: int\n    b: int = 2\n"
        "@dataclass\nclass handler(Base):\n    b: str = ''\n    c: int = 1",
        (HandlerShape.CLASS, "a: int, b?: str, c?: int", None),
    ),
    "process": (
        "from multiprocessing import Process\nclass handler(Process):\n"
        "    def __init__(self, n):\n        super().__init__()\n    def run(self): ...",
        (HandlerShape.PROCESS, "n", None),
    ),
    "process by the module": (
        "import multiprocessing as mp\nclass Base(mp.Process): ...\nclass handler(Base): ...",
        (HandlerShape.PROCESS, "group?, target?, name?, args?, kwargs?, daemon!?", None),
    ),
    "thread, from the library's source": (
        "from threading import Thread\nclass handler(Thread):\n    def __init__(self, n): ...",
        (HandlerShape.CLASS, "n", None),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), CLASSES.values(), ids=CLASSES.keys())
def test_a_class_is_read_with_its_constructor_and_call(
    tmp_path: Path, source: str, expected: tuple[HandlerShape, str, str | None]
) -> None:
    found = read(tmp_path, source)

    assert isinstance(found, Signature)
    assert (found.shape, words(found.parameters), words(found.call) if found.call else None) == expected


@pytest.mark.parametrize(
    ("name", "parameters"), [("Oven.bake", "bun"), ("Oven.build", "size"), ("Oven.Inner.go", "x")]
)
def test_a_static_or_class_method_is_a_handler_too(tmp_path: Path, name: str, parameters: str) -> None:
    source = """
        class Oven:
            @staticmethod
            def bake(bun): ...
            @classmethod
            def build(cls, size): ...
            class Inner:
                @staticmethod
                def go(x): ...
    """

    found = read(tmp_path, source, name)

    assert isinstance(found, Signature)
    assert words(found.parameters) == parameters


OPAQUE = {
    "built": "from functools import partial\ndef f(a): ...\nhandler = partial(f, 1)",
    "decorated": "def twice(f): ...\n@twice\ndef handler(a): ...",
    "a decorator of its own called cache": "def cache(f): ...\n@cache\ndef handler(a): ...",
    "star import": "from no_such_place import *",
    "star import of what makes names": "from multiprocessing import *",
    "either of two": "if 1 > 2:\n    def handler(a): ...\nelse:\n    def handler(b): ...",
    "fallback": "try:\n    from fast import handler\nexcept ImportError:\n    handler = None",
    "names made at import": "globals().update(handler=print)",
    "names made one by one": "for name in ['handler']:\n    globals()[name] = print",
    "module getattr": "def __getattr__(name): ...",
    "import that is not found": "from no_such_place import handler",
    "unpacked": "handler, other = print, print",
    "loop": "from kitchen import handler",
    "own new": "class handler:\n    def __new__(cls, a): ...",
    "metaclass": "class M(type): ...\nclass handler(metaclass=M): ...",
    "base from a call": "class handler(type('B', (), {})): ...",
    "unknown base": "from no_such_place import Base\nclass handler(Base): ...",
    "base is itself": "class handler(handler): ...",
    "attrs": "from attrs import define\n@define\nclass handler:\n    a: int",
    "C without a signature": "handler = dict",
}


@pytest.mark.parametrize("source", OPAQUE.values(), ids=OPAQUE.keys())
def test_what_only_running_the_module_would_tell_is_left_unchecked(tmp_path: Path, source: str) -> None:
    assert isinstance(read(tmp_path, source), Opaque)


MISSING = {
    "misspelt": ("def handlr(a): ...", "callable", "kitchen.py has no 'handler'", "did you mean 'handlr'?"),
    "value": ("handler = 3", "callable", "'handler' in kitchen.py is a value: it can't be called", None),
    "for the type checker only": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from x import handler",
        "callable", "kitchen.py has no 'handler'", None,
    ),
    "for the script only": (
        "def cook(): ...\nif __name__ == '__main__':\n    handler = cook",
        "callable", "kitchen.py has no 'handler'", "known here: cook",
    ),
    "async and drives": (
        "async def handler(queue): ...",
        "callable",
        "'handler' is an async function, and its queue's `get()` and `put()` would hold up all that it runs",
        "let it take items instead",
    ),
    "module": ("import os as handler", "callable", "'handler' is a module: it can't be called", None),
    "syntax error": (
        "x = 1\ndef handler(:", "module", "kitchen.py, line 2 is not valid Python: invalid syntax",
        "the line is: def handler(:",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "is_async"),
    [
        ("async def handler(a): ...", True),
        ("def handler(a): ...", False),
        ("class handler:\n    async def __call__(self, a): ...", True),
        ("class Base:\n    async def __call__(self, a): ...\nclass handler(Base): ...", True),
        (
            "class B:\n    async def __call__(self, a): ...\nclass handler(B):\n    def __call__(self, a): ...",
            False,
        ),
    ],
)
def test_whether_a_call_makes_a_coroutine_is_read(tmp_path: Path, source: str, is_async: bool) -> None:
    signature = read(tmp_path, source)

    assert isinstance(signature, Signature)
    assert is_async is signature.is_async


@pytest.mark.parametrize(
    "source",
    [
        "from own import synced\n@synced\nasync def handler(a): ...",
        "from own import synced\nclass handler:\n    @synced\n    async def __call__(self, a): ...",
    ],
    ids=["function", "method"],
)
def test_an_async_function_of_which_a_decorator_may_make_a_plain_one_is_left_unchecked(
    tmp_path: Path, source: str
) -> None:
    assert isinstance(read(tmp_path, source), Opaque)


@pytest.mark.parametrize(("source", "what", "message", "help"), MISSING.values(), ids=MISSING.keys())
def test_what_is_not_there_is_named_with_what_is_near(
    tmp_path: Path, source: str, what: str, message: str, help: str | None
) -> None:
    assert read(tmp_path, source) == Missing(what, message, help)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "what", "help"),
    [
        ("kitchen.handler", "format", "did you mean 'kitchen:handler'?"),
        ("kitchen.py:handler", "format", "did you mean 'kitchen:handler'?"),
        ("./kitchen.py:handler()", "format", "did you mean 'kitchen:handler'?"),
        ("kitchen", "format", "such as 'baozi:steam'"),
        ("kitchen:", "format", "such as 'baozi:steam'"),
        ("a b:c", "format", "such as 'baozi:steam'"),
        ("kitchn:handler", "module", "did you mean 'kitchen'?"),
        ("shop.countr:handler", "module", "did you mean 'counter'?"),
        ("kitchen.oven:handler", "module", None),
        ("shop:handler.inner", "callable", None),
    ],
)
def test_a_target_that_leads_nowhere_says_what_would(
    tmp_path: Path, target: str, what: str, help: str | None
) -> None:
    (tmp_path / "kitchen.py").write_text("def handler(a): ...")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("def handler(a): ...")
    (tmp_path / "shop" / "counter.py").write_text("")

    found = read_signature(target, tmp_path)

    assert isinstance(found, Missing)
    assert (found.what, found.help) == (what, help)


def test_a_file_named_like_a_module_of_the_library_is_refused(tmp_path: Path) -> None:
    """The worker has `queue` loaded long before it looks beside the workflow."""
    (tmp_path / "queue.py").write_text("def handler(a): ...")

    found = read_signature("queue:handler", tmp_path)

    assert found == Missing(
        "module",
        "queue.py has the name of a module of the standard library, which is loaded first",
        "rename it",
    )


def test_the_folder_of_the_workflow_comes_before_the_import_path(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("def safe_load(mine): ...")

    found = read_signature("yaml:safe_load", tmp_path)

    assert isinstance(found, Signature)
    assert words(found.parameters) == "mine"


def test_names_are_followed_through_packages_and_relative_imports(tmp_path: Path) -> None:
    (tmp_path / "shop" / "back").mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").write_text("from .front import handler")
    (tmp_path / "shop" / "front.py").write_text("from .back import oven\nhandler = oven.bake")
    (tmp_path / "shop" / "back" / "__init__.py").write_text("")
    (tmp_path / "shop" / "back" / "oven.py").write_text(
        "from ..front import handler as again\ndef bake(bun): ..."
    )

    found = read_signature("shop:handler", tmp_path)

    assert isinstance(found, Signature)
    assert words(found.parameters) == "bun"
    assert found.file == str(tmp_path / "shop" / "back" / "oven.py")
    assert found.line == 2


def test_an_edit_is_seen(tmp_path: Path) -> None:
    read(tmp_path, "def handler(a): ...")

    found = read(tmp_path, "def handler(a, b): ...")

    assert isinstance(found, Signature)
    assert words(found.parameters) == "a, b"


def test_nothing_of_the_user_runs(tmp_path: Path) -> None:
    """In a process of its own, so that a module that exits would be seen to."""
    trap = "import sys\nopen('ran', 'w').close()\nprint('ran')\nsys.exit(9)\n"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text(trap)
    (tmp_path / "shop" / "oven.py").write_text(trap + "from shop.bun import Bun\nclass handler(Bun): ...")
    (tmp_path / "shop" / "bun.py").write_text(trap + "class Bun:\n    def __init__(self, a): ...")
    ask = (
        "from pathlib import Path; from runner.handlers.inspection.signatures import read_signature as r;"
        "print(r('shop.oven:handler', Path('.')).parameters[0].name)"
    )

    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n", "")
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.rglob("__pycache__"))


def test_none_in_the_place_of_a_method_is_none(tmp_path: Path) -> None:
    (tmp_path / "kitchen.py").write_text(
        "class Base:\n    def __call__(self, item): ...\n    def flush(self): ...\n    def close(self): ...\n"
        "class Eater(Base):\n    flush = None\n    def close(self): ...\n",
        encoding="utf-8",
    )

    signature = read_signature("kitchen:Eater", tmp_path)

    assert isinstance(signature, Signature)
    assert {"__call__", "close"} == signature.methods & {"__call__", "flush", "close"}
