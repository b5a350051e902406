"""Secrets taken out of what jobs print, while it streams by. Pure.

    b"token=s3c" ─┐   held back: it may be the beginning of a secret
    b"r3t ok"    ─┴─► MaskedStream ──► b"token=*** ok"

What comes out does not depend on where the chunks were cut. What is held back is shorter than the longest secret.
A secret of several lines is masked line by line, as programs print it with prefixes of their own. Besides the
secret itself, the ways that tools write it are masked: in JSON, in a URL, in Base64 (`Authorization: Basic …`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 3
"""Characters. A shorter one would tear holes into all output, and be guessed from where they are."""

_MASK = MASK.encode()


def unfit_secrets(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with secrets that can't be masked, by name; never with a word of their values."""
    return {name: why for name, value in secrets.items() if (why := _unfit(value)) is not None}


def _unfit(value: str) -> str | None:
    longest = max((len(line.strip()) for line in value.splitlines()), default=0)
    if longest == 0:
        return "it is empty, so there is nothing to keep secret"
    if longest < SHORTEST:
        return f"it has fewer than {SHORTEST} characters, too few to be masked"
    return None


class Masker:
    """What has to be masked, worked out once. To be shared by all streams of a run."""

    __slots__ = ("_longest", "words")

    def __init__(self, secrets: Iterable[str]) -> None:
        """Take secrets, of which `unfit_secrets` has nothing to say. None at all is fine."""
        found = {word for secret in secrets for word in _words(secret)}
        # The longest first, so that of two that begin alike the longer one is found.
        self.words = sorted(found, key=lambda word: (-len(word), word))
        self._longest = len(self.words[0]) if found else 0

    def __bool__(self) -> bool:
        """Say whether there is anything to mask."""
        return bool(self.words)

    def text(self, text: str) -> str:
        """Return a whole text, such as a reason or a command, masked."""
        return self.whole(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def whole(self, data: bytes) -> bytes:
        """Return data masked that is complete."""
        stream = self.stream()
        return stream.feed(data) + stream.flush()

    def stream(self) -> MaskedStream:
        """Return a new stream. Each file or pipe needs its own."""
        return MaskedStream(self)

    def matches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield the stretches of `data` that are secret, in order; those that overlap as one."""
        # Looking for each word on its own is many times as quick as one pattern of all, and most data has none.
        present = [word for word in self.words if word in data]
        if not present:
            return
        pattern = _pattern(tuple(present))
        start = end = -1
        found = pattern.search(data)
        while found is not None:
            if found.start() >= end:
                if end >= 0:
                    yield start, end
                start = found.start()
            end = max(end, found.end())
            found = pattern.search(data, found.start() + 1)
        if end >= 0:
            yield start, end

    def pending(self, data: bytes) -> int:
        """Return how many bytes at the end of `data` may be the beginning of a secret."""
        # No secret holds the end of a line.
        first = max(len(data) - self._longest + 1, data.rfind(b"\n") + 1, 0)
        tail = data[first:]
        return max((_overlap(tail, word) for word in self.words), default=0) if tail else 0


@dataclass(slots=True)
class MaskedStream:
    """One stream of output on its way. Not for several threads."""

    masker: Masker
    _held: bytes = b""
    """The end of what came, not passed on yet."""
    _covered: int = field(default=0)
    """Bytes at the start of `_held` that belong to a secret, of which the beginning is gone already."""

    @property
    def held(self) -> int:
        """How many bytes are held back."""
        return len(self._held)

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be passed on now: masked, all of it but what may be the beginning of a secret."""
        data = self._held + chunk if self._held else chunk
        return self._pass_on(data, len(data) - self.masker.pending(data))

    def flush(self) -> bytes:
        """Return the rest: nothing more will come."""
        return self._pass_on(self._held, len(self._held))

    def _pass_on(self, data: bytes, safe: int) -> bytes:
        """Mask `data[:safe]`. A stretch that goes on behind `safe` is shown once it is known where it ends."""
        out: list[bytes] = []
        at = covered = 0
        for start, end in self._stretches(data):
            if start >= safe:
                break
            out.append(data[at:start])
            if end > safe:
                at, covered = safe, end - safe
                break
            out.append(_MASK)
            at = end
        out.append(data[at:safe])
        self._held, self._covered = data[safe:], covered
        return b"".join(out)

    def _stretches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield the secret stretches, that which began before `data` among them."""
        end = self._covered
        for found in self.masker.matches(data):
            if end and found[0] < end:
                end = max(end, found[1])
                continue
            if end:
                yield 0, end
                end = 0
            yield found
        if end:
            yield 0, end


@lru_cache(maxsize=64)
def _pattern(words: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(map(re.escape, words)))


def _words(secret: str) -> Iterator[bytes]:
    """Yield what to look for: each line of a secret, as it is and as tools write it."""
    for line in secret.splitlines():
        word = line.strip()
        if len(word) >= SHORTEST:
            yield word.encode(errors="surrogateescape")
            yield from (spelt for spelt in _spellings(word) if len(spelt) >= SHORTEST)


def _spellings(word: str) -> Iterator[bytes]:
    plain = word.encode(errors="surrogateescape")
    yield json.dumps(word)[1:-1].encode()
    yield json.dumps(word, ensure_ascii=False)[1:-1].encode(errors="surrogateescape")
    yield quote(plain, safe="").encode()
    yield quote_plus(plain).encode()
    # Base64 goes by three bytes: what comes before the word shifts it, and its ends mix with their neighbours.
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + plain)
        inner = whole[(0, 2, 3)[shift] : len(whole) - (0, 3, 2)[(shift + len(plain)) % 3]]
        if len(inner) >= 2 * SHORTEST:
            yield inner


def _overlap(tail: bytes, word: bytes) -> int:
    """Return the length of the longest end of `tail` that `word` begins with and goes on after."""
    at = tail.find(word[:1], max(len(tail) - len(word) + 1, 0))
    while at >= 0:
        if word.startswith(tail[at:]):
            return len(tail) - at
        at = tail.find(word[:1], at + 1)
    return 0
