"""The kind `items`: what the file itself lists, shared and gone on with as other sources are."""

from __future__ import annotations

from pathlib import Path

from sources import context, items_of, listed

from runner.spec.plan import InputShare


def test_it_makes_what_is_listed() -> None:
    assert ["a", 1, {"b": [2]}] == items_of("items", ["a", 1, {"b": [2]}])


def test_what_would_else_be_a_reference_is_a_text() -> None:
    assert ["${{ x }}"] == items_of("items", ["$${{ x }}"])


def test_several_workers_share_it_and_each_goes_on_where_it_was() -> None:
    shares = [items_of("items", list("abcde"), context(share=InputShare(index, 2))) for index in range(2)]

    assert [["a", "b"], ["c", "d", "e"]] == shares
    assert ["e"] == items_of("items", list("abcde"), context(2, share=InputShare(1, 2)))


def test_texts_may_end_with_a_nul_byte_and_hold_newlines(tmp_path: Path) -> None:
    (tmp_path / "found").write_bytes(
        "a\nb\0包\0\xff".encode("latin-1", "replace").replace(b"?", b"c") + b"\0d"
    )
    options = {"path": str(tmp_path / "found"), "end": "nul"}
    worker = context(inputs=listed("lines", options))

    made = items_of("lines", options, worker)

    assert ["a\nb", "c", "d"] == [made[0], made[1], made[3]]
    assert f"{tmp_path / 'found'}:3" == made[2].position  # type: ignore[attr-defined]
    assert ["d"] == items_of("lines", options, context(3, inputs=listed("lines", options)))
