"""The configuration of a user, which holds for all runs: found, read, and checked as a workflow file is.

$MPRUN_CONFIG ─── or ─── $XDG_CONFIG_HOME/mprun/config.yaml ─── or ─── ~/.config/mprun/config.yaml
      └──────────────────────────── read ► shape ► UserConfig ────────────────────────────┘
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from runner.errors import SpecError, UsageError
from runner.spec.diagnostics import LocatedDiagnostic, errors_only, in_file_order
from runner.spec.keys import Fragment, closed_mapping, values_of
from runner.spec.notify import UserConfig
from runner.spec.source.reader import read

CONFIG_VARIABLE = "MPRUN_CONFIG"
NO_CONFIG = UserConfig()


def user_config_path(environ: Mapping[str, str]) -> Path:
    """Say where the configuration of whoever has this environment is, if there is one."""
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or ""
    base = Path(home) if Path(home).is_absolute() else Path(environ.get("HOME") or "/") / ".config"
    return base / "mprun" / "config.yaml"


def user_config_schema() -> Fragment:
    """Return the schema that it is checked with."""
    return closed_mapping(UserConfig)


def read_user_config(environ: Mapping[str, str]) -> UserConfig:
    """
    Read and check it. Where there is none, or nothing stands in it, it says nothing.

    Raises:
        UsageError: `MPRUN_CONFIG` names a file that is not there.
        SpecError: it does not check; carries all problems.
    """
    path = user_config_path(environ)
    if not path.exists():
        if environ.get(CONFIG_VARIABLE):
            raise UsageError(f"{CONFIG_VARIABLE} names '{path}', and there is no such file")
        return NO_CONFIG
    from runner.loader.schema.validate import check_shape  # for those who have one

    try:
        source = read(path)
    except SpecError as error:
        if any(each.code == "empty-file" for each in error.diagnostics):
            return NO_CONFIG
        raise SpecError([_of_config(each) for each in error.diagnostics]) from None
    found = [
        *source.place_all(check_shape(user_config_schema(), source.data, source.scalar_text)),
        *source.traps,
    ]
    diagnostics = tuple(_of_config(each) for each in in_file_order(found))
    if errors_only(diagnostics):
        raise SpecError(diagnostics)
    return UserConfig(**values_of(UserConfig, source.data))


def _of_config(told: LocatedDiagnostic) -> LocatedDiagnostic:
    """Say of a configuration what is said of a file as a whole."""
    message = re.sub(r"^a workflow( file)?\b", "your configuration", told.message)
    help_ = "as in 'bell: true'" if told.code == "not-a-mapping" else told.help
    return dataclasses.replace(told, message=message, help=help_)
