"""A virtual environment for a job that asks for a Python: made anew, and first in the PATH of its later steps.

3.11 ──► python3.11 -m venv --clear .mprun/venvs/test        3.x, >=3.9, nothing ──► python3
pypy3.10 ──► pypy3.10                                        ${{ matrix.python }} ──► found out as it runs
"""

from __future__ import annotations

import re
import shlex

from runner.importers.model import ImportedJob

_VERSION = re.compile(r"(\d+\.\d+t?)(?:\.\d+|\.x|-dev|[ab]\d.*|rc\d.*)*")
_FOLDER = re.compile(r"[^\w.-]+", re.ASCII)
_ANY = "python3"


def python_of(version: str) -> str:
    """Return the program of a version that stands there as it is."""
    version = version.strip().strip("'\"").removeprefix("python").removeprefix("cpython-")
    if version.startswith("pypy"):
        return re.sub(r"-v\d.*", "", version).replace("pypy-", "pypy")
    found = _VERSION.fullmatch(version)
    return f"python{found[1]}" if found else _ANY


def environment_script(job: ImportedJob, version: str, line: int, *, legs: bool) -> str:
    """Return the script of a step that makes the environment of a job; `legs` says that each leg has its own."""
    name = _FOLDER.sub("-", job.name).strip("-.") or "job"
    folder = f"$PWD/.mprun/venvs/{name}" + ("-${{ strategy.job-index }}" if legs else "")
    return "\n".join(
        [
            *_program(version),
            f'command -v "$python" || {{ echo "line {line} wants $python: install it" >&2; exit 1; }}',
            f'"$python" -m venv --clear "{folder}"',
            f'echo "{folder}/bin" >> "$GITHUB_PATH"',
            "",
        ]
    )


def _program(version: str) -> list[str]:
    if "${{" not in version:
        return [f"python={shlex.quote(python_of(version))}"]
    return [
        f'python="{version}"',
        'case "$python" in',
        "  pypy*) python=$(echo \"$python\" | sed 's/^pypy-/pypy/; s/-v.*//') ;;",
        "  [0-9]*.[0-9]*) python=python$(echo \"$python\" | sed -E 's/^([0-9]+\\.[0-9]+t?).*/\\1/') ;;",
        f"  *) python={_ANY} ;;",
        "esac",
    ]


def words_of_script(words: list[str]) -> str:
    """Return words as a command for the shell in which each stays the word that it is."""
    return " ".join(map(shlex.quote, words))


def with_arguments(script: str, usual: str) -> str:
    """Return a script in which `"$@"` is what stands behind `--` on the command line, or else some usual words."""
    return (
        f"set -- ${{{{ args }}}}\n[ $# -gt 0 ] || set -- {usual}\n{script}\n"
        if usual
        else f"set -- ${{{{ args }}}}\n{script}\n"
    )
