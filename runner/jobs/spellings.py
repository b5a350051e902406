"""How programs write a secret that they print: the one table of what is masked besides the secret itself. Pure.

    Tom&Jerry's  ──►  Tom%26Jerry%27s · Tom&amp;Jerry&#39;s · Tom&Jerry'\\''s · "VG9tJkplcnJ5J3M" · 546f6d26… · …

A secret of several lines is written line by line, as programs print it with prefixes of their own; in Base64 and hex
it is also written as a whole. What a new way of writing needs is one more row.
"""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

SHORTEST = 3
"""Characters. A shorter secret would tear holes into all output, and be guessed from where they are."""

_LONG = 6
"""Characters from which on a secret is looked for also where it is turned round, in another case, or cut up."""
_BETWEEN_HEX = ("", " ", ":", "-", ",", ", ", "\\x", "%", " 0x", ", 0x", ",0x")
_DUMPED, _XXD_PLAIN, _XXD_BITS = 16, 30, 6
"""Bytes a line, where what is shown begins with the secret."""
_LEAST_DUMPED = 3

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


def _text(plain: bytes) -> str:
    return plain.decode(errors="surrogateescape")


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


def _turned(text: str) -> Iterable[str]:
    """As `rev` and `tr` leave it. Not of a short one: its letters in another order or size may be an ordinary word."""
    if len(text) >= _LONG:
        yield from (text[::-1], text.upper(), text.lower(), codecs.encode(text, "rot13"))
        yield from (_text(_bytes(text).upper()), _text(_bytes(text).lower()))  # of ASCII alone


_OF_TEXT: Mapping[str, Callable[[str], Iterable[str]]] = {
    "as it is": lambda text: (text,),
    "json": _json,
    "url": _url,
    "markup": _markup,
    "shell": _shell,
    "python": _python,
    "turned": _turned,
}


def _of_bytes(plain: bytes) -> Iterator[bytes]:
    for separator in _BETWEEN_HEX:
        spelt = separator.join(f"{byte:02x}" for byte in plain)
        yield spelt.encode()
        yield separator.join(f"{byte:02X}" for byte in plain).encode()
    yield from _dumped(plain)
    yield from _base64(plain)
    yield from _base32(plain)


def _dumped(plain: bytes) -> Iterator[bytes]:
    """As `od`, `xxd` and `hexdump` show what begins with it, line by line, in numbers and characters."""
    for line in _pieces(plain, _DUMPED):
        of_two = [(low, high) for low, high in zip(line[::2], line[1::2], strict=False)]
        one_by_one = [f"{byte:02x}" for byte in line]
        yield " ".join(one_by_one).encode()
        yield "  ".join(" ".join(half) for half in (one_by_one[:8], one_by_one[8:]) if half).encode()
        yield " ".join(f"{low:02x}{high:02x}" for low, high in of_two).encode()  # xxd
        yield " ".join(
            f"{high:02x}{low:02x}" for low, high in of_two
        ).encode()  # od -x, and with two blanks hexdump
        yield "    ".join(f"{high:02x}{low:02x}" for low, high in of_two).encode()
        yield " ".join(f"{high << 8 | low:06o}" for low, high in of_two).encode()  # od
        yield "   ".join(map(chr, line)).encode("latin-1")  # od -c
        yield " ".join(f"{byte:03o}" for byte in line).encode()  # od -b
        if len(line) >= _LONG:
            yield line
    yield from (line.hex().encode() for line in _pieces(plain, _XXD_PLAIN))
    yield from (" ".join(f"{byte:08b}" for byte in line).encode() for line in _pieces(plain, _XXD_BITS))


def _pieces(plain: bytes, width: int) -> Iterator[bytes]:
    for at in range(0, len(plain), width):
        if len(piece := plain[at : at + width]) >= _LEAST_DUMPED:
            yield piece


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
