"""What a scalar without quotes means: the core schema of YAML 1.2, less what is read in two ways.

    3 → int     3.10 → float     true → bool     ~ → None     everything else → text

So yes, on, 2024-01-31, 12:30:45, 0777 and 1_000 stay as they were typed.
"""

from __future__ import annotations

import re

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# A leading zero means octal to some readers and nothing to others, so such a "number" stays text. The bound
# on digits keeps the conversion away from Python's own limit.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,999})|0o[0-7]{1,999}|0x[0-9a-fA-F]{1,999}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NOT_A_NUMBER = re.compile(r"\.(?:nan|NaN|NAN)")
_MAYBE_NUMBER = frozenset("0123456789.+-")


def resolve(plain: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar. Never raises."""
    if plain in _NULLS:
        return None
    if plain in _BOOLEANS:
        return _BOOLEANS[plain]
    return _number(plain) if plain[0] in _MAYBE_NUMBER else plain


def _number(plain: str) -> int | float | str:
    if _INTEGER.fullmatch(plain):
        return int(plain, 0)
    if len(plain) < 1000 and _FLOAT.fullmatch(plain):
        return float(plain)
    if infinity := _INFINITY.fullmatch(plain):
        return float(infinity[1] + "inf")
    return float("nan") if _NOT_A_NUMBER.fullmatch(plain) else plain
