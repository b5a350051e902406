"""How programs write a secret that they print: the one table of what is masked besides the secret itself. Pure.

    Tom&Jerry's  ──►  Tom%26Jerry%27s · Tom&amp;Jerry&#39;s · Tom&Jerry'\\''s · "VG9tJkplcnJ5J3M" · 546f6d26… · …

A secret of several lines is written line by line, as programs print it with prefixes of their own; in Base64 and hex
it is also written as a whole. What a new way of writing needs is one more row.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

SHORTEST = 3
"""Characters. A shorter secret would tear holes into all output, and be guessed from where they are."""

_IN_URI = ";/?:@&=+$,#!~*'()"
"""What JavaScript's encodeURI leaves as it is, beyond what every encoder leaves."""
_QUOTES_IN_MARKUP = (
    *(("&quot;", "&#x27;"), ("&quot;", "&#39;"), ("&#34;", "&#39;"), ("&quot;", "&apos;"), ("&quot;", "'")),
    ('"', "&apos;"),
)
_TO_SHELLS = re.compile(r"""([\s'"\\|&;()<>!{}*\[\]?^$`,~#])""")


def spellings(secret: str) -> set[bytes]:
    """Return the ways in which a secret may be written, itself among them, none shorter than `SHORTEST` bytes."""
    lines = {line.strip() for line in secret.splitlines()} | {secret.strip()}
    found = {
        spelt
        for line in lines
        if len(line) >= SHORTEST and "\n" not in line and "\r" not in line
        for spelling in _OF_TEXT.values()
        for spelt in map(_bytes, spelling(line))
    }
    found |= {
        spelt for text in lines | {secret} if len(text) >= SHORTEST for spelt in _of_bytes(_bytes(text))
    }
    return {spelt for spelt in found if len(spelt) >= SHORTEST and b"\n" not in spelt}


def base64_of(secret: str) -> set[bytes]:
    """Return what Base64 makes of a whole secret and of its lines, wherever in the encoded data they stand."""
    texts = {secret, *(line.strip() for line in secret.splitlines())}
    return {spelt for text in texts if len(text) >= SHORTEST for spelt in _base64(_bytes(text))}


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _json(text: str) -> Iterable[str]:
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield json.dumps(text)[1:-1].replace("/", r"\/")


def _url(text: str) -> Iterable[str]:
    plain = _bytes(text)
    for safe in ("", "/", _IN_URI):
        encoded = quote(plain, safe=safe)
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
    yield quote_plus(plain)
    yield quote_plus(plain, safe="/")


def _markup(text: str) -> Iterable[str]:
    bare = html.escape(text, quote=False)
    yield bare
    for double, single in _QUOTES_IN_MARKUP:
        yield bare.replace('"', double).replace("'", single)


def _shell(text: str) -> Iterable[str]:
    yield text.replace("'", r"'\''")
    yield text.replace("'", "'\"'\"'")
    yield text.replace("\\", "\\\\").replace("'", r"\'")  # $'…'
    yield re.sub(r'(["\\$`])', r"\\\1", text)  # "…"
    yield _TO_SHELLS.sub(r"\\\1", text)  # printf %q
    yield _TO_SHELLS.sub(r"\\\1", text).replace(r"\,", ",")


def _python(text: str) -> Iterable[str]:
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(_bytes(text))[2:-1]


_OF_TEXT: Mapping[str, Callable[[str], Iterable[str]]] = {
    "as it is": lambda text: (text,),
    "json": _json,
    "url": _url,
    "markup": _markup,
    "shell": _shell,
    "python": _python,
}


def _of_bytes(plain: bytes) -> Iterator[bytes]:
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    yield from _base64(plain)
    yield from _base32(plain)


def _base64(plain: bytes) -> Iterator[bytes]:
    """Base64 goes by three bytes: what stands before shifts it, and its ends mix with their neighbours."""
    for shift in range(3):
        for behind in (b"", b"\n", None):
            whole = base64.b64encode(b"\0" * shift + plain + (behind or b""))
            ends = 0 if behind is not None else (0, 3, 2)[(shift + len(plain)) % 3]
            inner = whole[(0, 2, 3)[shift] : len(whole) - ends]
            if len(inner) >= 2 * SHORTEST:
                yield inner
                yield inner.translate(bytes.maketrans(b"+/", b"-_")).rstrip(b"=")


def _base32(plain: bytes) -> Iterator[bytes]:
    """Base32 goes by five bytes. Only what is of the secret alone is looked for, whatever stands before and behind."""
    for shift in range(5):
        first = -(-8 * shift // 5)
        last = 8 * (shift + len(plain)) // 5
        inner = base64.b32encode(b"\0" * shift + plain)[first:last]
        if len(inner) >= 2 * SHORTEST:
            yield inner
            yield inner.lower()
