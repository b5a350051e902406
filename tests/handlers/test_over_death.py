"""What is promised over the runner's death: each kind has its sentence in each role, from what the checks go by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.handlers.kinds import HandlerKind
from runner.handlers.over_death import (
    StageFacts,
    facts_of_kind,
    promise,
    promises_of,
    promises_of_functions,
    reference_section,
)
from runner.handlers.registry import built_in_kinds
from runner.spec.model import Role
from runner.spec.resume import MEANINGS, OverDeath

KINDS = built_in_kinds()
BOTH = [(name, role) for name, kind in KINDS.items() for role in Role if role in kind.roles]


@pytest.mark.parametrize(("name", "role"), BOTH)
def test_every_kind_has_its_sentence_in_each_role_on_the_page(checkout: Path, name: str, role: Role) -> None:
    page = (checkout / "docs" / "reference.md").read_text(encoding="utf-8")
    (own,) = (each for each in promises_of(KINDS[name]) if each.role is role)

    assert f"| `{name}` | {role} | {own.sentence} |\n" in page
    assert all(promised is not own.usual for _, promised in own.otherwise), "it is no other promise"


@pytest.mark.parametrize("role", Role)
def test_handlers_in_python_have_theirs(checkout: Path, role: Role) -> None:
    page = (checkout / "docs" / "reference.md").read_text(encoding="utf-8")
    (own,) = (each for each in promises_of_functions() if each.role is role)

    assert f"| `module:callable` | {role} | {own.sentence} |\n" in page


@pytest.mark.parametrize("word", OverDeath)
def test_every_word_is_explained(word: OverDeath) -> None:
    assert f"- `{word}`: {MEANINGS[word]}" in reference_section(())


def options_one_by_one(kind: HandlerKind) -> Iterator[dict[str, Any]]:
    """Yield the simplest options with each other one that they may have, as far as its values can be listed."""
    required = dict.fromkeys(kind.options.get("required", ()), "x")
    for name, fragment in kind.options.get("properties", {}).items():
        by_type = {"boolean": [True, False], "array": [["x"]], "object": [{"x": "x"}]}
        for value in fragment.get("enum", by_type.get(str(fragment.get("type")), [])):
            yield {**required, name: value}


@pytest.mark.parametrize(("name", "role"), BOTH)
def test_no_option_changes_a_promise_that_is_not_told_of(name: str, role: Role) -> None:
    kind = KINDS[name].of_role(role)
    (own,) = (each for each in promises_of(kind) if each.role is role)
    told = {key for _, options in kind.otherwise for key in options}

    for options in options_one_by_one(kind):
        if told.isdisjoint(options.keys() - kind.options.get("required", ())):
            assert own.usual is promise(facts_of_kind(kind, role, options)), options


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (StageFacts(Role.PLAIN), OverDeath.NOT),
        (StageFacts(Role.PIPE), OverDeath.EXACTLY_ONCE),
        (StageFacts(Role.PIPE, loses_state=True), OverDeath.NOT),
        (StageFacts(Role.CONSUMER), OverDeath.AT_LEAST_ONCE),
        (StageFacts(Role.PRODUCER), OverDeath.RUN_AGAIN),
        (StageFacts(Role.PRODUCER, seeks=True), OverDeath.EXACTLY_ONCE),
        (StageFacts(Role.PRODUCER, is_stream=True), OverDeath.NOT),
        (StageFacts(Role.PRODUCER, live=True, is_stream=True), OverDeath.AT_MOST_ONCE),
    ],
)
def test_the_promise_follows_from_a_few_facts(facts: StageFacts, expected: OverDeath) -> None:
    assert expected is promise(facts)


def test_a_kind_that_can_not_be_asked_without_its_options_says_nothing() -> None:
    def stumbles(options: Any) -> Any:
        return options["undeclared"]

    kind = HandlerKind(
        "odd", "Odd.", frozenset({Role.CONSUMER}), {"properties": {}}, "", build=stumbles, writes=stumbles
    )

    assert [] == promises_of(kind)
