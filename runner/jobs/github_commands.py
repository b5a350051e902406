"""The commands that a process gives GitHub Actions by printing them: how they are written, and escaped. Pure.

    command("error", "two\\nlines", file="a,b.py") ──► ::error file=a%2Cb.py::two%0Alines

https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions says what the commands are; what is
escaped, and how, is in the runner's ActionCommand.cs.
"""

from __future__ import annotations

from collections.abc import Iterable

_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def command(name: str, message: str = "", **properties: object) -> str:
    """Return a workflow command, escaped, without a newline. Properties that are None are left out."""
    told = ",".join(
        f"{key}={str(value).translate(_PROPERTY)}" for key, value in properties.items() if value is not None
    )
    return f"::{name}{' ' + told if told else ''}::{message.translate(_DATA)}"


def disarmed(text: str) -> str:
    """Return text in which nothing is a command of the older form, `##[…]`, which counts wherever it stands."""
    return text.replace("##[", "# #[")


def masks(secrets: Iterable[str]) -> str:
    """Return the lines that have GitHub hide these values. They must come before any of the values does."""
    return "".join(command("add-mask", secret) + "\n" for secret in secrets if secret.strip())
