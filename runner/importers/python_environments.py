"""A virtual environment for a job that asks for a Python: made anew, and first in the PATH of its later steps.

3.11 ──► python3.11 -m venv --clear .mprun/venvs/test        3.x, >=3.9, nothing ──► python3
pypy3.10 ──► pypy3.10                                        ${{ matrix.python }} ──► found out as it runs
"""

from __future__ import annotations

import re
import shlex
from typing import Any

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


def environment_script(job: ImportedJob, version: str, line: int) -> str:
    """Return the script of a step that makes the environment of a job; each leg of a matrix has its own."""
    name = _FOLDER.sub("-", job.name).strip("-.") or "job"
    keys = _keys_of_all_legs(job.keys.get("strategy"))
    values = "-".join("${{ matrix." + key + " }}" for key in keys)
    leg = f"-{values}" if keys else ""
    return "\n".join(
        [
            *_program(version),
            f'command -v "$python" || {{ echo "line {line} wants $python: install it" >&2; exit 1; }}',
            f'venv="$PWD/.mprun/venvs/{name}{leg}"',
            '"$python" -m venv --clear "$venv"',
            'echo "$venv/bin" >> "$GITHUB_PATH"',
            "",
        ]
    )


def _keys_of_all_legs(strategy: Any) -> list[str]:
    """Return the keys that each leg of a matrix has, as far as they can be seen."""
    matrix = strategy.get("matrix") if isinstance(strategy, dict) else None
    if not isinstance(matrix, dict):
        return []
    axes = [key for key in matrix if key not in ("include", "exclude")]
    include = matrix.get("include")
    if axes or not isinstance(include, list) or not all(isinstance(each, dict) for each in include):
        return axes
    return [key for key in (include[0] if include else {}) if all(key in each for each in include)]


def _program(version: str) -> list[str]:
    if "${{" not in version:
        return [f"python={shlex.quote(python_of(version))}"]
    return [
        f'python="{version}"',
        'case "$python" in',
        "  pypy*) python=${python%%-v*}; python=${python#pypy}; python=pypy${python#-} ;;",
        "  [0-9]*.[0-9]*) minor=${python#*.}; python=python${python%%.*}.${minor%%[.-]*} ;;",
        f"  *) python={_ANY} ;;",
        "esac",
    ]


def with_arguments(script: str, usual: str) -> str:
    """Return a script in which `"$@"` is what stands behind `--` on the command line, or else some usual words."""
    return (
        f"set -- ${{{{ args }}}}\n[ $# -gt 0 ] || set -- {usual}\n{script}\n"
        if usual
        else f"set -- ${{{{ args }}}}\n{script}\n"
    )
