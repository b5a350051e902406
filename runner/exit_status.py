"""Exit codes as multiprocessing and subprocess have them, negative for a signal, in words. Pure.

1 ──► "exited with code 1"        -9 ──► "was killed by SIGKILL"
"""

from __future__ import annotations

import signal


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9; a real-time signal has a number and no name: `signal 40`."""
    return known_signal(number) or f"signal {number}"


def known_signal(number: int) -> str | None:
    """Return `SIGKILL` for 9; None for what is no signal, or one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def killed_by(code: int) -> str | None:
    """Return the name of the signal that ended a process; None if none did."""
    return signal_name(-code) if code < 0 else None


def describe_status(code: int) -> str:
    """Say how a process ended, behind its name: `exited with code 1`, `was killed by SIGKILL`."""
    return describe_ending(code, killed_by(code))


def describe_ending(code: int | None, signalled: str | None) -> str:
    """Say the same where the code and the name of the signal are known apart."""
    return f"exited with code {code}" if signalled is None else f"was killed by {signalled}"


def describe_alone(code: int) -> str:
    """Say the same as a reason that stands alone: `exited with code 1`, `killed by SIGKILL`."""
    return describe_status(code).removeprefix("was ")
