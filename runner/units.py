"""Durations and sizes as people write them: `1h30m` and `64KiB` to seconds and bytes, and back. Pure.

The two patterns are what the JSON Schema shows and checks; they are ECMA 262 and Python alike.
"""

from __future__ import annotations

import math
import re

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
DURATION_PATTERN = rf"^(?=[0-9])(?:{_NUMBER}h)?(?:{_NUMBER}m(?!s))?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?$"
SIZE_PATTERN = rf"^{_NUMBER}(?:B|[KMGT]i?B)$"

RATE_PATTERN = rf"^{_NUMBER}/(?:{_NUMBER})?(?:ms|[smhd])$"

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {"B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
# Compiled when one is first read, by `re` itself: a worker imports the spec, and reads none.
_DURATION_PART = rf"({_NUMBER})(ms|[hms])"
_RATE = rf"({_NUMBER})/({_NUMBER})?(ms|[smhd])"
_SIZE = rf"({_NUMBER})(B|[KMGT]i?B)"
# Past these a number is a slip, and the system calls that get it would fail.
_LONGEST = 1e9
MOST_OFTEN = 10**9
_THOUSANDS = ("KB", "MB", "GB", "TB")
_LARGEST = 2**63 - 1


def duration(value: str | float) -> float:
    """Return seconds.

    Raises:
        ValueError: `value` is neither a duration nor a number of seconds from 0.
    """
    if isinstance(value, str):
        text = value.strip()
        parts = re.findall(_DURATION_PART, text) if re.fullmatch(DURATION_PATTERN, text) else []
        seconds = math.fsum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else math.nan
    else:
        seconds = _plain_number(value)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"expected a duration such as 300ms, 1.5s, 2m or 1h30m, got {_quoted(value)}")
    return seconds


def size(value: str | float) -> int:
    """Return bytes; a part of a byte is let go.

    Raises:
        ValueError: `value` is neither a size nor a number of bytes from 0.
    """
    if isinstance(value, str):
        found = re.fullmatch(_SIZE, value.strip())
        amount = float(found[1]) * _BYTES[found[2]] if found else math.nan
    else:
        amount = _plain_number(value)
    if not 0 <= amount <= _LARGEST:
        raise ValueError(f"expected a size such as 1024B, 64KiB or 10MB, got {_quoted(value)}")
    return int(amount)


def rate(value: str | float) -> float:
    """Return how often a second.

    Raises:
        ValueError: `value` is neither a rate nor a number from once in 30 years to a billion.
    """
    found = re.fullmatch(_RATE, value.strip()) if isinstance(value, str) else None
    if found is not None:
        seconds = float(found[2] or 1) * _SECONDS[found[3]]
        often = float(found[1]) / seconds if seconds else math.nan
    else:
        often = math.nan if isinstance(value, str) else _plain_number(value)
    if not 1 / _LONGEST <= often <= MOST_OFTEN:
        raise ValueError(f"expected a rate such as 20/s, 100/m or 5/10s, got {_quoted(value)}")
    return often


def format_rate(often: float) -> str:
    """Return the shortest way to write a rate: by the second where it is whole, else by the minute, hour or day."""
    for unit in ("s", "m", "h", "d"):
        if abs(often * _SECONDS[unit] - round(often * _SECONDS[unit])) < 1e-6 * often * _SECONDS[unit]:
            return f"{round(often * _SECONDS[unit])}/{unit}"
    return f"{_decimal(often)}/s" if often >= 1 else f"1/{_decimal(1 / often)}s"


def format_duration(seconds: float) -> str:
    """Return the shortest way to write a duration, to the millisecond; under a second, to the microsecond."""
    if seconds <= 0:
        return "0s"
    if round(seconds, 6) < 1:
        return f"{_decimal(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = ((hours, "h"), (minutes, "m"), (_decimal(rest), "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount not in (0, "0"))


def rough_duration(seconds: float) -> str:
    """Return a duration as exactly as people want to read one that was measured: 3.1s, 2m05s, 1h02m03s."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m{rest:02}s"


def short_time(seconds: float | None) -> str:
    """Return how long an item took, to three digits: <1µs, 85.2µs, 20.1ms, 3.25s, 2m05s; `-` for what is not known."""
    if seconds is None:
        return "-"
    if seconds < 1e-6:
        return "<1µs"
    if seconds >= 59.95:
        return rough_duration(seconds)
    scale, unit = next(
        (s, u) for s, u in ((1e6, "µs"), (1e3, "ms"), (1, "s")) if seconds * s < 999.5 or s == 1
    )
    number = seconds * scale
    places = 2 - math.floor(math.log10(number) + 2e-3)
    return f"{number:.{max(0, places)}f}{unit}"


def progress_label(read: int | None, to_read: int | None, elapsed: float) -> str:
    """Say how far a source has come after some seconds, and how long the rest will take: `42%, 1m10s left`."""
    if read is None or not to_read:
        return ""
    share = f"{100 * read // to_read}%"
    if not 0 < read < to_read:
        return share
    return f"{share}, {rough_duration(elapsed * (to_read - read) / read)} left"


def format_size(amount: int) -> str:
    """Return a number of bytes in the unit that suits it, to one decimal place; a round 2,000,000 is `2MB`."""
    thousands = (len(str(amount)) - 1) // 3
    if 0 < thousands <= len(_THOUSANDS) and amount % 1000**thousands == 0:
        return f"{amount // 1000**thousands}{_THOUSANDS[thousands - 1]}"
    units = ("B", "KiB", "MiB", "GiB")
    power = min(max(0, amount.bit_length() - 1) // 10, len(units) - 1)
    return f"{amount / 1024**power:.1f}".removesuffix(".0") + units[power]


_MOST_DOUBLINGS = 60


def backoff(base: float, attempt: int, cap: float) -> float:
    """Return the seconds between attempt number `attempt`, from 1, and the next: twice as long each time."""
    return min(base * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS), cap)


def _plain_number(value: object) -> float:
    # A boolean is an int to Python and a slip to everybody else.
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST:
        return math.nan
    return value


def _decimal(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _quoted(value: object) -> str:
    text = f"'{value}'" if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def counted(number: int, what: str) -> str:
    """Return `1 worker`, `2 workers`: for words that make their plural with an s."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
