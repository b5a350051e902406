"""The one interpolation: what is replaced, what is left alone, and where its problems point."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.dotted_names import join_names
from runner.spec.references import compile_template, interpolate, names_used, references
from runner.spec.source.reader import read_text

SCOPES: dict[str, dict[str, Any]] = {
    "params": {
        "buns": 3,
        "price": 0.5,
        "hot": True,
        "none": None,
        "list": [1, 2],
        "map": {"in": "x"},
        "text": "t",
        "py.ver": "3.12",
        "it's a b": {"x": "y"},
    },
    "env": {"HOME": "/home/neo"},
    "needs": {"build": {"outputs": {"wheel": "w.whl"}}},
}
ITEM = frozenset({"item"})


def replaced(text: str, runtime: frozenset[str] = frozenset()) -> Any:
    """Interpolate one scalar that has no problem."""
    source = read_text("a: 1", "w.yaml")
    value, diagnostics = interpolate(source, text, SCOPES, base=("a",), runtime=runtime)
    assert [] == diagnostics
    return value


def complaints(yaml: str, runtime: frozenset[str] = frozenset()) -> list[LocatedDiagnostic]:
    source = read_text(yaml, "w.yaml")
    return interpolate(source, source.data, SCOPES, base=(), runtime=runtime)[1]


@pytest.mark.parametrize("name", ["buns", "price", "hot", "none", "list", "map", "text"])
def test_a_scalar_that_is_one_reference_keeps_the_type(name: str) -> None:
    assert SCOPES["params"][name] == replaced(f"${{{{ params.{name} }}}}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${{params.buns}}", 3),
        ("n=${{ params.buns }}!", "n=3!"),
        (" ${{ params.buns }}", " 3"),
        ("${{ params.hot }},${{ params.none }},${{ params.price }}", "true,null,0.5"),
        ("${{ params.map.in }}", "x"),
        ("${{ params.list.1 }}", 2),
        ("${{ params.list[1] }}", 2),
        ("${{params['map']['in']}}", "x"),
        ("${{ params['py.ver'] }}-${{ params['it''s a b'].x }}", "3.12-y"),
        ("${{ needs.build.outputs.wheel }}", "w.whl"),
        ("in ${{ env.HOME }}", "in /home/neo"),
        ("$HOME ${HOME} $${HOME} {{ x }}", "$HOME ${HOME} $${HOME} {{ x }}"),
        ("$${{ params.buns }}", "${{ params.buns }}"),
        ("$$${{ x }}", "$${{ x }}"),
    ],
)
def test_references_are_replaced_in_text(text: str, expected: object) -> None:
    assert expected == replaced(text)


def test_nested_data_is_replaced_and_the_original_is_not_touched() -> None:
    data = {"a": ["${{ params.buns }}", {"b": "${{ params.text }}"}], "c": 1}

    value, diagnostics = interpolate(read_text("a: 1", "w"), data, SCOPES, base=())

    assert ({"a": [3, {"b": "t"}], "c": 1}, []) == (value, diagnostics)
    assert "${{ params.buns }}" == data["a"][0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("yaml", "code", "column", "width", "words"),
    [
        ("a: ${{ params.bunz }}", "unknown-reference", 8, 11, "did you mean 'params.buns'?"),
        ("a: x${{ parms.buns }}", "unknown-reference", 9, 10, "did you mean 'params'?"),
        ("a: ${{ zzz.x }}", "unknown-reference", 8, 5, "known here: params, env, needs"),
        ("a: ${{ params.buns.x }}", "unknown-reference", 8, 13, "'params.buns' has no entries"),
        ("a: 'say ${{ params.list }}'", "reference-type", 13, 11, "one of its entries"),
        ("a: ${{ params.buns", "reference-syntax", 4, 3, "joined by dots"),
        ("a: ${{ }}", "reference-syntax", 4, 6, "joined by dots"),
        ("a: ${{ params.x + 1 }}", "reference-syntax", 8, 12, "joined by dots"),
        ("a: ${{ params..x }}", "reference-syntax", 8, 9, "joined by dots"),
        ("a: ${{ params[x] }}", "reference-syntax", 8, 9, "joined by dots"),
        ("a: ${{ params['x }}", "reference-syntax", 8, 9, "joined by dots"),
        (
            "a: ${{ params.py.ver }}",
            "unknown-reference",
            8,
            13,
            "write params['py.ver'], as 'py.ver' is one name",
        ),
        ("a: ${{ params['py ver'] }}", "unknown-reference", 8, 16, "did you mean 'params['py.ver']'?"),
        ('a: "${{ params.bunz }}"', "unknown-reference", 9, 11, "params.buns"),
        ('a: "\\t${{ params.bunz }}"', "unknown-reference", 11, 11, "params.buns"),
    ],
)
def test_a_bad_reference_is_a_problem_at_its_name(
    yaml: str, code: str, column: int, width: int, words: str
) -> None:
    (diagnostic,) = complaints(yaml)

    assert (code, column, width) == (diagnostic.code, diagnostic.span.column, diagnostic.span.width)
    assert words in str(diagnostic.help)


def test_a_bad_reference_in_a_block_of_text_is_shown_on_its_own_line() -> None:
    (diagnostic,) = complaints("run: |\n  echo hi\n  echo ${{ params.bunz }}\n")

    assert (3, 12) == (diagnostic.span.line, diagnostic.span.column)
    assert "  echo ${{ params.bunz }}" == diagnostic.snippet


def test_each_of_several_bad_references_is_a_problem() -> None:
    diagnostics = complaints(
        "a: ${{ params.x1 }} ${{ params.x2 }}\nb: [${{ }}, '${{']".replace("[${{ }}", "['${{ }}'")
    )

    assert [8, 25, 6, 16] == [diagnostic.span.column for diagnostic in diagnostics]


def test_runtime_references_stay_and_so_do_their_escapes() -> None:
    text = "${{ params.buns }} ${{ item.a }} $${{ item }}"

    assert "3 ${{ item.a }} $${{ item }}" == replaced(text, ITEM)


def test_a_value_that_looks_like_a_reference_is_not_filled_later() -> None:
    scopes = {"params": {"evil": "${{ item.secret }}", "half": "$"}}
    template, _ = interpolate(
        read_text("a: 1", "w"),
        ["${{ params.evil }}", "x ${{ params.evil }}", "${{ params.half }}{{ item }}"],
        scopes,
        base=(),
        runtime=ITEM,
    )

    filled = compile_template(template)({"secret": "s"})

    assert ["${{ item.secret }}", "x ${{ item.secret }}", "${{ item }}"] == filled


def test_nor_is_one_that_a_list_or_a_map_holds() -> None:
    scopes = {"params": {"evil": ["${{ item.a }}", {"b": "${{ item.a }}"}]}}
    template, _ = interpolate(read_text("a: 1", "w"), "${{ params.evil }}", scopes, base=("a",), runtime=ITEM)

    assert ["${{ item.a }}", {"b": "${{ item.a }}"}] == compile_template(template)({"a": "s"})


def test_conditions_of_jobs_have_a_language_of_their_own_and_nothing_else_has() -> None:
    source = read_text("a: 1", "w")
    data = {"if": "${{ params.buns }}", "run": "${{ params.buns }}"}

    job, _ = interpolate(source, data, SCOPES, base=("jobs", "a"))
    stage, _ = interpolate(source, data, SCOPES, base=("stages", "a"))

    assert {"if": "${{ params.buns }}", "run": 3} == job
    assert {"if": 3, "run": 3} == stage


@given(st.recursive(st.text(alphabet="${}. aparmsitem-1"), lambda inner: st.lists(inner, max_size=3)))
def test_any_text_is_interpolated_without_a_crash(data: object) -> None:
    value, diagnostics = interpolate(read_text("a: 1", "w"), data, SCOPES, base=("a",), runtime=ITEM)

    assert all(diagnostic.span.line == 1 for diagnostic in diagnostics)
    assert diagnostics or names_used(value) <= {names for names in names_used(data) if names[0] == "item"}


@given(st.text())
def test_text_without_an_opening_stays_as_it_is(text: str) -> None:
    harmless = text.replace("${{", "")

    assert "${{" in harmless or harmless == replaced(harmless)


def test_names_used_finds_every_reference_once() -> None:
    data = {
        "a": ["${{ item.x }} ${{ item.x }}", "$${{ no }}"],
        "b": {"c": "${{ params.y }}"},
        "d": 4,
        "e": "${{ }}",
    }

    assert {("item", "x"), ("params", "y")} == names_used(data)


@dataclass
class Picture:
    path: Path
    size: tuple[int, int] = (3, 4)


@pytest.mark.parametrize(
    ("template", "item", "expected"),
    [
        ("${{ item }}", 5, 5),
        ("${{ item.a.b }}", {"a": {"b": [1]}}, [1]),
        ("${{ item.1 }}", ["x", "y"], "y"),
        ("${{ item.path }}", Picture(Path("p.png")), Path("p.png")),
        ("${{ item.size.1 }}", Picture(Path("p.png")), 4),
        ("in/${{ item.path.name }}.bak", Picture(Path("d/p.png")), "in/p.png.bak"),
        ("${{ item.items }}", {"items": 3}, 3),
        ("$${{ item }} $HOME", 5, "${{ item }} $HOME"),
        ("plain", 5, "plain"),
        (["-x", "${{ item }}", {"k": "${{ item }}!", "n": 1}], True, ["-x", True, {"k": "true!", "n": 1}]),
    ],
)
def test_a_template_is_filled_with_an_item(template: object, item: object, expected: object) -> None:
    assert expected == compile_template(template)(item)


def test_a_compiled_template_serves_many_items() -> None:
    filled = compile_template(["${{ item.n }}", "n=${{ item.n }}"])

    assert [[0, "n=0"], [1, "n=1"]] == [filled({"n": n}) for n in range(2)]


@pytest.mark.parametrize(
    ("template", "item", "words"),
    [
        ("${{ item.pth }}", {"path": 1}, "item (dict) has no 'pth'; did you mean 'path'?"),
        ("${{ item.a.x }}", {"a": {"b": 1}}, "item.a (dict) has no 'x'"),
        ("${{ item.9 }}", [1], "item (list) has no '9'"),
        ("${{ item.items }}", {"a": 1}, "item (dict) has no 'items'"),
        ("x ${{ item.nope }}", None, "item (NoneType) has no 'nope'"),
    ],
)
def test_a_missing_field_is_named(template: str, item: object, words: str) -> None:
    with pytest.raises(LookupError) as caught:
        compile_template(template)(item)

    assert words in str(caught.value)


def test_a_collection_is_not_put_inside_text() -> None:
    with pytest.raises(TypeError, match="a list can't be put inside the text 'x=\\$"):
        compile_template("x=${{ item }}")([1])


@pytest.mark.parametrize("template", ["${{ params.x }}", "${{ item", "${{ }}", ["${{ a b }}"]])
def test_a_template_that_is_not_to_items_is_refused_when_compiled(template: object) -> None:
    with pytest.raises(ValueError, match=r"item|reference|closed"):
        compile_template(template)


def test_what_is_not_there_is_named_up_to_the_part_that_is_wrong() -> None:
    messages = [each.message for each in complaints("a: ${{ params.map.out.deeper.still }}")]

    assert ["there is no 'params.map.out'"] == messages


@given(st.lists(st.text(min_size=1).filter(lambda name: "}}" not in name), max_size=4))
def test_names_of_any_kind_can_be_written_and_read_again(names: list[str]) -> None:
    written = join_names(["params", *names])

    [found] = references(f"x ${{{{ {written} }}}} y")

    assert (("params", *names), written, len(written)) == (found.names, found.dotted, found.width)
