"""The rows of features: each workflow of features.py with the feature, and without it in turn."""

from __future__ import annotations

from collections.abc import Iterator

from alternate import Command, installed_mprun
from contenders import LEASED, PLAIN
from features import HANDLERS, TARGET, Feature, features
from goals import CPU_MORE, WALL_MORE, times_of
from row import Commands, Row, Setting


def feature_rows() -> Iterator[Row]:
    """One for each feature: what one more item costs."""
    for feature in features():
        yield Row(
            f"with {feature.name}",
            _commands(feature),
            3_000_000,
            (PLAIN, LEASED),
            (WALL_MORE, CPU_MORE),
            (times_of(CPU_MORE, TARGET, PLAIN),),
            shorter=5,
        )


def _commands(feature: Feature) -> Commands:
    """Write the workflow beside its handlers, and run that."""

    def command(contender: str, count: int, setting: Setting) -> Command:
        handlers, workflow = setting.folder / HANDLERS.name, setting.folder / "features.yaml"
        if not handlers.exists():
            handlers.symlink_to(HANDLERS)
        topology = feature.without if contender == PLAIN else feature.has
        workflow.write_text(topology.workflow(count), encoding="utf-8")
        return (installed_mprun(), "run", "--no-record", workflow)

    return command
