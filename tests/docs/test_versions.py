"""constraints.txt and .ci/versions.py: no release elsewhere changes what a fresh clone installs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ("3.11", "3.12", "3.13")


def pins(checkout: Path) -> list[Requirement]:
    lines = (checkout / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def declared(checkout: Path) -> list[Requirement]:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    lists = [project["build-system"]["requires"], project["project"]["dependencies"], *extras]
    return [Requirement(line) for lines in lists for line in lines]


def on(python: str) -> dict[str, str]:
    """Markers' answers on Linux under a Python."""
    return {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}


def lowest(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / ".ci" / "versions.py"), "lowest"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_constraint_is_a_name_and_one_exact_version(checkout: Path) -> None:
    assert [] == [
        str(pin) for pin in pins(checkout) if pin.url or not re.fullmatch(r"==[\w.]+", str(pin.specifier))
    ]


@pytest.mark.parametrize("python", PYTHONS)
def test_all_that_is_declared_has_one_version_that_is_allowed(python: str, checkout: Path) -> None:
    versions: dict[str, list[str]] = {}
    for pin in pins(checkout):
        if pin.marker is None or pin.marker.evaluate(on(python)):
            versions.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier)[2:])

    found = {
        required.name: versions.get(canonicalize_name(required.name), []) for required in declared(checkout)
    }

    assert {} == {name: exact for name, exact in found.items() if len(exact) != 1}
    assert [] == [str(it) for it in declared(checkout) if not it.specifier.contains(found[it.name][0])]


def test_what_an_installed_package_needs_has_a_version_too(checkout: Path) -> None:
    """Of those in the version of constraints.txt: what others need may be something else."""
    names = {canonicalize_name(pin.name) for pin in pins(checkout)}
    missing = set()
    for pin in pins(checkout):
        try:
            package = metadata.distribution(pin.name)
        except metadata.PackageNotFoundError:
            continue
        if pin.specifier.contains(package.version):
            needed = [Requirement(line) for line in package.requires or ()]
            here = [it for it in needed if it.marker is None or it.marker.evaluate({"extra": ""})]
            missing |= {canonicalize_name(it.name) for it in here} - names

    assert set() == missing


def test_the_lowest_versions_are_those_of_pyproject_toml(checkout: Path) -> None:
    bounds = [str(required).replace(">=", "==") for required in declared(checkout)]

    printed = lowest(checkout).stdout.splitlines()

    assert list(dict.fromkeys(bounds)) == printed


def test_a_requirement_without_a_lower_bound_is_refused(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(checkout / ".ci", tmp_path / ".ci")
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["tofu"]\n[project]\ndependencies = ["bun>=1.0", "soy<3"]\n'
    )

    ended = lowest(tmp_path)

    assert (1, "") == (ended.returncode, ended.stdout)
    assert "pyproject.toml: expected 'name>=version', got tofu, soy<3\n" == ended.stderr
