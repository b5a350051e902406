"""Our dataclasses do what those of the standard library do, and are made without compiling anything."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from runner.facts import dataclass, write_all

Make = Callable[..., Any]


def pair(**options: Any) -> tuple[Any, Any]:
    """Make the same class twice: ours, and the standard library's."""

    def made(make: Make) -> Any:
        class Bun:
            filling: str
            count: int = 3
            tags: list[str] = field(default_factory=list)
            hidden: int = field(default=7, repr=False, compare=False)
            own: int = field(default=1, init=False)
            named: str = field(default="", kw_only=True)
            kind: ClassVar[str] = "bun"

        return make(**options)(Bun)

    return made(dataclass), made(dataclasses.dataclass)


PLAIN: dict[str, Any] = {"slots": True}
FROZEN: dict[str, Any] = {"frozen": True, "slots": True}
KINDS = [PLAIN, FROZEN, {}, {"frozen": True}, {"slots": True, "eq": False}, {"slots": True, "repr": False}]


@pytest.mark.parametrize("options", KINDS)
def test_it_is_called_shown_and_taken_apart_like_the_standard_librarys(options: dict[str, Any]) -> None:
    for made in pair(**options):
        bun = made("pork", 4, named="neo")

        assert ("pork", 4, [], 7, 1, "neo") == dataclasses.astuple(bun)
        assert ("filling", "count", "tags", "hidden", "own") == (*made.__match_args__[:4], "own")
        assert dataclasses.asdict(bun)["tags"] is not made("pork").tags
        assert "leek" == dataclasses.replace(bun, filling="leek").filling
    ours, theirs = (made("pork", named="neo") for made in pair(**options))
    assert options.get("repr") is False or repr(theirs) == repr(ours)
    assert [f.name for f in dataclasses.fields(theirs)] == [f.name for f in dataclasses.fields(ours)]


@pytest.mark.parametrize("options", KINDS)
def test_it_is_equal_to_what_has_the_same_in_its_fields(options: dict[str, Any]) -> None:
    answers = []
    for made in pair(**options):
        bun, twin = made("pork"), made("pork", hidden=8)
        answers.append((bun == twin, bun == made("leek"), bun == "pork", bun == bun, made.__hash__ is None))

    assert answers[0] == answers[1]


def test_a_frozen_one_is_hashed_by_what_it_is_compared_by() -> None:
    @dataclass(frozen=True, slots=True)
    class Bun:
        filling: str
        cost: int = field(default=1, compare=False)

    assert hash(Bun("pork")) == hash(Bun("pork", 2))
    assert {Bun("pork")} == {Bun("pork", 2)}


def test_a_frozen_one_can_be_changed_neither_by_hand_nor_by_unpickling_it() -> None:
    bun = Frozen("pork", 2)

    for change in (lambda: setattr(bun, "filling", "leek"), lambda: delattr(bun, "filling")):
        with pytest.raises(FrozenInstanceError, match="'filling'"):
            change()
    assert bun == pickle.loads(pickle.dumps(bun)) == copy.deepcopy(bun)


@dataclass(frozen=True, slots=True)
class Frozen:
    """At the top, where pickle finds it."""

    filling: str
    count: int


def test_what_a_class_has_of_its_own_stays() -> None:
    @dataclass(frozen=True, slots=True)
    class Bun:
        filling: str

        def __repr__(self) -> str:
            return "a bun"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert ("a bun", 7) == (repr(Bun("pork")), hash(Bun("leek")))
    assert Bun("pork") == Bun("leek")


def test_one_is_made_of_another_and_looks_at_itself_once_it_is_whole() -> None:
    @dataclass(slots=True)
    class Bun:
        filling: str

        def __post_init__(self) -> None:
            self.filling = self.filling.upper()

    @dataclass(slots=True)
    class Big(Bun):
        count: int = 2

    assert ("PORK", 5) == dataclasses.astuple(Big("pork", 5))
    assert ("PORK",) == dataclasses.astuple(Bun("pork"))


def test_who_calls_it_wrong_is_told_like_everywhere() -> None:
    for _ in range(2):  # before it is written, and after
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'count'"):
            Frozen("pork")  # type: ignore[call-arg]


def test_nothing_is_compiled_before_the_first_call_or_before_all_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_all()
    written: list[str] = []
    compiled = builtins.exec
    monkeypatch.setattr(builtins, "exec", lambda text, *more: (written.append(text), compiled(text, *more)))

    @dataclass(frozen=True, slots=True)
    class Bun:
        filling: str

    at_first, _ = list(written), write_all()
    made = Bun("pork")

    assert ([], 1, "pork") == (at_first, len(written), made.filling)
