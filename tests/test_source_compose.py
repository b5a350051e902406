"""Events to data: YAML's traps are told, and what would cost without bound is refused before it does."""

from __future__ import annotations

import tracemalloc

import pytest

from runner.errors import SpecError
from runner.problems import Problem
from runner.source import read_text


def traps(text: str) -> list[tuple[str, int, int, int]]:
    return [(p.code, p.span.line, p.span.column, p.span.width) for p in read_text(text, "w.yaml").traps]


def refusal(text: str) -> Problem:
    with pytest.raises(SpecError) as caught:
        read_text(text, "w.yaml")
    return caught.value.problems[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\n", []),
        ("a: 1\nb: {c: 1}\na: 2\n", [("duplicate-key", 3, 1, 1)]),
        ("on: 1\n", [("boolean-key", 1, 1, 2)]),
        (
            "a: {yes: 1, No: 2, OFF: 3}\n",
            [("boolean-key", 1, 5, 3), ("boolean-key", 1, 13, 2), ("boolean-key", 1, 20, 3)],
        ),
        ("true: 1\n", [("boolean-key", 1, 1, 4)]),
        ("'on': 1\n\"yes\": 2\nonly: 3\n", []),
        ("~: 1\nnull: 2\n", [("null-key", 1, 1, 1), ("null-key", 2, 1, 4)]),
        ("a: 1\n? \n: 2\n", [("null-key", 2, 2, 1)]),
        ("1: a\n2.50: b\n", [("number-key", 1, 1, 1), ("number-key", 2, 1, 4)]),
        ("[a]: 1\n{b: c}: 2\nd: 3", [("collection-key", 1, 1, 1), ("collection-key", 2, 1, 1)]),
        ("a: !foo 1\n", [("yaml-tag", 1, 4, 4)]),
        ("a: !!python/object/apply:os.system [x]\n", [("yaml-tag", 1, 4, 31)]),
        ("a: !!str 1\nb: !!int 2\nc: !!map {}\nd: !!seq []\ne: ! 3\nh: ! [x]\nf: !!float 1\n", []),
        ("a: !!int x\nb: !!seq {}\n", [("yaml-tag", 1, 4, 5), ("yaml-tag", 2, 4, 5)]),
        ("!!int 1: x\n", [("yaml-tag", 1, 1, 5)]),
        ("a: 1\n---\nb: [\n", [("many-documents", 2, 1, 3)]),
        ("---\na: 1\n...\n", []),
        ('a: "x\\0y"\n', [("control-character", 1, 4, 6)]),
        ("a: {<<: 3}\n", [("merge-key", 1, 9, 1)]),
        ("a: &a {}\nb: {<<: *a, <<: *a}\n", [("duplicate-key", 2, 13, 2)]),
    ],
)
def test_a_trap_is_told_and_reading_goes_on(text: str, expected: list[tuple[str, int, int, int]]) -> None:
    assert expected == traps(text)


def test_a_duplicate_key_names_the_line_of_the_first_and_the_first_is_kept() -> None:
    source = read_text("a:\n  x: 1\n  y: 2\n  x: 3\n", "w.yaml")

    (trap,) = source.traps
    assert "'x' is given twice; first on line 2" == trap.message
    assert {"a": {"x": 1, "y": 2}} == source.data


def test_keys_that_are_no_text_are_kept_as_they_were_typed() -> None:
    source = read_text("on: 1\n3.10: 2\n[a]: 3\n", "w.yaml")

    assert {"on": 1, "3.10": 2} == source.data


def test_tags_of_the_core_schema_are_obeyed() -> None:
    source = read_text("a: !!str 3.10\nb: !!float 3\nc: !!int '3'\n", "w.yaml")

    assert {"a": "3.10", "b": 3.0, "c": 3} == source.data
    assert "float" == type(source.data["b"]).__name__


def test_a_tag_with_nothing_behind_it_is_the_text_that_it_was_meant_to_be() -> None:
    source = read_text("if: !cancelled()\nempty: !!str\nother: !foo x\n", "w.yaml")

    assert {"if": "!cancelled()", "empty": "", "other": "x"} == source.data
    assert ["yaml-tag", "yaml-tag"] == [trap.code for trap in source.traps]


def test_aliases_and_merge_keys_work() -> None:
    source = read_text(
        "base: &base {run: a, count: 1}\nmore: &more {env: x, run: b}\n"
        "one: {<<: *base, count: 2}\ntwo: {<<: [*base, *more]}\nthree: [*base]\nfour: &k key\n*k : 1\n",
        "w.yaml",
    )

    assert () == source.traps
    assert {"count": 2, "run": "a"} == source.data["one"]
    assert {"run": "a", "count": 1, "env": "x"} == source.data["two"]
    assert [{"run": "a", "count": 1}] == source.data["three"]
    assert 1 == source.data["key"]


def test_merged_keys_are_where_they_are_written() -> None:
    source = read_text("base: &base\n  run: a\none:\n  <<: *base\n  count: 2\n", "w.yaml")

    merged, own = source.locate(("one", "run")), source.locate(("one", "count"))

    assert ((2, 8), (5, 10)) == ((merged.span.line, merged.span.column), (own.span.line, own.span.column))


def test_a_billion_laughs_are_refused_before_they_grow() -> None:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]

    tracemalloc.start()
    problem = refusal("\n".join(lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert ("alias-bomb", 6) == (problem.code, problem.span.line)
    assert peak < 1_000_000


def test_merge_keys_can_not_be_used_as_a_bomb_either() -> None:
    wide = "a0: &a0 {" + ", ".join(f"k{n}: v" for n in range(1000)) + "}\n"
    many = "".join(f"b{n}: {{<<: *a0}}\n" for n in range(200))

    assert "alias-bomb" == refusal(wide + many).code


@pytest.mark.slow
def test_a_large_file_without_aliases_is_no_bomb() -> None:
    source = read_text("a:\n" + "".join(f"- [{n}, x]\n" for n in range(60_000)), "w.yaml")

    assert 60_000 == len(source.data["a"])


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: {c: *a}}", "a: &a\n  <<: *a\n"])
def test_an_alias_inside_its_own_value_is_refused(text: str) -> None:
    assert "recursive-alias" == refusal(text).code


def test_an_alias_to_nothing_suggests_the_nearest_anchor() -> None:
    problem = refusal("a: &steamer 1\nb: *steemer\n")

    assert ("unknown-alias", "did you mean 'steamer'?") == (problem.code, problem.help)


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 200_000, "a: " + "{b: " * 101, "".join(" " * n + "a:\n" for n in range(150)), "- " * 150],
)
def test_deep_nesting_is_refused_without_recursion(text: str) -> None:
    assert "too-deep" == refusal(text).code


def test_nesting_by_aliases_counts_too() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200))

    problem = refusal(text)

    assert ("too-deep", 100) == (problem.code, problem.span.line)


def test_a_hundred_levels_are_enough_for_everybody() -> None:
    assert read_text("a: " + "[" * 99 + "]" * 99, "w.yaml").data


@pytest.mark.slow
def test_more_values_than_a_workflow_can_have_are_refused() -> None:
    assert "too-large" == refusal("a: [" + "1," * 300_001 + "]").code
