"""What methods and functions do, by their names: which of them change what they are called on, or write to it."""

from __future__ import annotations

import ast

from runner.handlers.inspection.making import OwnGenerator, opener

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
    ]
)
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


def goes_on(made: ast.expr | None, method: str) -> bool:
    """Say whether a method changes what was made so, which is no container: a generator, a hash, a context variable."""
    if isinstance(made, OwnGenerator):
        return method in _OF_GENERATORS
    return isinstance(made, ast.Call) and (opener(made) or "").split(".")[-1] in _CHANGED_BY.get(method, ())
