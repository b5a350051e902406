"""The versions to install: exactly those that mprun was tried with, or the lowest that pyproject.toml allows.

python3 .ci/versions.py exact > constraints.txt      needs a network: asks for the newest of everything
python3 .ci/versions.py lowest                       prints them, for `pip install --constraint`
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# The exact versions that mprun, its tests, its benchmarks and its build are installed with. To make it anew:
#     python3 .ci/versions.py exact > constraints.txt
"""


def requirements(project: dict[str, Any]) -> list[str]:
    """All that is required for anything: to build, to run, and by each extra."""
    extras = project["project"].get("optional-dependencies", {}).values()
    return [
        *project["build-system"]["requires"],
        *project["project"].get("dependencies", []),
        *(required for extra in extras for required in extra),
    ]


def exact(project: dict[str, Any]) -> str:
    """Resolve all of it, and what that needs in turn, for each supported Python."""
    oldest = project["project"]["requires-python"].removeprefix(">=")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        subprocess.run([f"{folder}/bin/pip", "install", "--quiet", "uv"], check=True)
        command = [f"{folder}/bin/uv", "pip", "compile", "--quiet", "--universal", "--python-version", oldest]
        command += ["--no-header", "--no-annotate", "-"]
        asked = "\n".join(requirements(project))
        found = subprocess.run(command, input=asked, stdout=subprocess.PIPE, text=True, check=True)
    return HEAD + found.stdout


def lowest(project: dict[str, Any]) -> str:
    """Turn each lower bound into the version itself. A requirement without one is an error: nobody could try it."""
    bounds = {required: re.fullmatch(r"([\w.-]+)>=([\w.]+)", required) for required in requirements(project)}
    loose = [required for required, bound in bounds.items() if bound is None]
    if loose:
        sys.exit(f"pyproject.toml: expected 'name>=version', got {', '.join(loose)}")
    return "".join(f"{bound[1]}=={bound[2]}\n" for bound in bounds.values() if bound)


def main() -> None:
    """Print what the one argument says."""
    choices = {"exact": exact, "lowest": lowest}
    if len(sys.argv) != 2 or sys.argv[1] not in choices:
        sys.exit(__doc__)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sys.stdout.write(choices[sys.argv[1]](project))


if __name__ == "__main__":
    main()
