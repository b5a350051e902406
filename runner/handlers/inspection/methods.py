"""What methods and functions do, by their names: which of them change what they are called on, or write to it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from runner.handlers.inspection.making import OwnGenerator, opener
from runner.handlers.inspection.names import dotted_name

OF_CONTAINERS_ALONE = frozenset(
    {"append", "appendleft", "extend", "extendleft", "popitem", "popleft", "setdefault"}
)
MUTATORS = OF_CONTAINERS_ALONE.union(
    [
        "add",
        "discard",
        "insert",
        "pop",
        "put",
        "put_nowait",
        "remove",
        "reverse",
        "rotate",
        "sort",
        "subtract",
        "update",
        "frombytes",
        "write",
    ],
    ["difference_update", "intersection_update", "symmetric_difference_update"],
)
CHANGE_THEIR_FIRST = frozenset(
    [
        "heapify",
        "heappush",
        "heappop",
        "heappushpop",
        "heapreplace",
        "insort",
        "insort_left",
        "insort_right",
        "next",
        "shuffle",
    ],
).union(["delitem", "iadd", "iand", "iconcat", "imul", "ior", "isub", "ixor", "setitem"])
WRITES = frozenset(["write", "writelines", "writerow", "writerows", "write_table", "write_batch", "writestr"])
EXECUTES = frozenset({"execute", "executemany"})
CHANGES_ROWS = ("insert", "update", "delete", "replace")
INTO = frozenset({"get", "setdefault", "__getitem__"})
"""Methods that return a part of what they are called on."""
_HASHES = frozenset(
    ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s"],
).union([f"sha3_{bits}" for bits in (224, 256, 384, 512)], ["shake_128", "shake_256", "new", "HMAC"])
_CHANGED_BY = {
    "update": _HASHES,
    "compress": frozenset({"compressobj", "BZ2Compressor", "LZMACompressor"}),
    "decompress": frozenset({"decompressobj", "BZ2Decompressor", "LZMADecompressor"}),
    "set": frozenset({"ContextVar"}),
}
"""Methods that change what is made by these: no container, but it goes on from where it was."""
_OF_GENERATORS = frozenset({"send", "__next__", "throw"})


def advances(made: ast.expr | None, method: str) -> bool:
    """Say whether a method changes what was made so, which is no container: a generator, a hash, a context variable."""
    if isinstance(made, OwnGenerator):
        return method in _OF_GENERATORS
    return isinstance(made, ast.Call) and (opener(made) or "").split(".")[-1] in _CHANGED_BY.get(method, ())


def adds_up(call: ast.Call) -> ast.expr | None:
    """Return the array that a call adds to: `np.add(sums, n, out=sums)`, `np.add.at(sums, places, n)`."""
    dotted = dotted_name(call.func) or ""
    if dotted.endswith(".at") and dotted.count(".") > 1 and call.args:
        return call.args[0]
    given = [ast.dump(each) for each in call.args]
    outs = (keyword.value for keyword in call.keywords if keyword.arg == "out")
    return next((each for each in outs if ast.dump(each) in given), None)


def is_partial(node: ast.AST | None) -> bool:
    """Say whether it is the call of `partial`."""
    return isinstance(node, ast.Call) and (dotted_name(node.func) or "").split(".")[-1] == "partial"


def bound_method(made: ast.expr | None) -> ast.expr | None:
    """Return what is called in the end where `made` is a partial; else that itself."""
    while isinstance(made, ast.Call) and is_partial(made) and made.args:
        made = made.args[0]
    return made


def registered_for(name: str, body: Iterable[ast.stmt]) -> Iterator[ast.FunctionDef]:
    """List the functions that `singledispatch` chooses from, beside the one of this name: `@name.register`."""
    for each in body:
        for decorator in each.decorator_list if isinstance(each, ast.FunctionDef) else ():
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(each, ast.FunctionDef) and dotted_name(called) == f"{name}.register":
                yield each


def start_of(named: ast.expr) -> str:
    """What a name that is put together begins with: `f"on_{kind}"`, `"on_" + kind`."""
    match named:
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
            return start
        case ast.BinOp(left=ast.Constant(value=str(start)), op=ast.Add()) | ast.Constant(value=str(start)):
            return start
    return ""


def mentions(value: ast.expr, names: set[str]) -> bool:
    """Say whether one of some names stands in an expression."""
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(value))


def written_to(node: ast.Call) -> ast.expr | None:
    """Return the file or database that a call writes to."""
    if dotted_name(node.func) == "print":
        files = [keyword.value for keyword in node.keywords if keyword.arg == "file"]
        return files[0] if files else None
    if not isinstance(node.func, ast.Attribute):
        return None
    method, first = node.func.attr, node.args[0] if node.args else None
    text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    changes_rows = text.lstrip().lower().startswith(CHANGES_ROWS)
    if method in WRITES or (method in EXECUTES and changes_rows):
        return node.func.value
    return None
