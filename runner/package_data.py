"""Files that ship with mprun: schemas and example workflows.

in a wheel      runner/_shipped/schemas/…      put there by the build
in a checkout   schemas/…                      beside the package
"""

from __future__ import annotations

from pathlib import Path

from runner.errors import MprunInternalError

_PACKAGE = Path(__file__).resolve().parent


def shipped(relative: str, *, package: Path = _PACKAGE) -> Path:
    """
    Return where a shipped file such as `schemas/workflow.schema.json` is on this machine.

    Raises:
        MprunInternalError: the installation is incomplete.
    """
    homes = (package / "_shipped", package.parent)
    for home in homes:
        if (home / relative).is_file():
            return home / relative
    looked = " or ".join(str(home) for home in homes)
    raise MprunInternalError(f"the installation lacks '{relative}': it is not under {looked}")


def shipped_examples(*, package: Path = _PACKAGE) -> dict[str, Path]:
    """Return the example workflows by name, those in folders as `folder/name`. Their handlers lie beside them."""
    folder = shipped("workflows/baozi.yaml", package=package).parent
    found = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}
