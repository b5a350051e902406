"""Every sink: its example is one, and an option that it lacks is refused."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from runner.handlers.registry import built_in_kinds
from runner.spec.model import Role

SINKS = {
    name: kind.of_role(Role.CONSUMER)
    for name, kind in built_in_kinds().items()
    if kind.of_role(Role.CONSUMER).roles == {Role.CONSUMER}
}


@pytest.mark.parametrize("name", SINKS)
def test_the_example_validates(name: str) -> None:
    kind = SINKS[name]
    (stage,) = yaml.safe_load(kind.example)["stages"].values()

    jsonschema.validate(stage["run"][name], dict(kind.options))
    assert Role.of(stage.get("from"), stage.get("to")) in kind.roles


@pytest.mark.parametrize("name", SINKS)
def test_what_is_required_is_and_what_is_unknown_is_refused(name: str) -> None:
    options = dict(SINKS[name].options)
    wrong = [{"unheard": 1}, *([{}] if options.get("required") else [])]
    good = [each for each in wrong if jsonschema.Draft202012Validator(options).is_valid(each)]

    assert [] == good


@pytest.mark.parametrize("name", SINKS)
def test_every_option_is_described(name: str) -> None:
    assert [] == [
        key for key, each in SINKS[name].options["properties"].items() if not each.get("description")
    ]
