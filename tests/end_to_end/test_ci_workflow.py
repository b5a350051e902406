"""The project's own checks, `workflows/ci.yaml`, run on a small project of the same shape that needs no network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "mprun"
version = "0.0"

[tool.mypy]
packages = ["small"]

[tool.ruff]
extend-exclude = ["backend.py", ".ci"]
"""

# Enough of a build backend to make a wheel: with a command `mprun` that takes any arguments, and what stands in for
# pytest, which a new environment could only have from the network; with the newest versions of everything it fails.
BACKEND = """\
import base64
import hashlib
import zipfile
from pathlib import Path

FILES = {
    "small/__init__.py": "def main() -> int:\\n    print('it runs')\\n    return 0\\n",
    "pytest/__init__.py": "import sys\\ndef main() -> int:\\n    return int(sys.prefix.endswith('newest'))\\n",
    "mprun-0.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: mprun\\nVersion: 0.0\\nProvides-Extra: test\\n",
    "mprun-0.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "mprun-0.0.dist-info/entry_points.txt": "[console_scripts]\\nmprun = small:main\\npytest = pytest:main\\n",
}


def build_wheel(directory: str, config: object = None, metadata: object = None) -> str:
    name = "mprun-0.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(directory) / name, "w") as wheel:
        lines = []
        for file, text in FILES.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{file},sha256={digest},{len(text)}")
            wheel.writestr(file, text)
        wheel.writestr("mprun-0.0.dist-info/RECORD", "\\n".join([*lines, "mprun-0.0.dist-info/RECORD,,"]))
    return name
"""


@pytest.fixture
def project(tmp_path: Path, checkout: Path) -> Path:
    """A project with the folders of ours, one module and one test."""
    files = {
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND,
        "small/__init__.py": "def twice(n: int) -> int:\n    return 2 * n\n",
        "tests/test_small.py": "def test_twice() -> None:\n    assert 4 == 2 * 2\n",
    }
    for name, text in files.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copytree(checkout / ".ci", tmp_path / "project" / ".ci")
    # What it measures with is one of the things that a new environment could only have from the network.
    (tmp_path / "project" / ".ci" / "coverage").write_text("print('all is reached')\n")
    shutil.copy(checkout / "constraints.txt", tmp_path / "project")
    (tmp_path / "project" / "workflows").mkdir()
    shutil.copy(checkout / "workflows" / "ci.yaml", tmp_path / "project" / "workflows")
    shutil.copy(checkout / ".gitignore", tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def pythons(tmp_path: Path, plain_env: Mapping[str, str]) -> dict[str, str]:
    """A path on which there is one of the supported Pythons, and the tools of this environment."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = tmp_path / "bin"
    folder.mkdir()
    for version in ("3.11", "3.12", "3.13"):
        stand_in = folder / f"python{version}"
        stand_in.write_text(
            f'#!/bin/sh\nexec {sys.executable} "$@"\n' if version == here else "#!/bin/sh\nexit 1\n"
        )
        stand_in.chmod(0o755)
    path = f"{folder}:{Path(sys.executable).parent}:{plain_env['PATH']}"
    return {"PATH": path, "MPRUN_HOME": str(tmp_path / "home"), "PIP_NO_INDEX": "1"}


@pytest.mark.slow
def test_the_checks_pass_on_a_project_that_is_right_and_say_what_is_wrong_with_one_that_is_not(
    project: Path, pythons: dict[str, str], run_mprun: RunMprun, tmp_path: Path
) -> None:
    arguments = ("workflows/ci.yaml", "--events", tmp_path / "events.jsonl")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    missing = {f"test ({version})" for version in ("3.11", "3.12", "3.13") if version != here}

    right = run_mprun("run", *arguments, env=pythons, cwd=project, timeout=300)
    first = ends(tmp_path / "events.jsonl")
    (project / "small" / "__init__.py").write_text("import os\n")
    wrong = run_mprun("run", *arguments, env=pythons, cwd=project, timeout=300)
    second = ends(tmp_path / "events.jsonl")

    assert 0 == right.returncode, right.stdout + right.stderr
    assert "allowed" == first["newest"]["result"], "it may fail"
    assert "passed" == first["lowest"]["result"]
    assert missing == {job for job, end in first.items() if end["event"] == "job.skipped"}
    assert all("needs.pythons.outputs.installed is" in first[job]["reason"] for job in missing)
    assert 1 == wrong.returncode, wrong.stdout + wrong.stderr
    assert {"lint"} == {job for job, end in second.items() if end.get("result") == "failed"}
    assert "up to date: no input has changed since it last passed" == second["tools"]["reason"]
    assert "need 'lint' failed" == second["wheel"]["reason"]


def ends(events: Path) -> dict[str, Any]:
    """The last word about each job."""
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    return {e["job"]: e for e in lines if e["event"] in ("job.finished", "job.skipped")}
