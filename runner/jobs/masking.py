"""Secrets taken out of what jobs print, while it streams by. Pure.

    b"token=s3c" ─┐   held back: it may be the beginning of a secret
    b"r3t ok"    ─┴─► MaskedStream ──► b"token=*** ok"

What comes out does not depend on where the chunks were cut. What is held back is shorter than the longest secret.
A secret of several lines is masked line by line, as programs print it with prefixes of their own. Besides the
secret itself, the ways that tools write it are masked: in JSON, in a URL, in Base64 (`Authorization: Basic …`).
A colour, a bell or a NUL inside a secret hides nothing: whoever shows the output takes them out (`unseen.py`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, quote_plus

from runner.jobs.unseen import Bared, bare

MASK = "***"
SHORTEST = 3
"""Characters. A shorter one would tear holes into all output, and be guessed from where they are."""

_MASK = MASK.encode()
_MOST_HELD = 64 * 1024
"""Bytes held back for a secret that control characters stretch. A line as long as that is shown in pieces anyhow."""


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
        written = {word for secret in secrets for word in _words(secret)}
        # One with a control character in it is shown without.
        found = written | {seen for word in written if len(seen := bare(word)) >= SHORTEST}
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
        found = self._found(data)
        if (seen := bare(data)) is not data and self._present(seen):
            bared = Bared(data)
            found = sorted([*found, *(bared.within(*span) for span in self._found(bared.text))])
        return _joined(found)

    def pending(self, data: bytes) -> int:
        """Return how many bytes at the end of `data` may be the beginning of a secret."""
        # No secret holds the end of a line.
        line = data[max(data.rfind(b"\n") + 1, len(data) - _MOST_HELD) :]
        held = self._begun(line)
        if (seen := bare(line)) is not line and (begun := self._begun(seen)):
            bared = Bared(line)
            held = max(held, len(line) - bared.within(len(bared.text) - begun, len(bared.text))[0])
        return held

    def _begun(self, text: bytes) -> int:
        """How many bytes at the end of `text` a word begins with."""
        tail = text[max(len(text) - self._longest + 1, 0) :]
        return max((_overlap(tail, word) for word in self.words), default=0) if tail else 0

    def _present(self, text: bytes) -> list[bytes]:
        # Looking for each word on its own is many times as quick as one pattern of all, and most data has none.
        return [word for word in self.words if word in text]

    def _found(self, text: bytes) -> list[tuple[int, int]]:
        """Where words are in `text`, by their beginnings; they may overlap."""
        present = self._present(text)
        if not present:
            return []
        pattern, spans = _pattern(tuple(present)), []
        found = pattern.search(text)
        while found is not None:
            spans.append(found.span())
            found = pattern.search(text, found.start() + 1)
        return spans


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


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield stretches, which come by their beginnings; those that overlap as one."""
    start = end = -1
    for begin, stop in spans:
        if begin >= end:
            if end >= 0:
                yield start, end
            start = begin
        end = max(end, stop)
    if end >= 0:
        yield start, end


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
