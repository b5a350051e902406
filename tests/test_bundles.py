"""What is put at once to a queue that must know more of its items than their number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.bundles import Part, Piece, bundle, unbundle, weight_of
from runner.dockets import Docket, Form
from runner.frames import pickle_alone, unpack


def test_a_docket_weighs_what_lies_elsewhere_too() -> None:
    docket = Docket(Form.BYTES, 0, (100_000,)).encode()

    assert len(docket) + 100_032 == weight_of(docket)
    assert 3 == weight_of(b"abc")


def test_the_parts_say_how_many_and_how_heavy() -> None:
    pieces = [Piece(pickle_alone("a"), 1, 5), Piece(pickle_alone("b"), 0, 7), Piece(pickle_alone("c"), 1, 9)]

    parts = list(unbundle(bundle(pieces)))

    assert [(1, 2, 14), (0, 1, 7)] == [(part.shard, part.count, part.weight) for part in parts]


@given(st.lists(st.tuples(st.integers(0, 4), st.text()), min_size=1))
def test_each_shard_gets_its_items_in_their_order(items: list[tuple[int, str]]) -> None:
    pieces = [Piece(pickle_alone(text), shard, len(text)) for shard, text in items]

    parts = list(unbundle(memoryview(bundle(pieces))))

    found = {part.shard: list(unpack(part.frame, 0, part.count)) for part in parts}
    assert {shard: [text for other, text in items if other == shard] for shard, _ in items} == found
    assert isinstance(parts[0], Part)
