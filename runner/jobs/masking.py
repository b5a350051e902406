"""Secrets taken out of what jobs print, while it streams by. Pure.

    b"token=s3c" ─┐   held back: it may be the beginning of a secret
    b"r3t ok"    ─┴─► MaskedStream ──► b"token=*** ok"

What comes out does not depend on where the chunks were cut. What is held back is shorter than the longest secret.
Besides the secret itself, the ways in which programs write it are masked (`spellings.py`); of Base64 also the parts of
a long secret that stand on several lines. A colour, a bell or a NUL inside a secret hides nothing: whoever shows the
output takes them out (`ansi.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from functools import lru_cache

from runner.facts import dataclass
from runner.jobs.ansi import StrippedText, strip_unseen
from runner.jobs.spellings import SHORTEST, base64_of, spellings

MASK = "***"

_MASK = MASK.encode()
_CUT = "…".encode()
"""What names and values that are shown shortened end with."""
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

    __slots__ = ("_longest", "_wrapped", "words")

    def __init__(self, secrets: Iterable[str]) -> None:
        """Take secrets, of which `unfit_secrets` has nothing to say. None at all is fine."""
        known = list(secrets)
        written = {word for secret in known for word in spellings(secret)}
        # One with a control character in it is shown without.
        found = written | {seen for word in written if len(seen := strip_unseen(word)) >= SHORTEST}
        # The longest first, so that of two that begin alike the longer one is found.
        self.words = sorted(found, key=lambda word: (-len(word), word))
        self._longest = len(self.words[0]) if found else 0
        self._wrapped = WrappedBase64.of(known)

    def __bool__(self) -> bool:
        """Say whether there is anything to mask."""
        return bool(self.words)

    def text(self, text: str) -> str:
        """Return a whole text, such as a reason or a name, masked, also where `…` shows that a secret was cut."""
        data = self.whole(text.encode(errors="surrogateescape"))
        if _CUT in data:
            *cut, rest = data.split(_CUT)
            data = _CUT.join([*map(self._without_beginning, cut), rest])
        return data.decode(errors="surrogateescape")

    def _without_beginning(self, data: bytes) -> bytes:
        """Mask what is left of a secret that was cut before anybody masked it, but for fewer than `SHORTEST` bytes."""
        text = data.rstrip(b"'\"")
        begun = self.pending(text)
        return data if begun < SHORTEST else text[:-begun] + _MASK + data[len(text) :]

    def whole(self, data: bytes) -> bytes:
        """Return data masked that is complete."""
        stream = self.stream()
        return stream.feed(data) + stream.flush()

    def stream(self) -> MaskedStream:
        """Return a new stream. Each file or pipe needs its own."""
        return MaskedStream(self)

    def matches(self, data: bytes, *, begins_line: bool = True) -> Iterator[tuple[int, int]]:
        """Yield the stretches of `data` that are secret, in order; those that overlap as one."""
        found = self._found(data, begins_line)
        if (seen := strip_unseen(data)) is not data and (self._wrapped is not None or self._present(seen)):
            stripped = StrippedText(data)
            spans = self._found(stripped.text, begins_line)
            found = sorted([*found, *(stripped.within(*span) for span in spans)])
        return _joined(found)

    def pending(self, data: bytes) -> int:
        """Return how many bytes at the end of `data` may be the beginning of a secret."""
        # No secret holds the end of a line.
        line = data[max(data.rfind(b"\n") + 1, len(data) - _MOST_HELD) :]
        held = self._begun(line)
        if (seen := strip_unseen(line)) is not line and (begun := self._begun(seen)):
            stripped = StrippedText(line)
            held = max(held, len(line) - stripped.within(len(stripped.text) - begun, len(stripped.text))[0])
        return held

    def _begun(self, text: bytes) -> int:
        """How many bytes at the end of `text` a word begins with."""
        tail = text[max(len(text) - self._longest + 1, 0) :]
        begun = max((_overlap(tail, word) for word in self.words), default=0) if tail else 0
        return begun if self._wrapped is None else max(begun, self._wrapped.begun(text))

    def _present(self, text: bytes) -> list[bytes]:
        # Looking for each word on its own is many times as quick as one pattern of all, and most data has none.
        return [word for word in self.words if word in text]

    def _found(self, text: bytes, begins_line: bool) -> list[tuple[int, int]]:
        """Where words are in `text`, by their beginnings; they may overlap."""
        if self._wrapped is None:
            return self._words_in(text)
        return sorted([*self._words_in(text), *self._wrapped.parts_in(text, begins_line)])

    def _words_in(self, text: bytes) -> list[tuple[int, int]]:
        present = self._present(text)
        if not present:
            return []
        pattern, spans = _pattern(tuple(present)), []
        found = pattern.search(text)
        while found is not None:
            spans.append(found.span())
            found = pattern.search(text, found.start() + 1)
        return spans


class WrappedBase64:
    """Base64 that encoders break into lines: of a secret that is longer than a line its parts are looked for.

    A part is known by any `_PART` characters of it that follow each other, or by being a line and the secret's end.
    So of what a line's end cuts off no more than `_PART` - 1 characters are seen, which are 5 bytes.
    """

    __slots__ = ("_ends", "_parts", "_whole")

    def __init__(self, encoded: Iterable[bytes]) -> None:
        known = sorted(encoded)
        self._whole = b" ".join(known)
        self._parts = {each[at : at + _PART] for each in known for at in range(len(each) - _PART + 1)}
        self._ends = {each[-size:] for each in known for size in range(_SHORTEST_END, _PART)}

    @classmethod
    def of(cls, secrets: Iterable[str]) -> WrappedBase64 | None:
        """Return what looks for those secrets that are long enough; None if none is."""
        encoded = [each for secret in secrets for each in base64_of(secret) if len(each) > _SHORTEST_LINE]
        return cls(encoded) if encoded else None

    def parts_in(self, text: bytes, begins_line: bool) -> Iterator[tuple[int, int]]:
        """Yield where parts are. `begins_line` says whether a line begins where `text` does."""
        for run in _RUN.finditer(text):
            start, end = run.span()
            for at in range(start, end - _PART + 1):
                if text[at : at + _PART] in self._parts:
                    yield at, at + _PART
        for line in _LAST_LINE.finditer(text):
            if line[0] in self._ends and (begins_line or line.start()):
                yield line.span()

    def begun(self, line: bytes) -> int:
        """How many bytes at the end of a line may be the beginning of a part, or a line that is not over."""
        tail = line[-_PART + 1 :]
        while tail and tail not in self._whole:
            tail = tail[1:]
        return len(tail)


_PART = 8
_SHORTEST_END = 4
_SHORTEST_LINE = 60
"""Encoders break lines at 64 or at 76 characters; what is shorter than that stands on two lines by chance only."""
_RUN = re.compile(rb"[A-Za-z0-9+/]{%d,}" % _PART)
_LAST_LINE = re.compile(rb"^[A-Za-z0-9+/]{2,%d}=*$" % (_PART - 1), re.MULTILINE)


@dataclass(slots=True)
class MaskedStream:
    """One stream of output on its way. Not for several threads."""

    masker: Masker
    _held: bytes = b""
    """The end of what came, not passed on yet."""
    _covered: int = field(default=0)
    """Bytes at the start of `_held` that belong to a secret, of which the beginning is gone already."""
    _begins_line: bool = True
    """Whether `_held` begins a line."""

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
        self._begins_line = data[safe - 1 : safe] == b"\n" if safe else self._begins_line
        return b"".join(out)

    def _stretches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield the secret stretches, that which began before `data` among them."""
        end = self._covered
        for found in self.masker.matches(data, begins_line=self._begins_line):
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


def _overlap(tail: bytes, word: bytes) -> int:
    """Return the length of the longest end of `tail` that `word` begins with and goes on after."""
    at = tail.find(word[:1], max(len(tail) - len(word) + 1, 0))
    while at >= 0:
        if word.startswith(tail[at:]):
            return len(tail) - at
        at = tail.find(word[:1], at + 1)
    return 0
