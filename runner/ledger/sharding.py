"""`shard_by`: equal keys go to the same worker, in order. The worker that puts computes the shard; the
supervisor, which never opens an item, only sees its number.

    item ──► key (`shard_by: user.id`) ──► shard 0 … n-1, the same in every process ──► the reader of that shard
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

from runner.spec.dotted_names import follow

_PLAIN = (str, int, float, bytes, bool, type(None))


class ShardKeyError(Exception):
    """An item has no key to be sharded by, or one that differs from process to process."""


_KNOWN = 1 << 14
"""Keys whose shards are remembered."""
ITEM = "item"
"""The path to an item that is its own key."""


def sharder(path: str, shards: int) -> Callable[[object], int]:
    """Return what tells the shard of an item: `path` leads from the item to its key, as `user.id`; `item` is the item
    itself.

    Raises (what is returned does):
        ShardKeyError: the item has no such key, or the key is not text, a number, bytes or a tuple of these.
    """
    key_of = key_reader("shard_by", path)
    known: dict[object, int] = {}

    def shard_of(item: object) -> int:
        key = key_of(item)
        if type(key) is not str and type(key) is not int:
            return shard_number(key, shards)
        if (shard := known.get(key)) is None:
            shard = shard_number(key, shards)
            if len(known) < _KNOWN:
                known[key] = shard
        return shard

    return shard_of


def key_reader(where: str, path: str) -> Callable[[object], object]:
    """Return what reads the key of an item, as `sharder` does; messages name the key of the file, `where`.

    Raises (what is returned does):
        ShardKeyError: the item has none there.
    """
    names = [] if path == ITEM else path.removeprefix("item.").split(".")
    name = names[0] if len(names) == 1 else None

    def key_of(item: object) -> object:
        if name is not None and type(item) is dict and name in item:  # as most are
            return item[name]
        key, depth = follow(item, names, attributes=True)
        if depth < len(names):
            raise ShardKeyError(f"{where}: {path}: a {type(key).__name__} has no '{names[depth]}'")
        return key

    return key_of


def key_number(key: object) -> int:
    """Return 64 bits for a key: the same in every process and run, unlike `hash`. Raises `ShardKeyError`."""
    import hashlib  # which loads OpenSSL: few runs need it, and every worker would be forked with it

    digest = hashlib.blake2b(_text(key).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class Sharding:
    """How the items of one queue are shared out."""

    def __init__(self, path: str, shards: int) -> None:
        """`path` is that of `sharder`."""
        self.shard_of = sharder(path, shards)
        """Raises as what `sharder` returns does."""
        self.by_item = path == ITEM
        """Whether an item is its own key."""
        self._shards = shards

    def split(self, items: Sequence[object]) -> dict[int, list[object]]:
        """Return the items of each shard that has any, as `shard_of` tells it, and raise what it raises."""
        shares: list[list[object]] = [[] for _ in range(self._shards)]
        append = [share.append for share in shares]
        if self.by_item and set(map(type, items)) == {int}:  # these are many, and quick
            shards = self._shards
            for item in items:
                append[crc32(b"%d" % item) % shards](item)  # type: ignore[str-format]
        else:
            for item, shard in zip(items, map(self.shard_of, items), strict=True):
                append[shard](item)
        return {shard: share for shard, share in enumerate(shares) if share}


def shard_number(key: object, shards: int) -> int:
    """Return the shard of a key: the same in every process and run, unlike `hash`. Equal numbers are equal keys."""
    return crc32(_text(key).encode("utf-8", "surrogatepass")) % shards


def _text(key: object) -> str:
    if isinstance(key, tuple):
        return f"({','.join(map(_text, key))})"
    if not isinstance(key, _PLAIN):
        raise ShardKeyError(f"a key is text, a number or a tuple of these; got a {type(key).__name__}")
    if isinstance(key, (bool, int, float)) and key == int(
        key if key == key and abs(key) != float("inf") else 0
    ):
        return repr(int(key))  # 1, 1.0 and True are equal, so they are one key
    return repr(key)
